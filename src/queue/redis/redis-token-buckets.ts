// Token buckets that all controllers share: what a cloud account allows is kept in Redis, on Redis' own clock.
import { type Clock, sleep } from '../../clock/clock.ts';
import type { BucketLimit, TokenBucket, TokenBuckets } from '../token-buckets.ts';
import type { Client } from './bull.ts';
import { runScript } from './run-script.ts';
import { TOKEN } from './scripts.ts';

/** Milliseconds by which a token may be used too late: whoever was stopped for longer asks for another. */
const LATEST = 1_000;

export class RedisTokenBuckets implements TokenBuckets {
  readonly #client: Client;
  readonly #prefix: string;
  readonly #clock: Clock;

  /** `client`: one whose scripts are defined. */
  constructor(client: Client, prefix: string, clock: Clock) {
    this.#client = client;
    this.#prefix = prefix;
    this.#clock = clock;
  }

  bucket(name: string, { perSecond, burst }: BucketLimit): TokenBucket {
    const key = `${this.#prefix}:bucket:${name}`;
    const each = 1_000_000 / perSecond;
    return {
      take: async () => {
        for (;;) {
          const asked = this.#clock.now();
          const wait = Number(await runScript(this.#client, TOKEN, [key], [each, burst])) / 1000;
          if (wait > 0) await sleep(this.#clock, wait);
          if (this.#clock.now() - asked < wait + LATEST) return;
        }
      },
    };
  }
}
