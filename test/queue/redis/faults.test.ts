// What the queue on Redis promises while workers and Redis fail: no two runs of a key at a time, and none lost.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Link } from './link.ts';
import { type OpenedQueue, openQueue } from './opened-queue.ts';
import { RedisServer } from './redis-server.ts';
import type { Deed, WorkerOptions } from './worker-process.ts';

const TIMES = { lease: 800, tick: 150 };
/** As in src/queue/redis/redis-queue.ts. */
const DEFAULT_TIMES = { lease: 4_000, tick: 1_000 };
const PREFIX = '{fairlead:faults}';
const WORKERS = 3;
const KEYS = Array.from({ length: 40 }, (_, i) => `ns${i % 4}/s${i}`);
/** Milliseconds, only waited for by a test that fails. */
const PATIENCE = 40_000;

const FAULTS = [
  'a worker is killed',
  'a worker is stopped for longer than its lease',
  'Redis is emptied',
  'Redis restarts empty',
  'Redis is stopped for longer than a lease',
  'every connection is closed',
  'a worker is cut off from Redis for longer than its lease',
  'Redis is slow',
] as const;

const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Some workers in processes of their own, and the party that knows what is to be done. */
class Site {
  readonly server: RedisServer;
  readonly deeds: Deed[] = [];
  /** When each key was asked for last. */
  readonly asked = new Map<string, number>();
  readonly #adder: OpenedQueue;
  /** Each worker's way to Redis. */
  #links: Link[] = [];
  #workers: ChildProcess[] = [];

  private constructor(server: RedisServer, adder: OpenedQueue) {
    this.server = server;
    this.#adder = adder;
    // As the reconciler does from the API server.
    adder.queue.subscribe(() => {
      for (const key of this.asked.keys()) adder.queue.add(key, { priority: 'resync' });
    });
  }

  static async open(): Promise<Site> {
    const server = await RedisServer.start();
    const site = new Site(server, await openQueue(server.address, PREFIX, { times: TIMES }));
    onTestFinished(() => site.close());
    site.#links = await Promise.all(Array.from({ length: WORKERS }, () => Link.open(server.port)));
    site.#workers = await Promise.all(site.#links.map((_, which) => site.#hire(which)));
    return site;
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) worker.kill('SIGKILL');
    for (const link of this.#links) link.close();
    await this.#adder.queue.close();
    await this.server.close();
  }

  add(key: string): void {
    this.asked.set(key, now());
    this.#adder.queue.add(key);
  }

  async commit(fault: (typeof FAULTS)[number], which: number): Promise<void> {
    const worker = this.#workers[which % WORKERS];
    if (!worker) throw new Error('no such worker');
    switch (fault) {
      case 'a worker is killed':
        await busy(worker);
        worker.kill('SIGKILL');
        this.#workers[which % WORKERS] = await this.#hire(which % WORKERS);
        return;
      case 'a worker is stopped for longer than its lease':
        await busy(worker);
        worker.kill('SIGSTOP');
        await pass(TIMES.lease * 3);
        worker.kill('SIGCONT');
        return;
      case 'Redis is emptied':
        return this.#order((redis) => redis.flushall());
      case 'Redis restarts empty':
        await this.server.kill();
        return this.server.start();
      case 'Redis is stopped for longer than a lease':
        this.server.pause();
        await pass(TIMES.lease * 1.5);
        this.server.resume();
        return;
      case 'every connection is closed':
        return this.#order((redis) => redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
      case 'a worker is cut off from Redis for longer than its lease':
        await busy(worker);
        this.#links[which % WORKERS]?.cut();
        await pass(TIMES.lease * 2);
        this.#links[which % WORKERS]?.mend();
        return;
      case 'Redis is slow':
        for (const link of this.#links) link.delay = 100;
        await pass(TIMES.lease * 2);
        for (const link of this.#links) link.delay = 0;
        return;
    }
  }

  /** Resolves when every key has been run to its end by a run that began after it was asked for. */
  async done(): Promise<void> {
    const deadline = now() + PATIENCE;
    for (;;) {
      const missing = this.#missing();
      if (missing.length === 0) return;
      if (now() > deadline) expect(missing, 'keys that were lost').toEqual([]);
      await pass(20);
    }
  }

  /** Deeds of runs of one key that overlap in time: what was done for an older run after a newer one began. */
  overlaps(): Deed[] {
    const newest = new Map<string, number>();
    return this.deeds
      .toSorted((a, b) => a.at - b.at)
      .filter(({ key, token }) => {
        const before = newest.get(key) ?? 0;
        newest.set(key, Math.max(before, token));
        return token < before;
      });
  }

  #missing(): string[] {
    const begun = new Map<number, number>();
    const finished = new Map<string, number>();
    for (const { kind, key, token, at } of this.deeds) {
      if (kind === 'begin') begun.set(token, at);
      if (kind === 'end') finished.set(key, Math.max(finished.get(key) ?? 0, begun.get(token) ?? 0));
    }
    return [...this.asked].filter(([key, at]) => (finished.get(key) ?? 0) < at).map(([key]) => key);
  }

  async #hire(which: number): Promise<ChildProcess> {
    const port = this.#links[which]?.port ?? this.server.port;
    const options: WorkerOptions = { port, prefix: PREFIX, ...TIMES, concurrency: 4 };
    const worker = hire(options);
    worker.on('message', (message: Deed | 'ready') => {
      if (message !== 'ready') this.deeds.push(message);
    });
    await once(worker, 'message');
    return worker;
  }

