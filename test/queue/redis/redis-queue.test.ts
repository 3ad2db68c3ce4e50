// The queue on a real Redis.
import { setTimeout as pass } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { describeWorkQueue } from '../work-queue.conformance.ts';
import { openQueue } from './opened-queue.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.port, '127.0.0.1');
});
afterAll(async () => {
  redis.disconnect();
  await server.close();
});

/** A queue that is new to its Redis hands out nothing for the time of a lease; these tests need not wait for that. */
async function knowEpoch(prefix: string): Promise<void> {
  const run = /run_id:(\w+)/.exec(await redis.info('server'))?.[1];
  await redis.set(`${prefix}:epoch:`, `${run}:0`);
}

let made = 0;
describeWorkQueue(
  'RedisQueue',
  async (random) => {
    const prefix = `{fairlead:${made++}}`;
    await knowEpoch(prefix);
    const { queue } = await openQueue(server.address, prefix, { random });
    return {
      queue,
      exact: false,
      now: () => performance.now(),
      pass: async (milliseconds) => void (await pass(milliseconds)),
      settle: () => queue.settled(),
      close: () => queue.close(),
    };
  },
  10,
);
