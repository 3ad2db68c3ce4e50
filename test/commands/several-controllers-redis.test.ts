// Several controllers, one queue on a real Redis, and a cloud in which two who work on one Service at a time would
// make everything twice.
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { CLOUD_CLASS } from '../providers/scripted-cloud.ts';
import { RedisServer } from '../queue/redis/redis-server.ts';
import type { CloudControllerOptions } from './cloud-controller-process.ts';
import { Cluster } from './cluster.ts';
import { ControllerProcess } from './controller-process.ts';
import { ScriptedCloudServer } from './scripted-cloud-server.ts';

let test: TestServer;
let cluster: Cluster;
let redis: RedisServer;
let cloud: ScriptedCloudServer;
let cloudUrl: string;
let running: ControllerProcess[] = [];

beforeAll(async () => {
  redis = await RedisServer.start();
  test = await startTestServer();
  cluster = new Cluster(test.api);
});

beforeEach(async () => {
  cloud = new ScriptedCloudServer();
  cloudUrl = await cloud.start();
});

afterEach(async () => {
  await Promise.all(running.map((each) => each.stop('SIGKILL')));
  running = [];
  cloud.close();
});

afterAll(async () => {
  await cluster.close();
  await test.close();
  await redis.close();
});

async function start(more: Partial<CloudControllerOptions> = {}): Promise<ControllerProcess> {
  const queue = `redis://127.0.0.1:${redis.port}`;
  const options: CloudControllerOptions = { kubeconfig: test.kubeconfig, queue, cloud: cloudUrl, ...more };
  const program = join(import.meta.dirname, 'cloud-controller-process.ts');
  const controller = new ControllerProcess('', [], [process.execPath, program, JSON.stringify(options)]);
  running.push(controller);
  await controller.logged('working on clouds');
  return controller;
}

async function end(controller: ControllerProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  running = running.filter((each) => each !== controller);
  return controller.stop(signal);
}

let count = 0;
async function create(number: number): Promise<string[]> {
  const names = Array.from({ length: number }, () => `c${++count}`);
  await Promise.all(names.map((name) => cluster.createService(name, { loadBalancerClass: CLOUD_CLASS })));
  return names;
}

function isServed({ status }: ServiceObject): boolean {
  return status?.loadBalancer?.ingress?.[0]?.hostname !== undefined;
}

/** Resolves when each shows its load balancer; each must have one, and no second. */
async function served(names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => cluster.service(name, isServed)));
  expect(names.filter((name) => cloud.count(`default/${name}`) !== 1)).toEqual([]);
}

/** Resolves when Redis knows that the runs of these have finished. */
async function recorded(names: readonly string[]): Promise<void> {
  const client = new Redis(redis.port, '127.0.0.1');
  for (const name of names) {
    const [entry = ''] = await client.keys(`*:clouds:entry:default/${name}`);
    while ((await client.hexists(entry, 'finished')) === 0) await pass(5);
  }
  client.disconnect();
}

describe('several controllers on one Redis', () => {
  it('all work on clouds, whoever leads; each Service gets one load balancer', async () => {
    for (let i = 0; i < 3; i++) await start({ takes: 50 });
    await served(await create(150));
    expect(cloud.pids.size).toBe(3);
  }, 60_000);

  it('together keep to what the account allows', async () => {
    const limit = { perSecond: 50, burst: 5 };
    for (let i = 0; i < 3; i++) await start({ limit });
    const began = performance.now();
    await served(await create(75));
    for (const [i, { at }] of cloud.looks.entries()) {
      const due = ((i + 1 - limit.burst) * 1000) / limit.perSecond;
      expect(at - began, `look ${i + 1}`).toBeGreaterThan(due - 1);
    }
  }, 60_000);

  it('go on when the one that leads is killed, and repeat nothing that is finished', async () => {
    const first = await start();
    const others = [await start(), await start()];
    const finished = await create(10);
    await served(finished);
    await recorded(finished);
    await end(first, 'SIGKILL');
    await served(await create(10));
    expect(others.some(({ lines }) => lines.some(({ msg }) => msg === 'leading'))).toBe(true);
    const looks = cloud.looks.map(({ key }) => key.replace('default/', ''));
    expect(looks.filter((name) => finished.includes(name)).sort()).toEqual(finished.sort());
  }, 60_000);

  it('stop before the next write when they stood still for longer than their right lasts', async () => {
    await start();
    await start();
    const holding = cloud.hold(`default/c${count + 1}`);
    const [name = ''] = await create(1);
    const held = await holding;
    const stopped = running.find(({ pid }) => pid === held.pid) ?? expect.fail('another process');
    stopped.pause('SIGSTOP');
    await served([name]);
    // The answer is from before: nothing was there.
    held.answer();
    stopped.pause('SIGCONT');
    await stopped.logged('lost the right to a Service while working on it');
    await served([name]);
  }, 60_000);

  it('hand over what they are at when they are told to stop', async () => {
    await start();
    await start();
    const holding = cloud.hold(`default/c${count + 1}`);
    const names = await create(3);
    const held = await holding;
    const stopping = running.find(({ pid }) => pid === held.pid) ?? expect.fail('another process');
    expect(await end(stopping, 'SIGTERM')).toBe(0);
    await served(names);
  }, 60_000);

  it('lose nothing and make nothing twice when they are killed at any time', async () => {
    await start({ takes: 20 });
    await start({ takes: 20 });
    const rounds = fc.sample(fc.record({ after: fc.nat(120), which: fc.nat(1) }), 6);
    for (const { after, which } of rounds) {
      const making = create(20);
      await pass(after);
      const victim = running[which] ?? expect.fail('no such controller');
      await end(victim, 'SIGKILL');
      await Promise.all([making, start({ takes: 20 })]);
    }
    await served(Array.from({ length: count }, (_, i) => `c${i + 1}`).slice(-120));
  }, 120_000);
});
