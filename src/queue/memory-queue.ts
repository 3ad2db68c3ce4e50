// WorkQueue in this process's memory: the default.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import { Lanes, Waiting } from './lanes.ts';
import { countsByAccount, type KeyState } from './view.ts';
import {
  type AddOptions,
  backoff,
  type Lease,
  laneOf,
  PARK_AFTER,
  type Priority,
  type QueueView,
  type WorkOutcome,
  type WorkQueue,
} from './work-queue.ts';

/** All that is known of a key; forgotten when nothing is to be done for it. */
class Entry extends Waiting {
  account = '';
  /** Whether the next run, or the one under way, is a thorough one. */
  thorough = false;
  /** Of the next run; of this one while it runs. */
  priority: Priority = 'resync';
  /** When it became ready. */
  since = 0;
  /** The version of its last run that finished. */
  finished: string | undefined;
  running: MemoryLease | undefined;
  /** It was added while it ran. */
  again: Ask | undefined;
  delay: { readonly at: number; readonly timer: Timer } | undefined;
  retries = 0;
  /** With which error it is parked. */
  parked: string | undefined;
}

interface Ask {
  readonly priority: Priority;
  readonly thorough: boolean;
  readonly unlessFinished?: string | undefined;
}

class MemoryLease implements Lease {
  readonly token: number;
  readonly waited: number;
  readonly thorough: boolean;
  readonly entry: Entry;

  constructor(entry: Entry, token: number, waited: number) {
    this.entry = entry;
    this.token = token;
    this.waited = waited;
    this.thorough = entry.thorough;
  }

  get key(): string {
    return this.entry.key;
  }

  held(): boolean {
    return this.entry.running === this;
  }
}

export class MemoryQueue implements WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #entries = new Map<string, Entry>();
  readonly #ready: Readonly<Record<Priority, Lanes<Entry>>> = { change: new Lanes(), resync: new Lanes() };
  readonly #takers = new Set<(lease: Lease) => void>();
  #token = 0;

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = clock;
    this.#random = random;
  }

  add(key: string, options: AddOptions = {}): void {
    const { after = 0, priority = 'change', account, unlessFinished, thorough = false } = options;
    let entry = this.#entries.get(key);
    if (entry && unlessFinished !== undefined && !entry.running && entry.finished === unlessFinished) return;
    if (!entry) {
      entry = new Entry(key);
      this.#entries.set(key, entry);
    }
    if (account !== undefined) entry.account = account;
    if (entry.parked !== undefined) {
      if (priority !== 'change') return;
      entry.parked = undefined;
      entry.retries = 0;
    }
    const ask: Ask = { priority, thorough, unlessFinished };
    if (after > 0) this.#delay(entry, after, ask);
    else this.#ask(entry, ask);
  }

  take(signal: AbortSignal): Promise<Lease | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const entry = this.#ready.change.shift() ?? this.#ready.resync.shift();
    if (entry) return Promise.resolve(this.#start(entry));
    return new Promise((resolve) => {
      const onAbort = () => {
        this.#takers.delete(taker);
        resolve(undefined);
      };
      const taker = (lease: Lease) => {
        signal.removeEventListener('abort', onAbort);
        resolve(lease);
      };
      this.#takers.add(taker);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  done(lease: Lease, outcome: WorkOutcome): void {
    if (!(lease instanceof MemoryLease) || !lease.held()) return;
    const { entry } = lease;
    entry.running = undefined;
    const { again } = entry;
    entry.again = undefined;
    if (outcome.kind === 'finished') {
      const { version, again: after, thorough = false } = outcome;
      entry.retries = 0;
      entry.finished = version;
      if (after !== undefined) this.#delay(entry, after, { priority: 'resync', thorough });
    } else {
      const { priority, thorough } = entry;
      // It may have done half of something else than what had been finished before.
      entry.finished = undefined;
      const after = outcome.after ?? backoff(entry.retries, this.#random());
      entry.retries++;
      if (outcome.error !== undefined && entry.retries >= PARK_AFTER && !again && !entry.delay)
        entry.parked = outcome.error;
      else if (after > 0) this.#delay(entry, after, { priority, thorough });
      else this.#ask(entry, { priority, thorough });
    }
    const finished = outcome.kind === 'finished' ? outcome.version : undefined;
    // What was not done is still to be done.
    const thorough = outcome.kind !== 'finished' && entry.thorough;
    if (again && !isAbout(again, finished))
      this.#ask(entry, { ...again, thorough: again.thorough || thorough });
    if (!entry.running && !entry.lane && !entry.delay && entry.parked === undefined)
      this.#entries.delete(entry.key);
  }

  view(): Promise<QueueView> {
    return Promise.resolve(countsByAccount(this.#states()));
  }

  release(key: string): Promise<boolean> {
    const parked = this.#entries.get(key)?.parked !== undefined;
    if (parked) this.add(key);
    return Promise.resolve(parked);
  }

  /** A process that forgets its memory starts anew. */
  subscribe(): () => void {
    return () => {};
  }

  *#states(): Generator<KeyState> {
    const now = this.#clock.now();
    for (const entry of this.#entries.values()) {
      const { key, account, lane, running, again, delay, parked } = entry;
      yield {
        key,
        account,
        running: running !== undefined,
        delayed: delay !== undefined,
        ...(lane || again ? { waited: now - entry.since } : {}),
        ...(parked === undefined ? {} : { error: parked }),
      };
    }
  }

  #ask(entry: Entry, ask: Ask): void {
    const { priority, thorough } = ask;
    if (entry.running) {
      if (!entry.again) entry.since = this.#clock.now();
      entry.again = entry.again ? both(entry.again, ask) : ask;
      return;
    }
    entry.delay?.timer.cancel();
    entry.delay = undefined;
    entry.thorough = thorough || (entry.lane !== undefined && entry.thorough);
    if (entry.lane) {
      if (entry.priority === 'change' || priority === 'resync') return;
      this.#ready.resync.remove(entry);
    } else entry.since = this.#clock.now();
    entry.priority = priority;
    for (const taker of this.#takers) {
      this.#takers.delete(taker);
      taker(this.#start(entry));
      return;
    }
    this.#ready[priority].push(entry, laneOf(entry.key, entry.account));
  }

  #delay(entry: Entry, after: number, ask: Ask): void {
    const at = this.#clock.now() + after;
    // What is ready already is earlier than any delay.
    if (entry.lane || (entry.delay && entry.delay.at <= at)) return;
    entry.delay?.timer.cancel();
    const timer = this.#clock.setTimer(after, () => {
      entry.delay = undefined;
      this.#ask(entry, ask);
    });
    entry.delay = { at, timer };
  }

  #start(entry: Entry): Lease {
    const lease = new MemoryLease(entry, ++this.#token, this.#clock.now() - entry.since);
    entry.running = lease;
    return lease;
  }
}

/** Of two asks for one run what both want. */
function both(before: Ask, after: Ask): Ask {
  return {
    priority: before.priority === 'change' ? 'change' : after.priority,
    thorough: before.thorough || after.thorough,
    unlessFinished: before.unlessFinished === after.unlessFinished ? after.unlessFinished : undefined,
  };
}

/** Whether a run of that version, which has finished, is all that was asked for. */
function isAbout({ unlessFinished, thorough }: Ask, finished: string | undefined): boolean {
  return finished !== undefined && !thorough && unlessFinished === finished;
}
