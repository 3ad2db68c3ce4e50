// What a queue shows of itself, counted from the states of its keys.
import { type Counts, MOST_PARKED_SHOWN, type ParkedKey, type QueueView } from './work-queue.ts';

export interface KeyState {
  readonly key: string;
  readonly account: string;
  readonly running: boolean;
  readonly delayed: boolean;
  /** Ready, also while it runs: for so many milliseconds. */
  readonly waited?: number;
  /** Parked with this error. */
  readonly error?: string;
}

type Tally = { -readonly [state in keyof Counts]: number };

export function countsByAccount(states: Iterable<KeyState>): QueueView {
  const total = nothing();
  const accounts = new Map<string, Tally>();
  const parkedKeys: ParkedKey[] = [];
  let oldest = 0;
  for (const { key, account, running, delayed, waited, error } of states) {
    const own = accounts.get(account) ?? nothing();
    accounts.set(account, own);
    for (const tally of [total, own]) {
      if (running) tally.running++;
      if (delayed) tally.delayed++;
      if (waited !== undefined) tally.ready++;
      if (error !== undefined) tally.parked++;
    }
    oldest = Math.max(oldest, waited ?? 0);
    if (error !== undefined) parkedKeys.push({ key, account, error });
  }
  parkedKeys.sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    ...total,
    oldest,
    accounts: Object.fromEntries(accounts),
    parkedKeys: parkedKeys.slice(0, MOST_PARKED_SHOWN),
  };
}

function nothing(): Tally {
  return { ready: 0, delayed: 0, running: 0, parked: 0 };
}
