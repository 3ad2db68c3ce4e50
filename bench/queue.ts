// How fast the work queue turns over.
import { systemClock } from '../src/clock/clock.ts';
import { MemoryQueue } from '../src/queue/memory-queue.ts';
import type { BenchRow } from './row.ts';

const KEYS = 100_000;
const ROUNDS = 11;

export async function queue(): Promise<BenchRow[]> {
  const rates: number[] = [];
  for (let i = 0; i < ROUNDS; i++) rates.push(await memoryRate());
  return [
    {
      name: `queue in memory, ${KEYS} keys, add + take + done, median of ${ROUNDS}`,
      value: rates.sort((a, b) => a - b)[(ROUNDS - 1) / 2] ?? 0,
      unit: 'per second',
      target: '>= 500,000',
    },
  ];
}

/** All keys wait at a time before the first is taken. */
async function memoryRate(): Promise<number> {
  const queue = new MemoryQueue({ clock: systemClock, random: Math.random });
  const { signal } = new AbortController();
  const keys = Array.from({ length: KEYS }, (_, i) => `shop/s${i}`);
  const began = performance.now();
  for (const key of keys) queue.add(key);
  for (let i = 0; i < KEYS; i++) {
    const lease = await queue.take(signal);
    if (lease) queue.done(lease, { kind: 'finished' });
  }
  return Math.round((KEYS * 1000) / (performance.now() - began));
}
