// Two controller processes against the embedded API server: one writes, and the other takes over from it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LEASES } from '../../src/kube/resources.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { addressesOf, allocatedCondition, Cluster } from './cluster.ts';
import { ControllerProcess } from './controller-process.ts';

let test: TestServer;
let cluster: Cluster;
let running: ControllerProcess[] = [];
/** Versions that the watch told of, by Service, but those of its deletion. */
const versions = new Map<string, Set<string>>();
/** Addresses that two Services showed at one time. */
const twice: string[] = [];

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  cluster.services.subscribe((key, service) => {
    if (!service || service.metadata.deletionTimestamp !== undefined) return;
    const seen = versions.get(key) ?? new Set();
    versions.set(key, seen.add(service.metadata.resourceVersion ?? ''));
    const all = [...cluster.services.values()].flatMap(addressesOf);
    twice.push(...all.filter((each, i) => all.indexOf(each) !== i));
  });
  await cluster.createPool('lan', ['192.0.2.0/24']);
});

afterAll(async () => {
  await Promise.all(running.map((each) => each.stop('SIGKILL')));
  await cluster.close();
  await test.close();
});

function start(args: readonly string[] = []): ControllerProcess {
  const controller = new ControllerProcess(test.kubeconfig, args);
  running.push(controller);
  return controller;
}

/** Starts two; resolves when the first leads and the second waits. */
async function startTwo(args: readonly string[] = []): Promise<[ControllerProcess, ControllerProcess]> {
  const first = start(args);
  await first.logged('synced');
  const second = start(args);
  await second.logged('waiting to lead');
  return [first, second];
}

async function end(controller: ControllerProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  running = running.filter((each) => each !== controller);
  return controller.stop(signal);
}

let count = 0;
async function serve(number: number): Promise<void> {
  const names = Array.from({ length: number }, () => `s${++count}`);
  await Promise.all(names.map((name) => cluster.createService(name)));
  await Promise.all(names.map((name) => cluster.service(name)));
}

function hasLed({ lines }: ControllerProcess): number {
  return lines.filter(({ msg }) => msg === 'leading').length;
}

describe('of two controllers', () => {
  it('one leads and serves; the other is well, waits, and knows nothing', async () => {
    const [first, second] = await startTwo();
    await serve(5);
    expect(JSON.parse(await first.page('/healthz'))).toMatchObject({
      healthy: true,
      leader: true,
      synced: true,
    });
    expect(JSON.parse(await second.page('/healthz'))).toMatchObject({ healthy: true, leader: false });
    expect(await first.page('/metrics')).toContain('fairlead_leader 1');
    const metrics = await second.page('/metrics');
    expect(metrics).toContain('fairlead_leader 0');
    expect(metrics).not.toContain('fairlead_pool_addresses_assigned{');
    expect(hasLed(second)).toBe(0);
  });

  it('the other goes on when the leader is killed, with every address where it was', async () => {
    const [first, second] = running as [ControllerProcess, ControllerProcess]; // of the test before
    await end(first, 'SIGKILL');
    await serve(5);
    expect(hasLed(second)).toBe(1);
    await end(second, 'SIGKILL');
  });

  it('the other need not wait for the lease to run out when the leader is stopped', async () => {
    // A lease that outlasts every deadline of this test.
    const long = ['--leader-elect-lease-duration', '600s'];
    const [first, second] = await startTwo(long);
    expect(await end(first, 'SIGTERM')).toBe(0);
    expect(first.lines.at(-1)?.msg).toBe('gave the lease back');
    await second.logged('synced');
    await serve(2);
    expect(await end(second, 'SIGTERM')).toBe(0);
  });

  it('a leader that stood still for longer than its lease lasts finds another, and writes nothing', async () => {
    const [first, second] = await startTwo();
    first.pause('SIGSTOP');
    const before = first.lines.length;
    await second.logged('synced');
    await serve(3);
    first.pause('SIGCONT');
    await first.logged('could not renew the lease in time; leading no more', before);
    await serve(3);
    expect(hasLed(first)).toBe(1);
    await end(first, 'SIGTERM');
    await end(second, 'SIGTERM');
  });

  it('one leads again after an API server that was away for longer than the lease lasts', async () => {
    const [first, second] = await startTwo();
    await test.server.stop();
    await first.logged('could not renew the lease in time; leading no more');
    await test.server.start();
    await serve(3);
    expect(hasLed(first) + hasLed(second)).toBe(2);
    await end(first, 'SIGTERM');
    await end(second, 'SIGTERM');
  });

  it('never two wrote: each Service was written once after it was made, and no address was given twice', () => {
    expect(versions.size).toBe(count);
    expect([...versions.values()].map((seen) => seen.size)).toEqual(Array(count).fill(2));
    expect(twice).toEqual([]);
  });
});

describe('controller --cleanup', () => {
  it('waits for a controller that leads, then lets go of every Service and leaves the addresses', async () => {
    const controller = start();
    await controller.logged('synced');
    await cluster.createService('other', { loadBalancerClass: 'example.com/other' });
    const cleanup = start(['--cleanup']);
    await cleanup.logged('waiting to lead');
    expect(await end(controller, 'SIGTERM')).toBe(0);
    expect((await cleanup.ended()).status).toBe(0);
    running = [];
    expect(await cleanup.logged('let go of every Service')).toMatchObject({ released: count });
    const one = await cluster.service('s1', (each) => !allocatedCondition(each));
    expect(addressesOf(one)).toHaveLength(1);
    expect(one.metadata).not.toHaveProperty('finalizers');
    await cluster.deleteService('s1');
    const { spec } = await test.api.get(LEASES, { name: 'fairlead-controller', namespace: 'kube-system' });
    expect(spec?.holderIdentity).toBeUndefined();
  });

  it('ends with status 0 where there is nothing left to do', async () => {
    const cleanup = new ControllerProcess(test.kubeconfig, ['--cleanup', '--no-leader-elect']);
    expect((await cleanup.ended()).status).toBe(0);
    expect(await cleanup.logged('let go of every Service')).toMatchObject({ released: 0 });
  });
});
