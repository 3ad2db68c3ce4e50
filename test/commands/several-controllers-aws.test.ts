// Several controller processes, one queue on a real Redis, and AWS's emulator behind the real SDK.
import { setTimeout as pass } from 'node:timers/promises';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KubeObject, NodeObject, ServiceObject } from '../../src/kube/objects.ts';
import { CLOUD_ACCOUNTS, NODES } from '../../src/kube/resources.ts';
import { AwsEmulator } from '../../src/lab/aws/emulator.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { RedisServer } from '../queue/redis/redis-server.ts';
import { allocatedCondition, Cluster } from './cluster.ts';
import { ControllerProcess } from './controller-process.ts';

const AWS = { loadBalancerClass: 'fairlead.dev/aws-nlb' };
const FREELY = { perSecond: 1000, burst: 1000 };
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
const PATIENCE = { timeout: 30_000, interval: 50 };

let test: TestServer;
let cluster: Cluster;
let redis: RedisServer;
let emulator: AwsEmulator;
let running: ControllerProcess[] = [];

beforeAll(async () => {
  redis = await RedisServer.start();
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  emulator = await AwsEmulator.start();
  for (const name of ['a', 'b', 'c']) emulator.cloud.addInstance(`i-0000000${name}`);
  for (const name of ['a', 'b']) await createNode(name);
  const { vpc, quotas } = { vpc: emulator.cloud.vpc, quotas: emulator.cloud.behaviour.quotas };
  quotas.loadBalancers = 500;
  const rateLimits = { read: FREELY, write: FREELY, register: FREELY };
  const aws = { region: 'eu-central-1', vpcID: vpc, endpoint: emulator.endpoint, rateLimits };
  const account: KubeObject & { readonly spec: object } = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'CloudAccount',
    metadata: { name: 'main' },
    spec: { provider: 'aws', clusterName: 'main', default: true, aws },
  };
  await test.api.create(CLOUD_ACCOUNTS, account);
});

afterEach(async () => {
  emulator.loseAnswer = () => 'no';
  if (running.length === 0) await start();
  await Promise.all(services().map(({ metadata }) => cluster.deleteService(metadata.name)));
  await Promise.all(running.map((each) => each.stop('SIGKILL')));
  running = [];
  // Nothing was lost on the way: nobody collects orphans so soon.
  expect(everything()).toEqual([0, 0, 0, 0]);
  emulator.calls.length = 0;
});

afterAll(async () => {
  await cluster.close();
  await test.close();
  await redis.close();
  await emulator.close();
});

async function start(): Promise<ControllerProcess> {
  const args = ['--queue', `redis://127.0.0.1:${redis.port}`];
  const controller = new ControllerProcess(test.kubeconfig, args, undefined, CREDENTIALS);
  running.push(controller);
  await controller.logged('working on clouds');
  return controller;
}

async function kill(controller: ControllerProcess): Promise<void> {
  running = running.filter((each) => each !== controller);
  await controller.stop('SIGKILL');
}

async function createNode(name: string): Promise<void> {
  const spec = { providerID: `aws:///eu-central-1a/i-0000000${name}` };
  const node: NodeObject = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec };
  await test.api.create(NODES, node);
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
  await test.api.patch(NODES, { name }, { status }, options);
}

let count = 0;
async function create(number: number): Promise<string[]> {
  const names = Array.from({ length: number }, () => `s${++count}`);
  await Promise.all(names.map((name) => cluster.createService(name, AWS)));
  await Promise.all(names.map((name) => cluster.service(name, () => true)));
  return names;
}

function services(): ServiceObject[] {
  return [...cluster.services.values()].filter(({ metadata }) => metadata.name !== 'kubernetes');
}

/** Resolves when all show their load balancers and have just what they should. */
async function served(): Promise<void> {
  const isActive = (each: ServiceObject) => allocatedCondition(each)?.reason === 'Active';
  await vi.waitFor(() => expect(services().filter((each) => !isActive(each))).toEqual([]), PATIENCE);
  const n = services().length;
  await vi.waitFor(() => expect(everything()).toEqual([n, n, n, n]), PATIENCE);
  for (const { metadata, spec, status } of services()) {
    const [shown] = status?.loadBalancer?.ingress ?? [];
    const own = [...emulator.cloud.loadBalancers.values()].filter(
      ({ tags }) => tags['fairlead.dev/service-uid'] === metadata.uid,
    );
    expect(own.map((each) => each.hostname.toLowerCase())).toEqual([shown?.hostname]);
    const ports = [...emulator.cloud.listeners.values()].filter(
      ({ loadBalancer }) => loadBalancer === own[0]?.arn,
    );
    expect(ports.map(({ port }) => port)).toEqual(spec.ports?.map(({ port }) => port));
  }
}

