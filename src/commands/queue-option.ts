// --queue: where the controller keeps what it has to do.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../clock/clock.ts';
import type { NamespaceObject } from '../kube/objects.ts';
import type { Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import { MemoryQueue } from '../queue/memory-queue.ts';
import { type QueueAddress, readQueueAddress, withoutPassword } from '../queue/queue-address.ts';
import { MemoryTokenBuckets, type TokenBuckets } from '../queue/token-buckets.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { UsageError } from './usage-error.ts';

export interface QueueOptions {
  readonly queue: QueueAddress;
}

export function addQueueOption(command: Command): Command {
  const where = 'where the work waits: memory, redis[s]://, redis[s]+sentinel:// or redis[s]+cluster://';
  return command.addOption(
    new Option('--queue <memory|redis://...>', where)
      .argParser(queueAddress)
      .default({ kind: 'memory' } satisfies QueueAddress, 'memory'),
  );
}

/** Commander shows what it refuses: a password must not be in it. */
function queueAddress(text: string): QueueAddress {
  const read = readQueueAddress(text);
  if (read.kind === 'valid') return read.value;
  if (withoutPassword(text) === text) throw new InvalidArgumentError(read.mend);
  throw new UsageError(`--queue ${withoutPassword(text)}: ${read.mend}`);
}

/** Throws UsageError for a Redis that answers and cannot serve; one that does not answer may come yet. */
export async function checkQueue({ queue: address }: QueueOptions): Promise<void> {
  if (address.kind === 'memory') return;
  const { redisProblem } = await import('../queue/redis/open.ts');
  const problem = await namingFiles(() => redisProblem(address, systemClock));
  if (problem !== undefined) throw new UsageError(`--queue: the Redis cannot serve: ${problem}`);
}

export interface OpenedQueue {
  readonly queue: WorkQueue;
  /** Where the queue is shared these are, too. */
  readonly buckets: TokenBuckets;
  close(): Promise<void>;
}

export interface QueuePlace {
  /** The work of the leader alone, and that of every controller: nobody takes from the other's queue. */
  readonly share: 'leader' | 'clouds';
  readonly namespaces: Store<NamespaceObject>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Waits until the queue can be used; undefined when `signal` comes first. Throws UsageError as checkQueue does. */
export async function openQueue(
  { queue: address }: QueueOptions,
  { share, namespaces, log, signal }: QueuePlace,
): Promise<OpenedQueue | undefined> {
  const parts = { clock: systemClock, random: Math.random };
  if (address.kind === 'memory')
    return {
      queue: new MemoryQueue(parts),
      buckets: new MemoryTokenBuckets(systemClock),
      close: async () => {},
    };
  const { openRedisQueue } = await import('../queue/redis/open.ts');
  const prefix = `{fairlead:${clusterId(namespaces)}}:${share}`;
  const opened = await namingFiles(() => openRedisQueue({ ...parts, address, prefix, log, signal }));
  if (opened.kind === 'stopped') return undefined;
  if (opened.kind === 'unfit') throw new UsageError(`--queue: the Redis cannot serve: ${opened.problem}`);
  log.info({ prefix }, 'the queue is on Redis');
  const { queue } = opened;
  return { queue, buckets: queue.buckets, close: () => queue.close() };
}

/** Tells clusters that share a Redis apart: namespaces are not made anew in the life of a cluster, least this one. */
function clusterId(namespaces: Store<NamespaceObject>): string {
  const namespace = namespaces.get('kube-system') ?? namespaces.get('default');
  return namespace?.metadata.uid ?? '';
}

async function namingFiles<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && 'path' in error) throw new UsageError(`--queue: ${error.message}`);
    throw error;
  }
}
