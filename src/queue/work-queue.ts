// The contract of a work queue over keys (`namespace/name`). A key that is added many times runs once; a key that
// is running is never run twice at a time, and runs again if it was added meanwhile.

/** What goes first among the keys that are ready: what somebody changed or deleted, before a mere second look. */
export type Priority = 'change' | 'resync';

export interface AddOptions {
  /** Not before so many milliseconds; of several adds the earliest counts. */
  readonly after?: number;
  /** Default: `change`. Of several adds the highest counts. */
  readonly priority?: Priority;
  /**
   * The cloud account that the work goes to. The keys of one account in one namespace form a lane, and lanes
   * take turns. Keys without an account are one lane together: addresses from pools are given by age.
   */
  readonly account?: string;
  /** Not if the queue knows the key, and that its last run that finished, or the one under way, was of this version. */
  readonly unlessFinished?: string;
  /** Look at everything anew. Of several adds that are ready one is enough; an earlier run takes the place of a delayed one. */
  readonly thorough?: boolean;
}

/** The right to run one key. */
export interface Lease {
  readonly key: string;
  /** Greater than those of all earlier runs of the key, in the whole cluster. */
  readonly token: number;
  /** Milliseconds from when the key was due until it was taken. */
  readonly waited: number;
  /** Somebody asked for a run that trusts nothing that is remembered of earlier ones. */
  readonly thorough: boolean;
  /** To be asked right before each write: false once another worker may run the key. */
  held(): boolean;
}

export type WorkOutcome =
  | {
      readonly kind: 'finished';
      /** Of what the key stands for, as the run saw it. */
      readonly version?: string;
      /** Run it again after so many milliseconds, as a `resync`. */
      readonly again?: number;
      /** That run is a thorough one. */
      readonly thorough?: boolean;
    }
  /** Run it again: after so many milliseconds, or after a backoff that grows with each retry in a row. */
  | {
      readonly kind: 'retry';
      readonly after?: number;
      /**
       * What is wrong with this key itself. After PARK_AFTER retries in a row that name an error the key is
       * parked: it does not run again until it is added as a `change`, or released.
       */
      readonly error?: string;
    };

export interface ParkedKey {
  readonly key: string;
  readonly account: string;
  readonly error: string;
}

export interface Counts {
  readonly ready: number;
  readonly delayed: number;
  readonly running: number;
  readonly parked: number;
}

export const NO_KEYS: Counts = { ready: 0, delayed: 0, running: 0, parked: 0 };

export interface QueueView extends Counts {
  /** Milliseconds that the oldest ready key has waited. */
  readonly oldest: number;
  /** By account, those without one under "". */
  readonly accounts: Readonly<Record<string, Counts>>;
  /** At most MOST_PARKED_SHOWN, in order of key. */
  readonly parkedKeys: readonly ParkedKey[];
}

export interface WorkQueue {
  add(key: string, options?: AddOptions): void;
  /** The next key that is ready, oldest first within its lane; undefined when `signal` aborts. */
  take(signal: AbortSignal): Promise<Lease | undefined>;
  /** Ends the run that `take` began; nothing if its lease was lost. */
  done(lease: Lease, outcome: WorkOutcome): void;
  view(): Promise<QueueView>;
  /** Lets a parked key run again. False: no such key is parked. */
  release(key: string): Promise<boolean>;
  /** Hears that keys may have been forgotten: whoever knows what is to be done adds it all again. Returns the way out. */
  subscribe(listener: () => void): () => void;
}

/** Backoff in milliseconds: the first retry, and the most that it grows to by doubling. */
export const BACKOFF = { first: 5, most: 60_000 };
/** With the backoff above: five minutes of trying, most of them at a minute's distance. */
export const PARK_AFTER = 20;
export const MOST_PARKED_SHOWN = 100;

/** The wait before the next try after `retries` in a row: with jitter, so that many keys do not come back as one. */
export function backoff(retries: number, random: number): number {
  return Math.min(BACKOFF.most, BACKOFF.first * 2 ** retries) * (0.5 + random / 2);
}

/** The lane of a key: see AddOptions.account. */
export function laneOf(key: string, account: string): string {
  return account === '' ? '' : `${account} ${key.slice(0, key.indexOf('/'))}`;
}
