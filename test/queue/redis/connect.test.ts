// The ways to a Redis, and what a Redis must be like to serve as the queue.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import selfsigned from 'selfsigned';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/clock/clock.ts';
import { createLogger } from '../../../src/observe/logger.ts';
import type { RedisAddress } from '../../../src/queue/queue-address.ts';
import type { Client } from '../../../src/queue/redis/bull.ts';
import { fitness } from '../../../src/queue/redis/connect.ts';
import { openRedisQueue, redisProblem } from '../../../src/queue/redis/open.ts';
import { freePort, RedisServer } from './redis-server.ts';

async function started(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  onTestFinished(() => server.close());
  return server;
}

/** Opens the queue, and runs one key through it. */
async function serves(address: RedisAddress, logged: string[] = []): Promise<void> {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const destination = { write: (line: string) => void logged.push(JSON.parse(line).msg) };
  const opened = await openRedisQueue({
    address,
    prefix: '{fairlead:ways}',
    clock: systemClock,
    random: Math.random,
    log: createLogger({ component: 'test', level: 'info', destination }),
    signal: stop.signal,
    times: { lease: 500, tick: 100 },
  });
  if (opened.kind !== 'open') throw new Error(opened.kind);
  const { queue } = opened;
  onTestFinished(() => queue.close());
  queue.add('shop/a');
  const lease = await queue.take(stop.signal);
  expect(lease?.key).toBe('shop/a');
  if (lease) queue.done(lease, { kind: 'finished' });
  await queue.settled();
  expect(await queue.view()).toMatchObject({ ready: 0, delayed: 0, running: 0 });
}

describe('a queue on Redis', () => {
  it('is reached with a password from a file', async () => {
    const server = await started('--requirepass', 'a secret');
    const passwordFile = join(server.folder, 'password');
    writeFileSync(passwordFile, 'a secret\n');
    await serves({ ...server.address, passwordFile });
    expect(await redisProblem({ ...server.address, password: 'another' }, systemClock)).toMatch(
      /^it refuses us: (WRONGPASS|NOAUTH).*; give the right user and password$/,
    );
  });

  it('is reached over TLS, with the authority that signed its certificate', async () => {
    const { cert, private: key } = await selfsigned.generate([{ name: 'commonName', value: 'localhost' }]);
    const server = await started();
    const [certFile, keyFile] = ['cert.pem', 'key.pem'].map((name) => join(server.folder, name));
    writeFileSync(certFile ?? '', cert);
    writeFileSync(keyFile ?? '', key);
    const port = await freePort();
    const tls = await started(
      '--tls-port',
      String(port),
      ...['--tls-cert-file', certFile ?? '', '--tls-key-file', keyFile ?? '', '--tls-auth-clients', 'no'],
    );
    const servers = { kind: 'one', host: 'localhost', port } as const;
    await serves({ ...tls.address, tls: true, ca: certFile ?? '', servers });
  });

  it('is found by sentinels, and followed by them to another master', async () => {
    const master = await started();
    const replica = await started('--replicaof', '127.0.0.1', String(master.port));
    const config = join(master.folder, 'sentinel.conf');
    writeFileSync(
      config,
      `sentinel monitor main 127.0.0.1 ${master.port} 1\nsentinel down-after-milliseconds main 500\n`,
    );
    const sentinel = await RedisServer.startSentinel(config);
    onTestFinished(() => sentinel.close());
    const hosts = [{ host: '127.0.0.1', port: sentinel.port }];
    const address: RedisAddress = {
      ...master.address,
      servers: { kind: 'sentinels', hosts, master: 'main' },
    };
    await serves(address);
    const watched = new Redis(replica.port, '127.0.0.1');
    onTestFinished(() => watched.disconnect());
    const role = async () => /role:(\w+)/.exec(await watched.info('replication'))?.[1];
    await until(async () => /master_link_status:up/.test(await watched.info('replication')));
    await until(async () => {
      const asked = new Redis(sentinel.port, '127.0.0.1');
      const replicas = (await asked.call('SENTINEL', 'REPLICAS', 'main')) as unknown[];
      asked.disconnect();
      return replicas.length === 1;
    });
    await master.kill();
    await until(async () => (await role()) === 'master');
    await serves(address);
  }, 60_000);

  it('works in a Redis Cluster', async () => {
    const server = await started('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    const redis = new Redis(server.port, '127.0.0.1');
    await redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until(async () => /cluster_state:ok/.test((await redis.call('CLUSTER', 'INFO')) as string));
    redis.disconnect();
    const hosts = [{ host: '127.0.0.1', port: server.port }];
    await serves({ ...server.address, servers: { kind: 'cluster', hosts } });
  }, 60_000);

  it('is waited for while nothing answers there', async () => {
    const server = await started();
    await server.kill();
    const logged: string[] = [];
    const serving = serves(server.address, logged);
    await until(async () => logged.includes('Redis does not answer; will try again'));
    await server.start();
    await serving;
  }, 60_000);
});

describe('a Redis that cannot serve', () => {
  it('throws keys away when it is full', async () => {
    const server = await started('--maxmemory-policy', 'allkeys-lru');
    expect(await redisProblem(server.address, systemClock)).toBe(
      'its maxmemory-policy is "allkeys-lru", by which it throws away keys that are waiting; ' +
        'set it to noeviction',
    );
  });

  it('is a replica', async () => {
    const server = await started('--replicaof', '127.0.0.1', '1');
    expect(await redisProblem(server.address, systemClock)).toBe(
      'it is a replica, which takes no writes; give the address of its master',
    );
  });

  it('is too old', async () => {
    const old = { info: async () => 'redis_version:5.0.7\r\nmaxmemory_policy:noeviction\r\n' };
    expect(await fitness(old as unknown as Client)).toEqual({
      kind: 'unfit',
      problem: 'its version 5.0.7 is too old; 6.2 or newer serves',
    });
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 20));
}
