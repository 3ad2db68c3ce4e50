// A worker in a process of its own, to be killed and stopped: takes keys, works for a while, and tells its parent
// what it does and when. "write" stands for what a worker does to the world, and asks its lease right before.
import { setTimeout as pass } from 'node:timers/promises';
import { openQueue } from './opened-queue.ts';

/** Milliseconds on the clock that all processes of one machine share. */
export interface Deed {
  readonly kind: 'begin' | 'write' | 'end';
  readonly key: string;
  readonly token: number;
  readonly at: number;
}

export interface WorkerOptions {
  readonly port: number;
  readonly prefix: string;
  readonly lease: number;
  readonly tick: number;
  readonly concurrency: number;
  /** Milliseconds that each step of a run takes at most; 10 unless it says otherwise. */
  readonly patience?: number;
}

const now = () => Number(process.hrtime.bigint()) / 1e6;

async function work(options: WorkerOptions): Promise<void> {
  const { port, prefix, lease: length, tick, concurrency, patience = 10 } = options;
  const { queue } = await openQueue(
    { kind: 'redis', tls: false, db: 0, servers: { kind: 'one', host: '127.0.0.1', port } },
    prefix,
    { times: { lease: length, tick } },
  );
  const tell = (kind: Deed['kind'], { key, token }: { key: string; token: number }) =>
    process.send?.({ kind, key, token, at: now() } satisfies Deed);
  const { signal } = new AbortController();
  const one = async () => {
    for (let lease = await queue.take(signal); lease; lease = await queue.take(signal)) {
      // A process that was stopped on the way here has lost it already.
      if (lease.held()) tell('begin', lease);
      for (let i = 0; i < 3; i++) {
        await pass(Math.random() * patience);
        if (lease.held()) tell('write', lease);
      }
      if (lease.held()) tell('end', lease);
      queue.done(lease, Math.random() < 0.2 ? { kind: 'retry', after: 5 } : { kind: 'finished' });
    }
  };
  process.send?.('ready');
  await Promise.all(Array.from({ length: concurrency }, one));
}

process.once('disconnect', () => process.exit(0));
await work(JSON.parse(process.argv[2] ?? ''));
