// The provider above passes: accounts, when to ask again, and what a restart may forget.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import type { EndpointSliceObject, PodObject, ServiceObject } from '../../../src/kube/objects.ts';
import { createLogger } from '../../../src/observe/logger.ts';
import { AccountHealth } from '../../../src/providers/aws/account-health.ts';
import { AwsProvider, type OpenAccount } from '../../../src/providers/aws/aws-provider.ts';
import { limited } from '../../../src/providers/aws/rate-limit.ts';
import type { PodAccess } from '../../../src/providers/aws/readiness.ts';
import type { Claim, CloudOutcome } from '../../../src/providers/provider.ts';
import { MemoryTokenBuckets } from '../../../src/queue/token-buckets.ts';
import { claimingPatch, type StatusPatch, statusPatch } from '../../../src/status/service-status.ts';
import { desired } from './desired.ts';
import { CLOUD_ACCOUNT, CLUSTER_UID, instance, type Wishes, World } from './world.ts';

/** Nobody else is at work. */
const ALONE = () => {};

let clock: VirtualClock;
let world: World;
let provider: AwsProvider;
let wishes: Wishes;
let gone: boolean;
/** Of the Services that there are. */
let names: readonly string[];
/** `why key` */
let told: string[];
let looks: number;
let leads: boolean;
/** Whether the API server has the Service that nobody has heard of. */
let hasIt: boolean;
let clusterUid: string;
/** What stands on each Service, by name. */
let written: Map<string, Pick<ServiceObject, 'status'> & { annotations?: Record<string, string | null> }>;
let slices: readonly EndpointSliceObject[] | undefined;
/** By name. */
let podObjects: Map<string, PodObject>;
let podReads: number;

const pods: PodAccess = {
  get: async (_, name) => {
    podReads++;
    return podObjects.get(name);
  },
  setCondition: async (pod, { type, status, message }) => {
    const { name } = pod.metadata;
    const before = podObjects.get(name) ?? pod;
    const others = (before.status?.conditions ?? []).filter((each) => each.type !== type);
    podObjects.set(name, { ...before, status: { conditions: [...others, { type, status, message }] } });
  },
};

function open(more: Partial<OpenAccount['account']> = {}): OpenAccount {
  return { account: { ...CLOUD_ACCOUNT, ...more }, api: world.api, print: JSON.stringify(more) };
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
    leads: () => leads,
    sources: {
      service: (key) => (gone ? undefined : web(key.split('/')[1])),
      services: () => (gone ? [] : names.map((name) => web(name))),
      isCandidate: () => true,
      isGone: async () => !hasIt,
      clusterUid: () => clusterUid,
      nodes: () => inputs().nodes,
      slices: () => slices ?? inputs().slices,
      pods,
    },
  });
  made.setAccounts(new Map([['main', open()]]));
  made.subscribe(({ key, why }) => told.push(`${why} ${key}`));
  return made;
}

/** The Service as the API server has it. */
function web(name = 'web'): ServiceObject {
  const { service } = world.inputs({ ...wishes, ...(name === 'web' ? {} : { meta: { name, uid: name } }) });
  const { annotations, status = service.status } = written.get(name) ?? {};
  const all = Object.entries({ ...service.metadata.annotations, ...annotations });
  const theirs = Object.fromEntries(all.filter((each) => each[1] !== null)) as Record<string, string>;
  return {
    ...service,
    metadata: { ...service.metadata, annotations: theirs },
    ...(status ? { status } : {}),
  };
}

function write(name: string, patch: StatusPatch | undefined): void {
  const { annotations, status } = written.get(name) ?? {};
  const { loadBalancer, conditions } = patch?.status ?? {};
  written.set(name, {
    annotations: { ...annotations, ...patch?.metadata.annotations },
    status: {
      ...status,
      ...(loadBalancer ? { loadBalancer: { ingress: loadBalancer.ingress ?? [] } } : {}),
      ...(conditions ? { conditions } : {}),
    },
  });
}

