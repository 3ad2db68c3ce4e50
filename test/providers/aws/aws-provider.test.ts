// The provider above passes: accounts, when to ask again, and what a restart may forget.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import type { ServiceObject } from '../../../src/kube/objects.ts';
import { createLogger } from '../../../src/observe/logger.ts';

import { AccountHealth } from '../../../src/providers/aws/account-health.ts';
import type { AwsApi } from '../../../src/providers/aws/aws-api.ts';
import { AwsProvider, type OpenAccount } from '../../../src/providers/aws/aws-provider.ts';
import { limited } from '../../../src/providers/aws/rate-limit.ts';
import { MemoryTokenBuckets } from '../../../src/queue/token-buckets.ts';
import { CLOUD_ACCOUNT, CLUSTER_UID, instance, type Wishes, World } from './world.ts';

const KEY = { key: 'default/web' };
/** Nobody else is at work. */
const ALONE = () => {};

let clock: VirtualClock;
let world: World;
let provider: AwsProvider;
let wishes: Wishes;
let gone: boolean;
let told: string[];
let looks: number;
let clusterUid: string;

function open(more: Partial<OpenAccount['account']> = {}): OpenAccount {
  return { account: { ...CLOUD_ACCOUNT, ...more }, api: world.api };
}

function start(): AwsProvider {
  const inputs = () => world.inputs(wishes);
  const made = new AwsProvider({
    clock,
    random: () => 0,
    driftCheck: 45_000,
    orphanGrace: 600_000,
    log: createLogger({ component: 'test', level: 'silent' }),
    onLook: () => {
      looks++;
    },
    sources: {
      service: (key): ServiceObject | undefined => {
        const name = key.split('/')[1] ?? '';
        const meta = name === 'web' ? {} : { meta: { name, uid: name } };
        return gone ? undefined : world.inputs({ ...wishes, ...meta }).service;
      },
      candidates: () => (gone ? [] : ['default/web']),
      clusterUid: () => clusterUid,
      nodes: () => inputs().nodes,
      slices: () => inputs().slices,
    },
  });
  made.setAccounts(new Map([['main', open()]]));
  made.subscribe((key) => told.push(key));
  return made;
}

/** As its targets are healthy, and with all calls forgotten. */
async function settled() {
  const first = await provider.ensure(KEY, ALONE);
  if (first.kind === 'done') world.hostname = first.hostnames?.[0];
  await clock.advance(20_000);
  const outcome = await provider.ensure(KEY, ALONE);
  expect(outcome).toMatchObject({ kind: 'done', findings: [{ status: 'True' }] });
  await looked();
  world.takeCalls();
  told.length = 0;
  return outcome;
}

/** Resolves when every look that began has ended. */
async function looked(): Promise<void> {
  await vi.waitFor(() => expect(looks).toBeGreaterThan(0));
}

async function nextLook(): Promise<void> {
  const before = looks;
  await clock.advance(60_000);
  await vi.waitFor(() => expect(looks).toBeGreaterThan(before));
}

/** A second, in steps too small for the time that calls take in it to count. */
async function step(): Promise<void> {
  for (let i = 0; i < 10; i++) {
    await clock.advance(100);
    await world.quiet();
  }
}

function theBalancer() {
  return only(world.cloud.loadBalancers);
}

function theListener() {
  return only(world.cloud.listeners);
}

function theGroup() {
  return only(world.cloud.targetGroups);
}

function only<T>(all: ReadonlyMap<string, T>): T {
  const [one] = all.values();
  return one ?? expect.fail('there is none');
}

function set(attributes: Record<string, string>, key: string, value: string): void {
  attributes[key] = value;
}

beforeEach(async () => {
  clock = new VirtualClock();
  world = await World.open(clock);
  [wishes, gone, told, looks, clusterUid] = [{}, false, [], 0, CLUSTER_UID];
  provider = start();
});

afterEach(async () => {
  provider.close();
  await world.close();
});

