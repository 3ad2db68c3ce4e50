// A clock that moves only when a test says so. Timers run in order of time, then of creation.
import type { Clock, Timer } from './clock.ts';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();
  readonly #epoch: number;

  /** `epoch`: the calendar time, in milliseconds since 1970, at which the clock starts. */
  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch;
  }

  now(): number {
    return this.#now;
  }

  wallTime(): Date {
    return new Date(this.#epoch + this.#now);
  }

  setTimer(delay: number, callback: () => void): Timer {
    const entry: Pending = { at: this.#now + Math.max(0, delay), order: this.#order++, callback };
    this.#pending.add(entry);
    return { cancel: () => void this.#pending.delete(entry) };
  }

  /** Moves time on by `duration` milliseconds, running every timer that falls due, and lets promises settle between them. */
  async advance(duration: number): Promise<void> {
    const end = this.#now + duration;
    await settle();
    for (let next = this.#earliest(end); next !== undefined; next = this.#earliest(end)) {
      this.#pending.delete(next);
      this.#now = next.at;
      next.callback();
      await settle();
    }
    this.#now = end;
  }

  #earliest(end: number): Pending | undefined {
    let first: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.at > end) continue;
      if (!first || entry.at < first.at || (entry.at === first.at && entry.order < first.order))
        first = entry;
    }
    return first;
  }
}

/** One turn of the event loop: everything already resolved has run its continuations. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
