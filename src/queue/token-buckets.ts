// Token buckets: how often something may be done, however many do it.
import { type Clock, sleep } from '../clock/clock.ts';

export interface BucketLimit {
  readonly perSecond: number;
  /** Tokens in a full bucket. */
  readonly burst: number;
}

export interface TokenBucket {
  /** Resolves when a token is there, in the order of asking. Rejects where nobody knows of the bucket just now. */
  take(): Promise<void>;
}

/** Buckets by name: all who ask for one name share one. */
export interface TokenBuckets {
  bucket(name: string, limit: BucketLimit): TokenBucket;
}

/** Buckets of this process alone. */
export class MemoryTokenBuckets implements TokenBuckets {
  readonly #clock: Clock;
  /** When each bucket would be full again, on the clock. */
  readonly #fullAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  bucket(name: string, { perSecond, burst }: BucketLimit): TokenBucket {
    const each = 1000 / perSecond;
    return {
      take: async () => {
        const now = this.#clock.now();
        const fullAt = Math.max(now, this.#fullAt.get(name) ?? now) + each;
        this.#fullAt.set(name, fullAt);
        const wait = fullAt - now - burst * each;
        if (wait > 0) await sleep(this.#clock, wait);
      },
    };
  }
}
