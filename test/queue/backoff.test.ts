import { describe, expect, it } from 'vitest';
import { BACKOFF, backoff } from '../../src/queue/work-queue.ts';

describe('the backoff of a key', () => {
  it('doubles with each retry up to a minute', () => {
    const waits = Array.from({ length: 40 }, (_, retries) => backoff(retries, 1));
    expect(waits.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(Math.max(...waits)).toBe(BACKOFF.most);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
  });

  it('spreads the retries of many keys over half of the wait', () => {
    const spread = [0, 0.25, 0.5, 0.75].map((random) => backoff(4, random));
    expect(spread).toEqual([40, 50, 60, 70]);
  });
});