describe('the AWS provider', () => {
  it('gives a Service a host name and its account as the source, the same again when asked again', async () => {
    const outcome = await provider.ensure(KEY, ALONE);
    expect(outcome).toEqual({
      kind: 'done',
      addresses: [],
      hostnames: [expect.stringMatching(/^k8s-default-web-/)],
      ports: [{ port: 80, protocol: 'TCP' }],
      source: 'main',
      applied: expect.stringMatching(/^[0-9a-f]{16}$/),
      findings: [expect.objectContaining({ type: 'TargetsHealthy', status: 'Unknown', reason: 'Checking' })],
    });
    expect(await provider.ensure(KEY, ALONE)).toEqual(outcome);
    expect(await provider.listOwned()).toEqual(['default/web']);
    await provider.remove('default/web', ALONE);
    expect(await provider.listOwned()).toEqual([]);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('asks again within a minute, and puts right what a hand changed', async () => {
    await settled();
    for (const spoil of [
      () => world.cloud.listeners.clear(),
      () => world.cloud.securityGroups.values().next().value?.rules.splice(0),
      () => world.cloud.deleteLoadBalancer([...world.cloud.loadBalancers.keys()][0] ?? ''),
    ]) {
      const before = JSON.stringify(world.essence());
      spoil();
      expect(JSON.stringify(world.essence())).not.toBe(before);
      await clock.advance(60_000);
      await vi.waitFor(() => expect(told).toEqual(['default/web']));
      await settled();
      expect(JSON.stringify(world.essence())).toBe(before);
    }
  });

  it.each<[string, () => void]>([
    ['targets', () => theGroup().targets.clear()],
    ['an attribute of the target group', () => set(theGroup().attributes, 'stickiness.enabled', 'true')],
    [
      'an attribute of the load balancer',
      () => set(theBalancer().attributes, 'zonal_shift.config.enabled', 'true'),
    ],
    ['an attribute of the listener', () => set(theListener().attributes, 'tcp.idle_timeout.seconds', '60')],
    [
      'a listener more',
      () => {
        const arn = `${theListener().arn}0`;
        world.cloud.listeners.set(arn, { ...theListener(), arn, port: 81 });
      },
    ],
  ])('finds within two looks what lists do not tell: %s', async (_, spoil) => {
    await settled();
    const before = JSON.stringify(world.essence());
    spoil();
    expect(JSON.stringify(world.essence())).not.toBe(before);
    await nextLook();
    await clock.advance(45_000);
    await vi.waitFor(() => expect(told).toEqual(['default/web']));
    await settled();
    expect(JSON.stringify(world.essence())).toBe(before);
  });

  it('tells within two looks that targets fail their checks, and writes nothing', async () => {
    await settled();
    world.cloud.behaviour.isHealthy = () => false;
    await nextLook();
    await clock.advance(45_000);
    await vi.waitFor(() => expect(told).toEqual(['default/web']));
    world.takeCalls();
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ findings: [{ status: 'False' }] });
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
  });

  it('verifies as many Services as a quarter of the reads lets it, and all of them in turn', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const { account } = open();
    const rateLimits = { ...account.aws.rateLimits, read: { perSecond: 4, burst: 1000 } };
    provider.setAccounts(new Map([['main', open({ aws: { ...account.aws, rateLimits } })]]));
    for (const name of names) await provider.ensure({ key: `default/${name}` }, ALONE);
    await clock.advance(20_000);
    for (const name of names) await provider.ensure({ key: `default/${name}` }, ALONE);
    const verified: number[] = [];
    for (let look = 0; look < 5; look++) {
      world.takeCalls();
      const looked = looks;
      // The verifying of the last look, and then the next look.
      for (let seconds = 0; seconds < 50 && looks === looked; seconds++) await step();
      verified.push(world.emulator.calls.filter(({ action }) => action === 'DescribeTargetHealth').length);
    }
    // 45 s at one a second, and 5 for each; one may fall into the next look.
    const full = verified.slice(1);
    expect(Math.max(...full)).toBeLessThanOrEqual(10);
    expect(full.reduce((sum, each) => sum + each)).toBeGreaterThanOrEqual(4 * 9 - 1);
  });

  it('narrows what nodes let in at the next look, and puts back within a look what a hand took away', async () => {
    const NODES = 'sg-00000000000000aa';
    const group = { id: NODES, name: NODES, vpc: world.cloud.vpc, rules: [], tags: {} };
    world.cloud.securityGroups.set(NODES, group);
    for (const node of ['a', 'b']) world.cloud.addInstance(instance(node), { groups: [NODES] });
    const rules = () => world.cloud.securityGroups.get(NODES)?.rules.map(({ from, to }) => [from, to]);
    await settled();
    expect(rules()).toEqual([[30080, 30080]]);
    wishes = { spec: { ports: [{ name: 'web', port: 80, targetPort: 8080, nodePort: 31000 }] } };
    await settled();
    expect(rules()).toEqual([
      [30080, 30080],
      [30080, 31000],
    ]);
    await nextLook();
    await vi.waitFor(() => expect(rules()).toEqual([[31000, 31000]]));
    world.takeCalls();
    await nextLook();
    expect(world.takeCalls().writes).toBe(0);
    Object.assign(world.cloud.securityGroups.get(NODES) ?? {}, { rules: [] });
    await clock.advance(60_000);
    await vi.waitFor(() => expect(told).toEqual(['default/web']));
    await settled();
    expect(rules()).toEqual([[31000, 31000]]);
  });

  it('looks at once where a Service asks for it', async () => {
    await settled();
    theGroup().targets.clear();
    await provider.ensure(KEY, ALONE);
    expect(theGroup().targets.size).toBe(0);
    wishes = { annotations: { 'fairlead.dev/check-load-balancer': '1' } };
    await provider.ensure(KEY, ALONE);
    expect(theGroup().targets.size).toBe(2);
    world.takeCalls();
    await provider.ensure(KEY, ALONE);
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
  });

  it('asks AWS nothing where nothing changed, and writes a new node after one read for all Services', async () => {
    await settled();
    await provider.ensure(KEY, ALONE);
    wishes = { annotations: { 'example.com/owner': 'me' } };
    await provider.ensure(KEY, ALONE);
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
    wishes = { nodes: ['a', 'b', 'c'] };
    await provider.ensure(KEY, ALONE);
    // In which security group the node is.
    expect(world.takeCalls()).toEqual({ reads: 1, writes: 1, actions: ['RegisterTargets'] });
    wishes = { spec: { ports: [{ name: 'web', port: 8080, targetPort: 8080, nodePort: 30081 }] } };
    await provider.ensure(KEY, ALONE);
    const { reads, writes } = world.takeCalls();
    expect(reads).toBe(0);
    expect(writes).toBeLessThanOrEqual(8);
    await settled();
    expect(world.takeCalls().writes).toBe(0);
  });

  it('says whether targets answer their checks, at a read for each port', async () => {
    world.cloud.behaviour.isHealthy = () => false;
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      findings: [{ status: 'Unknown', reason: 'Checking' }],
    });
    await looked();
    world.takeCalls();
    await clock.advance(15_000);
    expect(told).toEqual(['default/web']);
    const down = await provider.ensure(KEY, ALONE);
    expect(down).toMatchObject({ kind: 'done', findings: [{ status: 'False', reason: 'NoHealthyTargets' }] });
    expect(world.takeCalls()).toMatchObject({ reads: 1, writes: 0 });
    world.cloud.behaviour.isHealthy = () => true;
    await clock.advance(45_000);
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      findings: [{ status: 'True', reason: 'Healthy' }],
    });
  });

  it('reads again where what it believed was wrong', async () => {
    await settled();
    const [group] = world.cloud.targetGroups.keys();
    world.cloud.listeners.clear();
    world.cloud.targetGroups.delete(group ?? '');
    wishes = { nodes: ['a', 'b', 'c'] };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'pending', reason: 'Settling' });
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done' });
    expect([...world.cloud.targetGroups.values()][0]?.targets.size).toBe(3);
  });

  it('after a restart knows a Service again by one look at the account, unless something is missing', async () => {
    const { applied } = (await settled()) as { applied: string };
    provider.close();
    wishes = {
      annotations: { 'fairlead.dev/cloud-applied': applied, 'fairlead.dev/cloud-accounts-in-use': 'main' },
    };
    provider = start();
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'done',
      hostnames: [world.hostname],
      applied,
    });
    expect(world.takeCalls()).toMatchObject({ reads: 4, writes: 0 });
    provider.close();
    world.cloud.listeners.clear();
    provider = start();
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done' });
    expect(world.cloud.listeners.size).toBe(1);
  });

  it('tells what belongs to no Service, and removes it after the grace time, of this cluster alone', async () => {
    await world.ensure();
    gone = true;
    await nextLook();
    expect(provider.orphansIn('main')).toEqual(['default/web']);
    expect(world.cloud.loadBalancers.size).toBe(1);
    for (let minutes = 0; minutes < 9; minutes++) await nextLook();
    expect(world.cloud.loadBalancers.size).toBe(1);
    for (let minutes = 0; minutes < 3; minutes++) await nextLook();
    await vi.waitFor(() => expect(world.cloud.securityGroups.size).toBe(0));
    expect([world.cloud.loadBalancers.size, world.cloud.targetGroups.size]).toEqual([0, 0]);
    await nextLook();
    expect(provider.orphansIn('main')).toEqual([]);
    clusterUid = 'another cluster of this name';
    gone = false;
    await world.ensure({ meta: { uid: 'theirs' } });
    const [theirs] = world.cloud.loadBalancers.values();
    if (theirs) theirs.tags = { ...theirs.tags, 'fairlead.dev/cluster-uid': 'theirs' };
    for (let minutes = 0; minutes < 12; minutes++) await nextLook();
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('lets some Services of an account go to AWS at a time, and tells the others when it is their turn', async () => {
    const second = open({ name: 'second', isDefault: false });
    const accounts = Array.from({ length: 24 }, (_, i) => [`a${i}`, second] as const);
    provider.setAccounts(new Map([['main', open()], ...accounts]));
    told.length = 0;
    const first = provider.ensure(KEY, ALONE);
    expect(await provider.ensure(KEY, ALONE)).toEqual({ kind: 'waiting' });
    expect(told).toEqual([]);
    expect(await first).toMatchObject({ kind: 'done' });
    expect(told).toEqual(['default/web']);
  });

  it('asks again when AWS may be ready, and shows the name meanwhile', async () => {
    world.cloud.behaviour.provisioning = 20_000;
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'pending',
      reason: 'Provisioning',
      hostnames: [expect.stringMatching(/./)],
    });
    await clock.advance(20_000);
    expect(told).toEqual(['default/web']);
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done' });
  });

  it('says which account is missing, and asks again when accounts come', async () => {
    provider.setAccounts(new Map());
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'pending',
      reason: 'NoCloudAccount',
      message: expect.stringContaining('spec.default: true'),
    });
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      reason: 'NoCloudAccount',
      message: expect.stringContaining('"second"'),
    });
    provider.setAccounts(new Map([['second', open({ name: 'second', isDefault: false })]]));
    expect(told).toContain('default/web');
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done', source: 'second' });
  });

  it('removes from the old account what moved to a new one, after the new one serves', async () => {
    const second = open({ name: 'second', isDefault: false, clusterName: 'other' });
    provider.setAccounts(
      new Map([
        ['main', open()],
        ['second', second],
      ]),
    );
    await provider.ensure(KEY, ALONE);
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    world.cloud.behaviour.release = 30_000;
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'pending',
      reason: 'Settling',
      source: 'second',
    });
    await clock.advance(30_000);
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done', source: 'second' });
    expect(world.cloud.securityGroups.size).toBe(1);
    expect([...world.cloud.loadBalancers.values()].map(({ tags }) => tags['elbv2.k8s.aws/cluster'])).toEqual([
      'other',
    ]);
  });

  it('forgets nobody who waits, however often they come meanwhile', async () => {
    const second = open({ name: 'second', isDefault: false });
    const accounts = Array.from({ length: 12 }, (_, i) => [`a${i}`, second] as const);
    provider.setAccounts(new Map([['main', open()], ...accounts]));
    const keys = Array.from({ length: 30 }, (_, i) => `default/s${i}`);
    const due = new Set(keys);
    provider.subscribe((key) => due.add(key));
    const done = new Set<string>();
    const run = async (key: string) => {
      due.delete(key);
      if ((await provider.ensure({ key }, ALONE)).kind === 'done') done.add(key);
    };
    while (due.size > 0) {
      const batch = [...due].filter((key) => key !== 'default/web').slice(0, 8);
      due.delete('default/web');
      // As a change of its own brings one that is through already.
      await Promise.all([...batch, ...[...done].slice(-3)].map(run));
    }
    expect([...done].sort()).toEqual(keys.toSorted());
    expect(world.cloud.loadBalancers.size).toBe(30);
  });

  it('says by name what cannot be changed, and keeps serving', async () => {
    await provider.ensure(KEY, ALONE);
    wishes = { annotations: { name: 'edge' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'refused',
      reason: 'NotChangeable',
      hostnames: [expect.any(String)],
    });
  });

  it('keeps the name that the status shows where the wishes are wrong', async () => {
    await world.ensure();
    wishes = { annotations: { scheme: 'x' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'refused',
      reason: 'InvalidRequest',
      hostnames: [world.hostname],
    });
    expect(await provider.keep(KEY)).toEqual({ addresses: [], hostnames: [world.hostname] });
  });

  it('after a restart removes what an earlier process made', async () => {
    await world.ensure();
    provider.close();
    wishes = { annotations: { 'fairlead.dev/cloud-accounts-in-use': 'main' } };
    provider = start();
    await provider.remove('default/web', ALONE);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('removes at four reads and one for what was shared, and not again while the Service says where it was', async () => {
    await settled();
    wishes = { annotations: { 'fairlead.dev/cloud-accounts-in-use': 'main' } };
    await provider.remove('default/web', ALONE);
    expect(world.takeCalls()).toMatchObject({ reads: 5, writes: 3 });
    await provider.remove('default/web', ALONE);
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done' });
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('does not forget what AWS has not let go of yet', async () => {
    await provider.ensure(KEY, ALONE);
    gone = true;
    world.cloud.behaviour.release = 30_000;
    await expect(provider.remove('default/web', ALONE)).rejects.toMatchObject({
      name: 'RemovalPending',
      reason: 'Settling',
    });
    expect(await provider.listOwned()).toEqual(['default/web']);
    await clock.advance(30_000);
    await provider.remove('default/web', ALONE);
    expect(world.cloud.securityGroups.size).toBe(0);
  });

  it('sends AWS nothing more once another controller may be at work on the Service', async () => {
    let left = 4;
    const lost = new Error('the lease is lost');
    const untilLost = () => {
      if (left-- === 0) throw lost;
    };
    // What stands between a run and AWS in the controller.
    const emulated: AwsApi = (action, input) => world.api(action, input);
    const buckets = new MemoryTokenBuckets(clock);
    const allowed = limited(emulated, 'main', CLOUD_ACCOUNT.aws.rateLimits, buckets);
    const api = new AccountHealth().watched(allowed, () => {});
    provider.setAccounts(new Map([['main', { ...open(), api }]]));
    await expect(provider.ensure(KEY, untilLost)).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(0);
    await provider.ensure(KEY, ALONE);
    expect(world.cloud.loadBalancers.size).toBe(1);
    left = 2;
    await expect(provider.remove('default/web', untilLost)).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(1);
  });
});