function everything(): number[] {
  const { loadBalancers, listeners, targetGroups, securityGroups } = emulator.cloud;
  return [loadBalancers.size, listeners.size, targetGroups.size, securityGroups.size];
}

function calls(prefix: string): number {
  return emulator.calls.filter(({ action }) => action.startsWith(prefix)).length;
}

/** Resolves when Redis knows that the last runs of these have finished. */
async function recorded(names: readonly string[]): Promise<void> {
  const client = new Redis(redis.port, '127.0.0.1');
  for (const name of names) {
    const [entry = ''] = await client.keys(`*:clouds:entry:default/${name}`);
    while ((await client.hget(entry, 'state')) !== 'queued') await pass(5);
  }
  client.disconnect();
}

async function leader(): Promise<ControllerProcess> {
  return Promise.any(running.map((each) => each.logged('leading').then(() => each)));
}

describe('several controllers on AWS', () => {
  it('all make load balancers, whoever leads, and bring a new node to each once', async () => {
    for (let i = 0; i < 3; i++) await start();
    const names = await create(45);
    await served();
    for (const each of running)
      expect(await each.page('/metrics')).toMatch(/runs_total\{outcome="done"\} [1-9]/);
    await recorded(names);
    emulator.calls.length = 0;
    await createNode('c');
    const targets = () => [...emulator.cloud.targetGroups.values()].map((group) => group.targets.size);
    await vi.waitFor(() => expect(targets()).toEqual(names.map(() => 3)), PATIENCE);
    await recorded(names);
    expect(calls('RegisterTargets')).toBe(45);
    await test.api.delete(NODES, { name: 'c' });
    const left = () =>
      [...emulator.cloud.targetGroups.values()].map(
        ({ targets: all }) => [...all.values()].filter(({ drainsUntil }) => !drainsUntil).length,
      );
    await vi.waitFor(() => expect(left()).toEqual(names.map(() => 2)), PATIENCE);
  }, 90_000);

  it('go on when the one that leads is killed, and repeat nothing that is finished', async () => {
    for (let i = 0; i < 3; i++) await start();
    const first = await leader();
    const names = await create(20);
    await served();
    await recorded(names);
    emulator.calls.length = 0;
    await kill(first);
    await create(1);
    await served();
    expect(calls('Create')).toBe(4);
    // The new leader looks at the account once; the rest is what the new Service costs.
    expect(calls('Describe')).toBeLessThanOrEqual(4 + 8);
  }, 90_000);

  it('take over what others had begun that stood still, and these write no more', async () => {
    for (let i = 0; i < 3; i++) await start();
    const before = [...running];
    let isStopped = false;
    emulator.loseAnswer = (action) => {
      if (action === 'CreateTargetGroup' && !isStopped) {
        isStopped = true;
        for (const each of before) each.pause('SIGSTOP');
      }
      return 'no';
    };
    await create(1);
    await vi.waitFor(() => expect(isStopped).toBe(true), PATIENCE);
    await start();
    await served();
    for (const each of before) each.pause('SIGCONT');
    await Promise.any(before.map((each) => each.logged('lost the right to a Service while working on it')));
    await served();
  }, 90_000);

  it('lose nothing and make nothing twice when they are killed at any time', async () => {
    for (let i = 0; i < 3; i++) await start();
    const rounds = fc.sample(
      fc.record({ after: fc.nat(400), which: fc.nat(2), port: fc.integer({ min: 81, max: 9_000 }) }),
      5,
    );
    for (const { after, which, port } of rounds) {
      const [changed, deleted] = services();
      const doing = [create(12)];
      const ports = [{ port, protocol: 'TCP' }];
      if (changed) void cluster.patchService(changed.metadata.name, { spec: { ports } });
      const gone = deleted ? cluster.deleteService(deleted.metadata.name) : undefined;
      await pass(after);
      await kill(running[which] ?? expect.fail('no such controller'));
      await Promise.all([...doing, start(), gone]);
    }
    await served();
  }, 120_000);
});
