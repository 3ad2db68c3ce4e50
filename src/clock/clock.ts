// Time as a seam: the program asks a Clock, tests hand it a VirtualClock.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a monotonic clock; only differences mean anything. */
  now(): number;
  /** The calendar time, for what people read (events, conditions); never for measuring. */
  wallTime(): Date;
  /** Runs `callback` once after `delay` milliseconds unless it is cancelled first. */
  setTimer(delay: number, callback: () => void): Timer;
}

/** Random numbers as a seam: uniform in [0, 1). */
export type Random = () => number;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => new Date(),
  setTimer(delay, callback) {
    const timeout = setTimeout(callback, delay);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Resolves after `delay` milliseconds, or at once when `signal` aborts; the caller looks at the signal. */
export function sleep(clock: Clock, delay: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.setTimer(delay, done);
    signal?.addEventListener('abort', done);
  });
}