/** One run, whose end stands on the Service. */
async function run({ thorough = false, name = 'web', beforeWrite = ALONE } = {}): Promise<CloudOutcome> {
  const claim = async (wanted: Claim) => write(name, claimingPatch(web(name), wanted));
  const outcome = await provider.ensure(web(name), { thorough, beforeWrite, claim });
  if (outcome.kind !== 'waiting')
    write(name, statusPatch(web(name), outcome, new Date(clock.now()), outcome.places));
  return outcome;
}

/** As its targets are healthy, and with all calls forgotten. */
async function settled() {
  await run();
  await clock.advance(20_000);
  const outcome = await run();
  expect(outcome).toMatchObject({ kind: 'done', findings: [{ status: 'True' }], again: 3_600_000 });
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
  [wishes, gone, hasIt, told, looks, leads] = [{}, false, false, [], 0, true];
  clusterUid = CLUSTER_UID;
  names = ['web'];
  written = new Map();
  [slices, podObjects, podReads] = [undefined, new Map(), 0];
  provider = start();
});

afterEach(async () => {
  provider.close();
  await world.close();
});

describe('the AWS provider', () => {
  it('gives a Service a host name and its account as the source, the same again when asked again', async () => {
    const outcome = await run();
    expect(outcome).toEqual({
      kind: 'done',
      addresses: [],
      hostnames: [expect.stringMatching(/^k8s-default-web-/)],
      ports: [{ port: 80, protocol: 'TCP' }],
      source: 'main',
      places: 'main',
      applied: expect.stringMatching(/^[0-9a-f]{16}$/),
      findings: [expect.objectContaining({ type: 'TargetsHealthy', status: 'Unknown', reason: 'Checking' })],
      again: 15_000,
      thorough: false,
    });
    expect(await run()).toEqual(outcome);
    await provider.remove(web(), ALONE);
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
      await vi.waitFor(() => expect(told).toEqual(['suspect default/web']));
      await run({ thorough: true });
      await settled();
      expect(JSON.stringify(world.essence())).toBe(before);
    }
  });

  it('looks for what others changed only where it leads, and from when it does', async () => {
    await settled();
    leads = false;
    world.cloud.listeners.clear();
    await clock.advance(120_000);
    await world.quiet();
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
    leads = true;
    provider.takeOver();
    await nextLook();
    await vi.waitFor(() => expect(told).toEqual(['suspect default/web']));
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
    await vi.waitFor(() => expect(told).toEqual(['suspect default/web']));
    await run({ thorough: true });
    await settled();
    expect(JSON.stringify(world.essence())).toBe(before);
  });

  it('tells within two looks that targets fail their checks, and writes nothing', async () => {
    await settled();
    world.cloud.behaviour.isHealthy = () => false;
    await nextLook();
    await clock.advance(45_000);
    await vi.waitFor(() => expect(told).toEqual(['suspect default/web']));
    expect(await run({ thorough: true })).toMatchObject({ findings: [{ status: 'False' }] });
    expect(world.takeCalls().writes).toBe(0);
  });

  it('verifies as many Services as a quarter of the reads lets it, and all of them in turn', async () => {
    names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const { account } = open();
    const rateLimits = { ...account.aws.rateLimits, read: { perSecond: 4, burst: 1000 } };
    provider.setAccounts(new Map([['main', open({ aws: { ...account.aws, rateLimits } })]]));
    for (const name of names) await run({ name });
    await clock.advance(20_000);
    for (const name of names) await run({ name });
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
    await vi.waitFor(() => expect(told).toEqual(['suspect default/web']));
    await run({ thorough: true });
    await settled();
    expect(rules()).toEqual([[31000, 31000]]);
  });

  it('looks at once where a Service asks for it', async () => {
    await settled();
    theGroup().targets.clear();
    await run();
    expect(theGroup().targets.size).toBe(0);
    wishes = { annotations: { 'fairlead.dev/check-load-balancer': '1' } };
    await run();
    expect(theGroup().targets.size).toBe(2);
    world.takeCalls();
    await run();
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
  });

  it('asks AWS nothing where nothing changed, and writes a new node after one read for all Services', async () => {
    await settled();
    await run();
    wishes = { annotations: { 'example.com/owner': 'me' } };
    await run();
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
    wishes = { nodes: ['a', 'b', 'c'] };
    await run();
    // In which security group the node is.
    expect(world.takeCalls()).toEqual({ reads: 1, writes: 1, actions: ['RegisterTargets'] });
    wishes = { spec: { ports: [{ name: 'web', port: 8080, targetPort: 8080, nodePort: 30081 }] } };
    await run();
    const { reads, writes } = world.takeCalls();
    expect(reads).toBe(0);
    expect(writes).toBeLessThanOrEqual(8);
    await settled();
    expect(world.takeCalls().writes).toBe(0);
  });

  it('believes what it did itself only while no other controller did anything since', async () => {
    await settled();
    const first = provider;
    const before = world.essence();
    wishes = { spec: { ports: [{ name: 'web', port: 8080, targetPort: 8080, nodePort: 30081 }] } };
    const second = start();
    provider = second;
    await run();
    wishes = {};
    // The second one died while it put it back: half of it is done.
    const dying = { ...open(), api: world.dyingAt(2, 'after') };
    second.setAccounts(new Map([['main', dying]]));
    expect(await World.died(run())).toBe(true);
    expect(world.essence()).not.toEqual(before);
    provider = first;
    expect(await run()).toMatchObject({ kind: 'done' });
    expect(world.essence()).toEqual(before);
    second.close();
  });

  it('says whether targets answer their checks, at a read for each port', async () => {
    world.cloud.behaviour.isHealthy = () => false;
    expect(await run()).toMatchObject({
      findings: [{ status: 'Unknown', reason: 'Checking' }],
      again: 15_000,
    });
    await looked();
    world.takeCalls();
    await clock.advance(14_000);
    expect(await run()).toMatchObject({ findings: [{ status: 'Unknown' }], again: 1_000 });
    expect(world.takeCalls()).toMatchObject({ reads: 0, writes: 0 });
    await clock.advance(1_000);
    const down = await run();
    expect(down).toMatchObject({
      kind: 'done',
      findings: [{ status: 'False', reason: 'NoHealthyTargets' }],
      again: 45_000,
    });
    expect(world.takeCalls()).toMatchObject({ reads: 1, writes: 0 });
    world.cloud.behaviour.isHealthy = () => true;
    await clock.advance(45_000);
    expect(await run()).toMatchObject({ findings: [{ status: 'True', reason: 'Healthy' }] });
  });

  it('says in another controller whether targets answer, by a look at the account and a read for each port', async () => {
    await run();
    await clock.advance(20_000);
    await looked();
    leads = false;
    provider.close();
    provider = start();
    world.takeCalls();
    await run();
    expect(world.takeCalls()).toMatchObject({ reads: 4, writes: 0 });
    await clock.advance(15_000);
    expect(await run()).toMatchObject({ findings: [{ status: 'True' }] });
    expect(world.takeCalls()).toMatchObject({ reads: 1, writes: 0 });
  });

  it('reads again where what it believed was wrong', async () => {
    await settled();
    const [group] = world.cloud.targetGroups.keys();
    world.cloud.listeners.clear();
    world.cloud.targetGroups.delete(group ?? '');
    wishes = { nodes: ['a', 'b', 'c'] };
    expect(await run()).toMatchObject({ kind: 'pending', reason: 'Settling' });
    expect(await run()).toMatchObject({ kind: 'done' });
    expect([...world.cloud.targetGroups.values()][0]?.targets.size).toBe(3);
  });

  it('after a restart knows a Service again by one look at the account, unless something is missing', async () => {
    const { applied } = (await settled()) as { applied: string };
    provider.close();
    provider = start();
    expect(await run()).toMatchObject({ kind: 'done', applied });
    expect(world.takeCalls()).toMatchObject({ reads: 4, writes: 0 });
    provider.close();
    world.cloud.listeners.clear();
    provider = start();
    expect(await run()).toMatchObject({ kind: 'done' });
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

  it('keeps what serves where another account becomes the default during the pass', async () => {
    await settled();
    const accounts = new Map([
      ['main', open({ isDefault: false })],
      ['second', open({ name: 'second', clusterName: 'other' })],
    ]);
    let passing = false;
    const changing: typeof world.api = (action, input, beforeSending) => {
      if (passing) provider.setAccounts(accounts);
      passing = false;
      return world.api(action, input, beforeSending);
    };
    provider.setAccounts(new Map([['main', { ...open(), api: changing }]]));
    await world.quiet();
    passing = true;
    expect(await run({ thorough: true })).toMatchObject({ kind: 'done', source: 'main' });
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('removes no orphan of a Service that the API server has, or that it leaves to another one that leads', async () => {
    await world.ensure();
    [gone, hasIt] = [true, true];
    for (let minutes = 0; minutes < 13; minutes++) await nextLook();
    expect(world.cloud.loadBalancers.size).toBe(1);
    [hasIt, leads] = [false, false];
    for (let minutes = 0; minutes < 10; minutes++) {
      await clock.advance(60_000);
      await world.quiet();
    }
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('lets some Services of an account go to AWS at a time, and tells the others when it is their turn', async () => {
    const second = open({ name: 'second', isDefault: false });
    const accounts = Array.from({ length: 24 }, (_, i) => [`a${i}`, second] as const);
    provider.setAccounts(new Map([['main', open()], ...accounts]));
    told.length = 0;
    const first = run();
    // It may have its turn in another controller, should this one die.
    expect(await run({ thorough: true })).toEqual({ kind: 'waiting', again: 15_000 });
    expect(told).toEqual([]);
    expect(await first).toMatchObject({ kind: 'done' });
    expect(told).toEqual(['turn default/web']);
  });

  it('asks again when AWS may be ready, and shows the name meanwhile', async () => {
    world.cloud.behaviour.provisioning = 20_000;
    expect(await run()).toMatchObject({
      kind: 'pending',
      reason: 'Provisioning',
      hostnames: [expect.stringMatching(/./)],
      again: 5_000,
    });
    await clock.advance(20_000);
    expect(await run()).toMatchObject({ kind: 'done' });
  });

  it('says which account is missing, and asks again when accounts come', async () => {
    provider.setAccounts(new Map());
    expect(await run()).toMatchObject({
      kind: 'pending',
      reason: 'NoCloudAccount',
      message: expect.stringContaining('spec.default: true'),
    });
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    expect(await run()).toMatchObject({
      reason: 'NoCloudAccount',
      message: expect.stringContaining('"second"'),
    });
    const before = provider.printOf(web());
    provider.setAccounts(new Map([['second', open({ name: 'second', isDefault: false })]]));
    expect(told).toContain('inputs default/web');
    expect(provider.printOf(web())).not.toBe(before);
    expect(await run()).toMatchObject({ kind: 'done', source: 'second' });
  });

  it('removes from the old account what moved to a new one, after the new one serves', async () => {
    const second = open({ name: 'second', isDefault: false, clusterName: 'other' });
    provider.setAccounts(
      new Map([
        ['main', open()],
        ['second', second],
      ]),
    );
    await run();
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    world.cloud.behaviour.release = 30_000;
    expect(await run()).toMatchObject({
      kind: 'pending',
      reason: 'Settling',
      source: 'second',
      places: 'second,main',
    });
    await clock.advance(30_000);
    expect(await run()).toMatchObject({ kind: 'done', source: 'second', places: 'second' });
    expect(world.cloud.securityGroups.size).toBe(1);
    expect([...world.cloud.loadBalancers.values()].map(({ tags }) => tags['elbv2.k8s.aws/cluster'])).toEqual([
      'other',
    ]);
  });

  it('forgets nobody who waits, however often they come meanwhile', async () => {
    const second = open({ name: 'second', isDefault: false });
    const accounts = Array.from({ length: 12 }, (_, i) => [`a${i}`, second] as const);
    provider.setAccounts(new Map([['main', open()], ...accounts]));
    names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const due = new Set(names);
    provider.subscribe(({ key }) => due.add(key.replace('default/', '')));
    const done = new Set<string>();
    const one = async (name: string) => {
      due.delete(name);
      if ((await run({ name })).kind === 'done') done.add(name);
    };
    while (due.size > 0) {
      due.delete('web');
      const batch = [...due].slice(0, 8);
      // As a change of its own brings one that is through already.
      await Promise.all([...batch, ...[...done].slice(-3)].map(one));
    }
    expect([...done].sort()).toEqual(names.toSorted());
    expect(world.cloud.loadBalancers.size).toBe(30);
  });

  it('says by name what cannot be changed, and keeps serving', async () => {
    await run();
    wishes = { annotations: { name: 'edge' } };
    expect(await run()).toMatchObject({
      kind: 'refused',
      reason: 'NotChangeable',
      hostnames: [expect.any(String)],
    });
  });

  it('keeps the name that the status shows where the wishes are wrong', async () => {
    await world.ensure();
    wishes = { annotations: { scheme: 'x' } };
    expect(await run()).toMatchObject({
      kind: 'refused',
      reason: 'InvalidRequest',
      hostnames: [world.hostname],
    });
  });

  it('after a restart removes what an earlier process made', async () => {
    await world.ensure();
    provider.close();
    wishes = { annotations: { 'fairlead.dev/cloud-accounts-in-use': 'main' } };
    provider = start();
    await provider.remove(web(), ALONE);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('removes at four reads and one for what was shared, and makes it anew where the Service is served again', async () => {
    await settled();
    await provider.remove(web(), ALONE);
    expect(world.takeCalls()).toMatchObject({ reads: 5, writes: 3 });
    expect(await run()).toMatchObject({ kind: 'done' });
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('does not forget what AWS has not let go of yet', async () => {
    await run();
    world.cloud.behaviour.release = 30_000;
    await expect(provider.remove(web(), ALONE)).rejects.toMatchObject({
      name: 'RemovalPending',
      reason: 'Settling',
    });
    await clock.advance(30_000);
    await provider.remove(web(), ALONE);
    expect(world.cloud.securityGroups.size).toBe(0);
  });

  it('sends AWS nothing more once another controller may be at work on the Service', async () => {
    let left = 4;
    const lost = new Error('the lease is lost');
    const untilLost = () => {
      if (left-- === 0) throw lost;
    };
    // What stands between a run and AWS in the controller.
    const buckets = new MemoryTokenBuckets(clock);
    const allowed = limited(world.api, 'main', CLOUD_ACCOUNT.aws.rateLimits, buckets);
    const api = new AccountHealth().watched(allowed, () => {});
    provider.setAccounts(new Map([['main', { ...open(), api }]]));
    await expect(run({ beforeWrite: untilLost })).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(0);
    await run();
    expect(world.cloud.loadBalancers.size).toBe(1);
    left = 2;
    await expect(provider.remove(web(), untilLost)).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(1);
  });
});

describe('pods with a readiness gate', () => {
  const IP = { annotations: { 'nlb-target-type': 'ip' } };
  const GATE = 'target-health.fairlead.dev/web';

  function pod(name: string, gates: readonly string[], containersReady = true): void {
    podObjects.set(name, {
      metadata: { name, namespace: 'default' },
      spec: { containers: [], readinessGates: gates.map((conditionType) => ({ conditionType })) },
      status: { conditions: [{ type: 'ContainersReady', status: containersReady ? 'True' : 'False' }] },
    });
  }

  function slice(
    endpoints: readonly { readonly name: string; readonly address: string; readonly ready?: boolean }[],
  ) {
    slices = [
      {
        metadata: { name: 'web-1' },
        addressType: 'IPv4',
        ports: [{ name: 'web', port: 8080 }],
        endpoints: endpoints.map(({ name, address, ready = false }) => ({
          addresses: [address],
          conditions: { ready },
          targetRef: { kind: 'Pod', name, namespace: 'default' },
        })),
      },
    ];
  }

  const gateOf = (name: string, type = GATE) =>
    podObjects.get(name)?.status?.conditions?.find((each) => each.type === type);
  const targets = () => [...theGroup().targets.keys()].sort();
  const ensure = () => run();

  it('are targets before they are Ready, and Ready when the load balancer finds them healthy', async () => {
    wishes = IP;
    pod('new', [GATE]);
    pod('broken', []);
    slice([
      { name: 'old', address: '10.0.0.11', ready: true },
      { name: 'new', address: '10.0.0.12' },
      { name: 'broken', address: '10.0.0.13' },
    ]);
    world.cloud.behaviour.isHealthy = () => undefined;
    expect(await ensure()).toMatchObject({ kind: 'done', again: 5_000 });
    // A pod that is not Ready for another reason is none.
    expect(targets()).toEqual(['10.0.0.11:8080', '10.0.0.12:8080']);
    expect(gateOf('new')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('port 8080 initial'),
    });
    world.cloud.behaviour.isHealthy = () => true;
    await clock.advance(5_000);
    const reads = podReads;
    await ensure();
    expect(gateOf('new')).toMatchObject({ status: 'True' });
    expect(gateOf('broken')).toBeUndefined();
    // Nobody asks again for a pod that waits for something else.
    expect(podReads - reads).toBe(1);
    slice([
      { name: 'old', address: '10.0.0.11', ready: true },
      { name: 'new', address: '10.0.0.12', ready: true },
    ]);
    world.takeCalls();
    expect(await ensure()).toMatchObject({ kind: 'done' });
    expect(world.takeCalls().writes).toBe(0);
    await clock.advance(10_000);
    await ensure();
    await clock.advance(5_000);
    expect(podReads - reads).toBe(1);
  });

  it('wait for their containers first', async () => {
    wishes = IP;
    pod('new', [GATE], false);
    slice([{ name: 'new', address: '10.0.0.12' }]);
    await ensure();
    expect(targets()).toEqual([]);
    pod('new', [GATE]);
    await clock.advance(5_000);
    await ensure();
    expect(targets()).toEqual(['10.0.0.12:8080']);
    await clock.advance(5_000);
    await ensure();
    expect(gateOf('new')).toMatchObject({ status: 'True' });
  });

  it("may have the AWS controller's gate, which names the target group", async () => {
    wishes = IP;
    const type = `target-health.elbv2.k8s.aws/${targetGroup()}`;
    pod('new', [type]);
    slice([{ name: 'new', address: '10.0.0.12' }]);
    await ensure();
    await clock.advance(5_000);
    await ensure();
    expect(theGroup().name).toBe(targetGroup());
    expect(gateOf('new', type)).toMatchObject({ status: 'True' });
  });

  it('are no targets of a load balancer that sends to nodes', async () => {
    pod('new', [GATE]);
    slice([{ name: 'new', address: '10.0.0.12' }]);
    await ensure();
    expect(podReads).toBe(0);
  });

  function targetGroup(): string {
    const [group] = desired({ annotations: { 'nlb-target-type': 'ip' } }).targetGroups;
    return group?.names[0] ?? '';
  }
});
