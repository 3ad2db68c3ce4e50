// AWS's token buckets, by name.
import type { Clock } from '../../clock/clock.ts';
import type { Bucket } from './cloud.ts';

export class Throttle {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the bucket of that name had a token. */
  take(name: string, { burst, perSecond }: Bucket): boolean {
    const now = this.#clock.now();
    const { tokens, at } = this.#buckets.get(name) ?? { tokens: burst, at: now };
    const filled = Math.min(burst, tokens + ((now - at) / 1000) * perSecond);
    this.#buckets.set(name, { tokens: filled >= 1 ? filled - 1 : filled, at: now });
    return filled >= 1;
  }
}