  async #order(command: (redis: Redis) => Promise<unknown>): Promise<void> {
    const redis = new Redis(this.server.port, '127.0.0.1');
    await command(redis);
    redis.disconnect();
  }
}

describe('the queue on Redis', () => {
  it('never runs a key twice at a time and loses none, whatever fails', async () => {
    const site = await Site.open();
    const history = fc.sample(
      fc.record({
        fault: fc.constantFrom(...FAULTS),
        which: fc.nat(WORKERS - 1),
        keys: fc.array(fc.constantFrom(...KEYS), { minLength: 10, maxLength: 40 }),
      }),
      14,
    );
    // Each fault at least once.
    for (const [i, { fault, which, keys }] of history.entries()) {
      for (const key of keys) site.add(key);
      const committing = site.commit(FAULTS[i] ?? fault, which);
      for (const key of keys) {
        await pass(5);
        site.add(key);
      }
      await committing;
    }
    await site.done();
    expect(site.overlaps()).toEqual([]);
    expect(site.deeds.length).toBeGreaterThan(KEYS.length * 5);
  }, 120_000);

  it('gives the key of a killed worker to another within ten seconds, with the times of every installation', async () => {
    const server = await started();
    const { queue } = await openQueue(server.address, PREFIX);
    onTestFinished(() => queue.close());
    const options: WorkerOptions = { port: server.port, prefix: PREFIX, ...DEFAULT_TIMES, concurrency: 1 };
    const worker = hire({ ...options, patience: 3_600_000 });
    queue.add('shop/a');
    await once(worker, 'message'); // ready
    const [deed] = (await once(worker, 'message')) as [Deed];
    worker.kill('SIGKILL');
    const killed = now();
    const lease = await queue.take(new AbortController().signal);
    expect(now() - killed).toBeLessThan(10_000);
    expect(lease).toMatchObject({ key: 'shop/a' });
    expect(lease?.token).toBeGreaterThan(deed.token);
  }, 60_000);

  it('hands over what runs when a controller stops', async () => {
    const server = await started();
    const times = { lease: 600, tick: 100 };
    const first = await openQueue(server.address, PREFIX, { times });
    const second = await openQueue(server.address, PREFIX, { times: { ...times, lease: 3_600_000 } });
    onTestFinished(() => second.queue.close());
    first.queue.add('shop/a');
    const { signal } = new AbortController();
    const lease = await first.queue.take(signal);
    await first.queue.close();
    expect(lease?.held()).toBe(false);
    expect(await second.queue.take(signal)).toMatchObject({ key: 'shop/a' });
  }, 60_000);

  it('keeps its leases in a Redis that is full, and takes on what was added when there is room again', async () => {
    const server = await started();
    const { queue, client, logged } = await openQueue(server.address, PREFIX, { times: TIMES });
    onTestFinished(() => queue.close());
    const { signal } = new AbortController();
    queue.add('shop/a');
    const lease = await queue.take(signal);
    await (client as Redis).config('SET', 'maxmemory', '1');
    queue.add('shop/b');
    const taken = queue.take(signal);
    while (!logged.includes('Redis fails; will try again')) await pass(20);
    await pass(TIMES.lease * 2);
    expect(lease?.held()).toBe(true);
    await (client as Redis).config('SET', 'maxmemory', '0');
    expect(await taken).toMatchObject({ key: 'shop/b' });
  }, 60_000);

  it('is not held up by what bull leaves of a job that is removed while it is fetched', async () => {
    const server = await started();
    const { queue, client } = await openQueue(server.address, PREFIX, { times: TIMES });
    onTestFinished(() => queue.close());
    await client.hset(`${PREFIX}:work:shop/a`, 'processedOn', '1');
    queue.add('shop/a');
    const lease = await queue.take(new AbortController().signal);
    expect(lease).toMatchObject({ key: 'shop/a' });
  }, 60_000);

  it('leaves the keys of another cluster in the same Redis alone', async () => {
    const server = await started();
    const one = await openQueue(server.address, '{fairlead:one}', { times: TIMES });
    const two = await openQueue(server.address, '{fairlead:two}', { times: TIMES });
    onTestFinished(() => Promise.all([one.queue.close(), two.queue.close()]).then(() => {}));
    one.queue.add('shop/a');
    two.queue.add('shop/b');
    const { signal } = new AbortController();
    expect(await one.queue.take(signal)).toMatchObject({ key: 'shop/a' });
    expect(await two.queue.take(signal)).toMatchObject({ key: 'shop/b' });
    expect(await one.queue.view()).toMatchObject({ ready: 0, running: 1 });
  }, 60_000);
});

async function started(): Promise<RedisServer> {
  const server = await RedisServer.start();
  onTestFinished(() => server.close());
  return server;
}

/** Resolves in the middle of a run of that worker's, if it gets one. */
async function busy(worker: ChildProcess): Promise<void> {
  await Promise.race([once(worker, 'message'), pass(500)]);
}

function hire(options: WorkerOptions): ChildProcess {
  return fork(join(import.meta.dirname, 'worker-process.ts'), [JSON.stringify(options)]);
}
