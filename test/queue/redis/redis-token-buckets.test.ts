// Token buckets on a real Redis, shared by two controllers.
import { setTimeout as pass } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../src/clock/clock.ts';
import type { Client } from '../../../src/queue/redis/bull.ts';
import { connectRedis } from '../../../src/queue/redis/connect.ts';
import { RedisTokenBuckets } from '../../../src/queue/redis/redis-token-buckets.ts';
import { defineScripts } from '../../../src/queue/redis/run-script.ts';
import { describeTokenBuckets } from '../token-buckets.conformance.ts';
import { RedisServer } from './redis-server.ts';

let server: RedisServer;
let clients: readonly [Client, Client];
beforeAll(async () => {
  server = await RedisServer.start();
  clients = [connectRedis(server.address), connectRedis(server.address)];
  for (const client of clients) {
    defineScripts(client);
    await new Promise((resolve) => client.once('ready', resolve));
  }
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await server.close();
});

let made = 0;
describeTokenBuckets('RedisTokenBuckets', () => {
  const prefix = `{fairlead:buckets${made++}}`;
  const [one, two] = clients;
  return {
    parties: [
      new RedisTokenBuckets(one, prefix, systemClock),
      new RedisTokenBuckets(two, prefix, systemClock),
    ],
    now: () => performance.now(),
    pass: async (duration) => void (await pass(duration)),
  };
});

it('gives a process that stood still no use of the token that it waited for', async () => {
  let stopped = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + stopped };
  const bucket = new RedisTokenBuckets(clients[0], '{fairlead:late}', clock).bucket('one', {
    perSecond: 20,
    burst: 1,
  });
  const [seconds = 0, micros = 0] = (await clients[0].time()).map(Number);
  await bucket.take();
  const waiting = bucket.take();
  stopped = 3_600_000;
  await waiting;
  // Three tokens of 50 ms: the one in the middle came too late, and was thrown away.
  const full = Number(await clients[0].get('{fairlead:late}:bucket:one'));
  expect(full - (seconds * 1_000_000 + micros)).toBeGreaterThanOrEqual(150_000);
});
