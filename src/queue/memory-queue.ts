// WorkQueue in this process's memory: the default.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import type { WorkOutcome, WorkQueue } from './work-queue.ts';

/** Milliseconds: the first retry, and the most that it grows to by doubling. */
const BACKOFF = { first: 5, most: 60_000 };

interface Delay {
  readonly at: number;
  readonly timer: Timer;
}

export class MemoryQueue implements WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  /** In order of arrival. */
  readonly #ready = new Set<string>();
  readonly #delayed = new Map<string, Delay>();
  readonly #running = new Set<string>();
  /** Keys that were added while they ran. */
  readonly #again = new Set<string>();
  readonly #retries = new Map<string, number>();
  readonly #takers = new Set<(key: string) => void>();

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = clock;
    this.#random = random;
  }

  add(key: string, { after = 0 }: { readonly after?: number } = {}): void {
    if (after > 0) this.#delay(key, after);
    else if (this.#running.has(key)) this.#again.add(key);
    else this.#makeReady(key);
  }

  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const first = this.#ready.values().next();
    if (!first.done) {
      this.#start(first.value);
      return Promise.resolve(first.value);
    }
    return new Promise((resolve) => {
      const onAbort = () => {
        this.#takers.delete(taker);
        resolve(undefined);
      };
      const taker = (key: string) => {
        signal.removeEventListener('abort', onAbort);
        resolve(key);
      };
      this.#takers.add(taker);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  done(key: string, outcome: WorkOutcome): void {
    this.#running.delete(key);
    if (outcome.kind === 'finished') this.#retries.delete(key);
    else this.#delay(key, outcome.after ?? this.#backoff(key));
    if (this.#again.delete(key)) this.#makeReady(key);
  }

  depth(): { readonly ready: number; readonly delayed: number; readonly running: number } {
    return {
      ready: this.#ready.size + this.#again.size,
      delayed: this.#delayed.size,
      running: this.#running.size,
    };
  }

  #backoff(key: string): number {
    const retries = this.#retries.get(key) ?? 0;
    this.#retries.set(key, retries + 1);
    return Math.min(BACKOFF.most, BACKOFF.first * 2 ** retries) * (0.5 + this.#random() / 2);
  }

  #delay(key: string, after: number): void {
    const at = this.#clock.now() + after;
    const known = this.#delayed.get(key);
    // What is ready already is earlier than any delay.
    if (this.#ready.has(key) || (known && known.at <= at)) return;
    known?.timer.cancel();
    const timer = this.#clock.setTimer(after, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, timer });
  }

  #makeReady(key: string): void {
    this.#delayed.get(key)?.timer.cancel();
    this.#delayed.delete(key);
    const taker = this.#takers.values().next();
    if (taker.done) {
      this.#ready.add(key);
      return;
    }
    this.#takers.delete(taker.value);
    this.#running.add(key);
    taker.value(key);
  }

  #start(key: string): void {
    this.#ready.delete(key);
    this.#running.add(key);
  }
}
