// The way from load balancers to nodes and pods: the group that all of them bear, and the rules that let it in.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { narrowingSteps } from '../../../src/providers/aws/backend.ts';
import { instance, type Wishes, World } from './world.ts';

const SHARED = 'k8s-traffic-demo-2a97516c35';
const NODES = 'sg-00000000000000aa';
const OTHERS = 'sg-00000000000000bb';

let clock: VirtualClock;
let world: World;

beforeEach(async () => {
  clock = new VirtualClock();
  world = await World.open(clock);
  for (const id of [NODES, OTHERS])
    world.cloud.securityGroups.set(id, { id, name: id, vpc: world.cloud.vpc, rules: [], tags: {} });
  for (const [i, node] of ['a', 'b', 'c'].entries())
    world.cloud.addInstance(instance(node), { groups: [NODES], podAddresses: [`10.0.0.1${i + 1}`] });
});

afterEach(() => world.close());

function shared() {
  return [...world.cloud.securityGroups.values()].find(({ name }) => name === SHARED);
}

/** What the nodes let in from the load balancers. */
function rules(group = NODES): string[] {
  const found = world.cloud.securityGroups.get(group)?.rules ?? [];
  return found
    .filter(({ source }) => source === shared()?.id)
    .map(({ protocol, from, to }) => `${protocol} ${from}-${to}`)
    .sort();
}

function groupsOfBalancer(): (string | undefined)[] {
  const [balancer] = world.cloud.loadBalancers.values();
  return (balancer?.groups ?? []).map((id) => world.cloud.securityGroups.get(id)?.name);
}

