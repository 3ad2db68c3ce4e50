// A RedisQueue of a test: a process of its own as far as Redis can tell.
import type { Random } from '../../../src/clock/clock.ts';
import { systemClock } from '../../../src/clock/clock.ts';
import { createLogger } from '../../../src/observe/logger.ts';
import type { RedisAddress } from '../../../src/queue/queue-address.ts';
import type { Client } from '../../../src/queue/redis/bull.ts';
import { connectRedis } from '../../../src/queue/redis/connect.ts';
import { RedisQueue, type RedisTimes } from '../../../src/queue/redis/redis-queue.ts';

export interface OpenedQueue {
  readonly queue: RedisQueue;
  readonly client: Client;
  readonly blocking: Client;
  readonly logged: string[];
}

export async function openQueue(
  address: RedisAddress,
  prefix: string,
  { times, random = Math.random }: { readonly times?: RedisTimes; readonly random?: Random } = {},
): Promise<OpenedQueue> {
  const client = connectRedis(address);
  const blocking = connectRedis(address);
  await Promise.all([ready(client), ready(blocking)]);
  const logged: string[] = [];
  const destination = {
    write: (line: string) => {
      logged.push(JSON.parse(line).msg);
    },
  };
  const log = createLogger({ component: 'test', level: 'info', destination });
  const queue = new RedisQueue({
    client,
    blocking,
    prefix,
    clock: systemClock,
    random,
    log,
    ...(times ? { times } : {}),
  });
  queue.start();
  return { queue, client, blocking, logged };
}

function ready(client: Client): Promise<void> {
  return new Promise((resolve) => (client.status === 'ready' ? resolve() : client.once('ready', resolve)));
}
