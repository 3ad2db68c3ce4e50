// The right to run a key, as long as Redis grants it and by this process's own clock.
import type { Clock } from '../../clock/clock.ts';
import type { Lease } from '../work-queue.ts';
import type { Job } from './bull.ts';

/**
 * Part of its time for which the holder of a lease trusts it, counted from when it asked for it: clocks may differ
 * in rate by 1 %, and a write that began needs time to arrive.
 */
const TRUSTED = 0.9;

export class RedisLease implements Lease {
  readonly job: Job;
  readonly key: string;
  readonly token: number;
  readonly waited: number;
  readonly thorough: boolean;
  readonly #clock: Clock;
  #until: number;

  /** `asked`: when the lease of so many milliseconds was asked for. */
  constructor(
    job: Job,
    grant: { readonly token: number; readonly waited: number; readonly thorough: boolean },
    time: { readonly clock: Clock; readonly asked: number; readonly length: number },
  ) {
    this.job = job;
    this.key = String(job.id);
    this.token = grant.token;
    this.waited = grant.waited;
    this.thorough = grant.thorough;
    this.#clock = time.clock;
    this.#until = time.asked + time.length * TRUSTED;
  }

  /** By the clock, not by a timer: a process that was stopped looks here before it writes. */
  held(): boolean {
    return this.#clock.now() < this.#until;
  }

  renewed(asked: number, length: number): void {
    if (this.held()) this.#until = asked + length * TRUSTED;
  }

  end(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }
}
