// What a queue shows of itself, counted from the states of its keys.
import {
  type Counts,
  MOST_PARKED_SHOWN,
  NO_KEYS,
  type ParkedKey,
  type QueueView,
  type WorkQueue,
} from './work-queue.ts';

const STATES = ['ready', 'delayed', 'running', 'parked'] as const;

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
  parkedKeys.sort(byKey);
  return {
    ...total,
    oldest,
    accounts: Object.fromEntries(accounts),
    parkedKeys: parkedKeys.slice(0, MOST_PARKED_SHOWN),
  };
}

/** The keys of several queues as those of one; a key may be in more than one. */
export async function viewOfAll(queues: Iterable<WorkQueue>): Promise<QueueView> {
  const views = await Promise.all([...queues].map((queue) => queue.view()));
  const total = nothing();
  const accounts: Record<string, Tally> = {};
  const add = (tally: Tally, counts: Counts) => {
    for (const state of STATES) tally[state] += counts[state];
  };
  for (const view of views) {
    add(total, view);
    for (const [account, counts] of Object.entries(view.accounts)) {
      accounts[account] ??= nothing();
      add(accounts[account], counts);
    }
  }
  return {
    ...total,
    oldest: Math.max(0, ...views.map(({ oldest }) => oldest)),
    accounts,
    parkedKeys: views
      .flatMap(({ parkedKeys }) => parkedKeys)
      .sort(byKey)
      .slice(0, MOST_PARKED_SHOWN),
  };
}

function byKey(a: ParkedKey, b: ParkedKey): number {
  return a.key < b.key ? -1 : 1;
}

function nothing(): Tally {
  return { ...NO_KEYS };
}
