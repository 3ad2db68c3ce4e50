// From an address to a queue that works. Loaded only where Redis is asked for: bull and ioredis cost 25 MB.
import { type Clock, type Random, sleep } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { RedisAddress } from '../queue-address.ts';
import { connectRedis, fitness } from './connect.ts';
import { RedisQueue, type RedisTimes } from './redis-queue.ts';

/** Milliseconds: between two looks for a Redis that does not answer, and as long as a mere check waits for it. */
const RETRY = 200;
const CHECK_PATIENCE = 3_000;

export interface OpenOptions {
  readonly address: RedisAddress;
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly times?: RedisTimes;
}

export type Opened =
  | { readonly kind: 'open'; readonly queue: RedisQueue }
  | { readonly kind: 'unfit'; readonly problem: string }
  /** The signal came first. */
  | { readonly kind: 'stopped' };

/** Why the Redis that answers there cannot serve; undefined if it can, or does not answer. Throws as openRedisQueue. */
export async function redisProblem(address: RedisAddress, clock: Clock): Promise<string | undefined> {
  const client = connectRedis(address);
  const until = clock.now() + CHECK_PATIENCE;
  let found = await fitness(client);
  while (found.kind === 'away' && clock.now() < until) {
    await sleep(clock, RETRY);
    found = await fitness(client);
  }
  client.disconnect();
  return found.kind === 'unfit' ? found.problem : undefined;
}

/** Waits for Redis as long as it does not answer. Throws when a file that the address names cannot be read. */
export async function openRedisQueue(options: OpenOptions): Promise<Opened> {
  const { address, clock, log, signal } = options;
  const client = connectRedis(address);
  const blocking = connectRedis(address);
  const letGo = () => {
    client.disconnect();
    blocking.disconnect();
  };
  let said: string | undefined;
  let tries = 0;
  while (!signal.aborted) {
    const found = await fitness(client);
    if (found.kind === 'unfit') {
      letGo();
      return found;
    }
    if (found.kind === 'fit') {
      const queue = new RedisQueue({ ...options, client, blocking });
      queue.start();
      return { kind: 'open', queue };
    }
    // A connection is not there at once.
    if (tries++ > 0 && said !== found.error) {
      log.warn({ error: found.error }, 'Redis does not answer; will try again');
      said = found.error;
    }
    await sleep(clock, RETRY, signal);
  }
  letGo();
  return { kind: 'stopped' };
}