describe('nodes', () => {
  it('let the load balancers of a cluster in, by one group that all of them bear', async () => {
    await world.settle();
    const { reads, writes } = world.takeCalls();
    // The AWS controller: 16 and 8.
    expect([reads, writes]).toEqual([8, 8]);
    expect(groupsOfBalancer()).toEqual([expect.stringMatching(/^k8s-default-web-/), SHARED]);
    expect(rules()).toEqual(['tcp 30080-30080']);
    expect(world.cloud.securityGroups.get(NODES)?.rules[0]?.description).toBe('fairlead.dev/targets');
    await world.settle();
    expect(world.takeCalls().writes).toBe(0);
    expect(await world.remove()).toEqual({ kind: 'removed' });
    expect(shared()).toBeUndefined();
    expect([...world.cloud.securityGroups.keys()]).toEqual([NODES, OTHERS]);
    expect(world.cloud.securityGroups.get(NODES)?.rules).toEqual([]);
  });

  it.each<[string, Wishes, string[]]>([
    [
      'UDP, which is checked by TCP',
      { spec: { ports: [{ port: 53, protocol: 'UDP', nodePort: 30053 }] } },
      ['tcp 30053-30053', 'udp 30053-30053'],
    ],
    [
      'a policy Local, which is checked elsewhere',
      { spec: { externalTrafficPolicy: 'Local', healthCheckNodePort: 30999 } },
      ['tcp 30080-30999'],
    ],
    ['pods, by their own ports', { annotations: { 'nlb-target-type': 'ip' } }, ['tcp 8080-8080']],
    [
      "the user's own groups, where they ask for it",
      { annotations: { 'security-groups': OTHERS, 'manage-backend-security-group-rules': 'true' } },
      ['tcp 30080-30080'],
    ],
    ["the user's own groups", { annotations: { 'security-groups': OTHERS } }, []],
    [
      'a Service that wants no rules',
      { annotations: { 'manage-backend-security-group-rules': 'false' } },
      [],
    ],
    ['a load balancer without groups', { annotations: { 'disable-nlb-sg': 'true' } }, []],
  ])('let in what is asked for: %s', async (_, wishes, expected) => {
    await world.settle(wishes);
    expect(rules()).toEqual(expected);
    expect(groupsOfBalancer().includes(SHARED)).toBe(expected.length > 0);
    world.takeCalls();
    await world.settle(wishes);
    expect(world.takeCalls().writes).toBe(0);
  });

  it('have one range for all Services, which a new one only widens', async () => {
    await world.settle();
    const other: Wishes = {
      meta: { name: 'other', uid: '99999999-2222-3333-4444-555555555555' },
      spec: { ports: [{ port: 80, nodePort: 31000 }] },
    };
    world.hostname = undefined;
    await world.settle(other);
    expect(rules()).toEqual(['tcp 30080-30080', 'tcp 30080-31000']);
    world.takeCalls();
    await world.settle({ ...other, spec: { ports: [{ port: 80, nodePort: 30500 }] } });
    expect(rules()).toEqual(['tcp 30080-30080', 'tcp 30080-31000']);
  });

  it('of other groups are let in too as they come', async () => {
    await world.settle({ nodes: ['a'] });
    world.cloud.addInstance(instance('c'), { groups: [OTHERS] });
    await world.settle({ nodes: ['a', 'c'] });
    expect([rules(), rules(OTHERS)]).toEqual([['tcp 30080-30080'], ['tcp 30080-30080']]);
  });

  it('whose group is not clear hold nobody back, and are named', async () => {
    world.cloud.addInstance(instance('b'), { groups: [NODES, OTHERS] });
    const result = await world.ensure();
    expect(result).toMatchObject({
      kind: 'done',
      unclear: [expect.stringContaining(`${instance('b')} is in the security groups ${NODES}, ${OTHERS}`)],
    });
    expect(rules()).toEqual(['tcp 30080-30080']);
    const others = world.cloud.securityGroups.get(OTHERS);
    if (others) others.tags = { 'kubernetes.io/cluster/demo': 'owned' };
    expect(await world.ensure()).toMatchObject({ kind: 'done', unclear: [] });
    expect(rules(OTHERS)).toEqual(['tcp 30080-30080']);
  });

  it('are put right where a hand took rules or the group away', async () => {
    await world.settle();
    const before = world.essence();
    const nodes = world.cloud.securityGroups.get(NODES);
    if (nodes) nodes.rules = [];
    await world.settle();
    expect(world.essence()).toEqual(before);
    const [balancer] = world.cloud.loadBalancers.values();
    balancer?.groups.pop();
    await world.settle();
    expect(world.essence()).toEqual(before);
  });

  it("keep the AWS controller's group and rules", async () => {
    const id = 'sg-00000000000000cc';
    const theirs = {
      protocol: 'tcp',
      from: 30000,
      to: 30100,
      source: id,
      description: 'elbv2.k8s.aws/targetGroupBinding=shared',
    };
    world.cloud.securityGroups.set(id, {
      id,
      name: SHARED,
      vpc: world.cloud.vpc,
      rules: [],
      tags: { 'elbv2.k8s.aws/cluster': 'demo' },
    });
    world.cloud.securityGroups.get(NODES)?.rules.push(theirs);
    await world.settle();
    expect(groupsOfBalancer()).toContain(SHARED);
    expect(world.cloud.securityGroups.get(NODES)?.rules).toEqual([theirs]);
    await world.remove();
    expect(shared()?.id).toBe(id);
    expect(world.cloud.securityGroups.get(NODES)?.rules).toEqual([theirs]);
  });

  it('let nobody in twice where two Services are the first at once', async () => {
    const other: Wishes = { meta: { name: 'other', uid: '99999999-2222-3333-4444-555555555555' } };
    const [first, second] = await Promise.all([world.ensure(), world.ensure(other)]);
    expect([first.kind, second.kind]).toEqual(['done', 'done']);
    expect([...world.cloud.securityGroups.values()].filter(({ name }) => name === SHARED)).toHaveLength(1);
    expect(rules()).toEqual(['tcp 30080-30080']);
  });
});

describe('narrowing', () => {
  const backend = (ports: number[]) => ({
    name: SHARED,
    vpc: 'vpc',
    tags: {},
    groups: [NODES],
    ports: ports.map((port) => ({ protocol: 'tcp' as const, port })),
  });
  const rule = (from: number, to: number, ours = true) => ({ protocol: 'tcp' as const, from, to, ours });

  it('allows the range that is left before it revokes what was wider, and leaves the rules of others', () => {
    const there = [{ id: NODES, rules: [rule(30000, 31000), rule(30000, 30000), rule(1, 2, false)] }];
    expect(narrowingSteps(SHARED, [backend([30010, 30020])], there)).toMatchObject([
      { kind: 'allow', group: NODES, rules: [{ from: 30010, to: 30020 }] },
      {
        kind: 'revoke',
        group: NODES,
        rules: [
          { from: 30000, to: 31000 },
          { from: 30000, to: 30000 },
        ],
      },
    ]);
    expect(
      narrowingSteps(SHARED, [backend([30000, 31000])], [{ id: NODES, rules: [rule(30000, 31000)] }]),
    ).toEqual([]);
    expect(narrowingSteps(SHARED, [], [{ id: OTHERS, rules: [rule(30000, 31000)] }])).toMatchObject([
      { kind: 'revoke', group: OTHERS },
    ]);
  });
});
