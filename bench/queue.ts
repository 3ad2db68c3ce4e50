// How fast the work queue turns over, in memory and on a Redis of the distribution's own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { systemClock } from '../src/clock/clock.ts';
import { createLogger } from '../src/observe/logger.ts';
import { MemoryQueue } from '../src/queue/memory-queue.ts';
import type { RedisAddress } from '../src/queue/queue-address.ts';
import { openRedisQueue } from '../src/queue/redis/open.ts';
import type { RedisQueue, RedisTimes } from '../src/queue/redis/redis-queue.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

const KEYS = 100_000;
const ROUNDS = 11;
const REDIS_KEYS = 20_000;
/** Keys under way at a time. */
const WORKERS = 32;
/** Keys a second, and how many of them, whose latency is measured. */
const PACE = { rate: 500, keys: 3_000 };
/** A new Redis imposes the wait of one lease before the first key. */
const SHORT: RedisTimes = { lease: 1_000, tick: 250 };

export async function queue(): Promise<BenchRow[]> {
  const rates: number[] = [];
  for (let i = 0; i < ROUNDS; i++) rates.push(await memoryRate());
  const redis = await startRedis();
  const address: RedisAddress = {
    kind: 'redis',
    tls: false,
    db: 0,
    servers: { kind: 'one', host: '127.0.0.1', port: PORT },
  };
  const waits = await paced(address);
  const rate = await redisRate(address);
  redis.kill();
  return [
    {
      name: `queue in memory, ${KEYS} keys, add + take + done, median of ${ROUNDS}`,
      value: quantile(rates, 0.5),
      unit: 'per second',
      target: '>= 500,000',
    },
    {
      name: `queue on Redis, ${REDIS_KEYS} keys, ${WORKERS} at a time, add + take + done`,
      value: rate,
      unit: 'per second',
      target: '>= 3,000',
    },
    {
      name: `queue on Redis, ${PACE.rate} keys a second, from add to take, 99th percentile`,
      value: quantile(waits, 0.99),
      unit: 'ms',
      target: '< 20',
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

const PORT = 16_379;

async function startRedis(): Promise<ChildProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const args = ['--port', String(PORT), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  child.once('exit', () => rmSync(folder, { recursive: true }));
  return child;
}

async function open(address: RedisAddress, name: string): Promise<RedisQueue> {
  const opened = await openRedisQueue({
    address,
    prefix: `{fairlead:${name}}`,
    clock: systemClock,
    random: Math.random,
    log: createLogger({ component: 'bench', level: 'error' }),
    signal: new AbortController().signal,
    times: SHORT,
  });
  if (opened.kind !== 'open') throw new Error(`the Redis cannot serve: ${opened.kind}`);
  const { queue } = opened;
  // The first key waits for what a new Redis imposes.
  queue.add('warm/up');
  const lease = await queue.take(new AbortController().signal);
  if (lease) queue.done(lease, { kind: 'finished' });
  await queue.settled();
  return queue;
}

async function redisRate(address: RedisAddress): Promise<number> {
  const queue = await open(address, 'rate');
  const { signal } = new AbortController();
  const began = performance.now();
  for (let i = 0; i < REDIS_KEYS; i++) queue.add(`shop/s${i}`);
  let left = REDIS_KEYS;
  const work = async () => {
    while (left-- > 0) {
      const lease = await queue.take(signal);
      if (lease) queue.done(lease, { kind: 'finished' });
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  await queue.settled();
  const rate = Math.round((REDIS_KEYS * 1000) / (performance.now() - began));
  await queue.close();
  return rate;
}

/** Milliseconds from each add to its take, in order. */
async function paced(address: RedisAddress): Promise<number[]> {
  const queue = await open(address, 'pace');
  const stop = new AbortController();
  const added = new Map<string, number>();
  const waits: number[] = [];
  const work = async () => {
    for (let lease = await queue.take(stop.signal); lease; lease = await queue.take(stop.signal)) {
      waits.push(performance.now() - (added.get(lease.key) ?? 0));
      queue.done(lease, { kind: 'finished' });
    }
  };
  const workers = Array.from({ length: WORKERS }, work);
  const began = performance.now();
  for (let i = 0; i < PACE.keys; i++) {
    const due = began + (i * 1000) / PACE.rate;
    await pass(Math.max(0, due - performance.now()));
    added.set(`shop/s${i}`, performance.now());
    queue.add(`shop/s${i}`);
  }
  while (waits.length < PACE.keys) await pass(5);
  stop.abort();
  await Promise.all(workers);
  await queue.close();
  return waits;
}
