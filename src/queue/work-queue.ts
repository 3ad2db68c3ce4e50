// The contract of a work queue over keys (`namespace/name`). A key that is added twice runs once; a key that
// is running is never run twice at a time, and runs again if it was added meanwhile.

export type WorkOutcome =
  | { readonly kind: 'finished' }
  /** Run it again: after so many milliseconds, or after a backoff that grows with each retry in a row. */
  | { readonly kind: 'retry'; readonly after?: number };

export interface WorkQueue {
  /** `after`: not before so many milliseconds; of several adds the earliest counts. */
  add(key: string, options?: { readonly after?: number }): void;
  /** The next key that is ready, oldest first; undefined when `signal` aborts. */
  take(signal: AbortSignal): Promise<string | undefined>;
  /** Ends the run that `take` began. */
  done(key: string, outcome: WorkOutcome): void;
  /** How many keys wait, ready or delayed, and how many run. */
  depth(): { readonly ready: number; readonly delayed: number; readonly running: number };
}
