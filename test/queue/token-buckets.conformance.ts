// What token buckets must do, wherever they are kept: by the contract in src/queue/token-buckets.ts.
import { describe, expect, it } from 'vitest';
import type { TokenBuckets } from '../../src/queue/token-buckets.ts';

export interface BucketsUnderTest {
  /** Two parties that share their buckets. */
  readonly parties: readonly [TokenBuckets, TokenBuckets];
  /** Milliseconds on the clock that the buckets go by. */
  now(): number;
  pass(milliseconds: number): Promise<void>;
}

const LIMIT = { perSecond: 100, burst: 5 };

export function describeTokenBuckets(name: string, make: () => BucketsUnderTest): void {
  /** Times, since the first was asked for, at which so many tokens were there, taken by both parties in turn. */
  const taken = async ({ parties, now, pass }: BucketsUnderTest, bucket: string, count: number) => {
    const began = now();
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const party = parties[i % 2];
      party
        ?.bucket(bucket, LIMIT)
        .take()
        .then(() => times.push(now() - began));
    }
    while (times.length < count) await pass(5);
    return times;
  };

  describe(`${name} as token buckets`, () => {
    it('give all parties together a burst, then so many a second, and no more', async () => {
      const times = await taken(make(), 'one', 25);
      for (const [i, at] of times.entries()) {
        const due = Math.max(0, i + 1 - LIMIT.burst) * 10;
        expect(at, `token ${i + 1}`).toBeGreaterThanOrEqual(due - 1);
      }
    });

    it('fill up while nobody takes, and never above the burst', async () => {
      const buckets = make();
      await taken(buckets, 'two', 15);
      await buckets.pass(500);
      const times = await taken(buckets, 'two', 15);
      expect(times.at(-1)).toBeGreaterThanOrEqual(99);
    });

    it('are apart by name', async () => {
      const buckets = make();
      const order: string[] = [];
      const busy = taken(buckets, 'three', 40).then(() => order.push('three'));
      await taken(buckets, 'four', LIMIT.burst).then(() => order.push('four'));
      await busy;
      expect(order).toEqual(['four', 'three']);
    });
  });
}
