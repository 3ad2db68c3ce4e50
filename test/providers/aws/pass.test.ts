// Passes through the real SDK against the emulator: killed at each call, meddled with, refused and slowed down.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { CERTIFICATE, service } from '../../api/aws-builders.ts';
import { instance, type Wishes, World } from './world.ts';

let clock: VirtualClock;
let world: World;

beforeEach(async () => {
  clock = new VirtualClock();
  world = await World.open(clock);
});

afterEach(() => world.close());

const EMPTY = { loadBalancers: [], listeners: [], targetGroups: [], securityGroups: [] };
const TLS = { 'ssl-cert': `${CERTIFICATE},${CERTIFICATE}2`, attributes: 'zonal_shift.config.enabled=true' };
const TWO_PORTS = {
  ports: [
    { name: 'web', port: 80, nodePort: 30080 },
    { name: 'dns', protocol: 'UDP' as const, port: 53, nodePort: 30053 },
    { name: 'dns-tcp', protocol: 'TCP' as const, port: 53, nodePort: 30053 },
  ],
};

describe('a pass', () => {
  it('makes a load balancer, and then finds nothing to do', async () => {
    const result = await world.ensure();
    expect(result).toMatchObject({
      kind: 'done',
      hostname: expect.stringMatching(/^k8s-default-web-43a9c8fa8e-/),
      notes: [],
      // Nobody has looked at the new targets.
      health: { status: 'Unknown', reason: 'Checking' },
    });
    const { reads, actions } = world.takeCalls();
    expect(actions).toEqual([
      'CreateSecurityGroup',
      'AuthorizeSecurityGroupIngress',
      'CreateTargetGroup',
      'RegisterTargets',
      'CreateLoadBalancer',
      'CreateListener',
    ]);
    expect(reads).toBeLessThanOrEqual(8);
    const again = await world.ensure();
    expect(again).toMatchObject({ hostname: world.hostname, notes: [], health: { status: 'True' } });
    expect(world.takeCalls().writes).toBe(0);
    const [group] = world.cloud.targetGroups.values();
    expect([...(group?.targets.keys() ?? [])]).toEqual([`${instance('a')}:30080`, `${instance('b')}:30080`]);
  });

  it.each<[string, Wishes, Wishes]>([
    ['TLS with certificates and attributes', {}, { annotations: TLS }],
    ['UDP beside TCP', {}, { spec: TWO_PORTS }],
    ['pods as targets', {}, { annotations: { 'nlb-target-type': 'ip' } }],
    ['dual stack', {}, { annotations: { 'ip-address-type': 'dualstack' } }],
    ['another scheme', {}, { annotations: { scheme: 'internet-facing' } }],
    ['named subnets', {}, { annotations: { subnets: 'subnet-00000000' } }],
    ['fewer nodes', {}, { nodes: ['c'] }],
    ['an HTTP check', {}, { annotations: { 'healthcheck-protocol': 'http', 'healthcheck-path': '/up' } }],
    ['no TLS any more', { annotations: TLS }, {}],
    [
      'the defaults again',
      {
        annotations: {
          'target-group-attributes': 'stickiness.enabled=true',
          'additional-resource-tags': 'a=b',
        },
      },
      {},
    ],
    ['narrower ranges', {}, { spec: { loadBalancerSourceRanges: ['192.0.2.0/24'] } }],
  ])('leads from one wish to another as from nothing: %s', async (_, before, after) => {
    await world.settle(before);
    await world.settle(after);
    const changed = world.essence();
    world.takeCalls();
    await world.settle(after);
    expect(world.takeCalls().writes).toBe(0);
    expect(await world.remove()).toEqual({ kind: 'removed' });
    expect(world.essence()).toEqual(EMPTY);
    world.hostname = undefined;
    await world.settle(after);
    expect(changed).toEqual(world.essence());
  });

  it('writes nothing at all for what cannot be read, and says everything that is wrong', async () => {
    const result = await world.ensure({ annotations: { scheme: 'x', name: '-', typo: '1' } });
    expect(result).toMatchObject({ kind: 'refused', reason: 'InvalidRequest' });
    expect(result.kind === 'refused' ? result.message.split('; ').length : 0).toBeGreaterThanOrEqual(3);
    expect(world.takeCalls()).toEqual({ reads: 0, writes: 0, actions: [] });
  });

  it('keeps the old load balancer until the new one is active and published', async () => {
    const before = await world.settle();
    world.cloud.behaviour.provisioning = 60_000;
    const wishes = { annotations: { scheme: 'internet-facing' } };
    expect(await world.ensure(wishes)).toMatchObject({
      kind: 'pending',
      reason: 'Provisioning',
      hostname: before,
    });
    expect(await world.ensure(wishes)).toMatchObject({ kind: 'pending', hostname: before });
    expect(world.cloud.loadBalancers.size).toBe(2);
    await clock.advance(60_000);
    const result = await world.ensure(wishes);
    expect(result).toMatchObject({ kind: 'pending', reason: 'Replacing' });
    expect(world.hostname).not.toBe(before);
    expect(world.cloud.loadBalancers.size).toBe(2);
    expect(await world.settle(wishes)).toBe(world.hostname);
    expect([world.cloud.loadBalancers.size, world.cloud.targetGroups.size]).toEqual([1, 1]);
  });

  it('waits until AWS lets go, and then removes the rest', async () => {
    await world.settle();
    world.cloud.behaviour.release = 60_000;
    expect(await world.remove()).toMatchObject({ kind: 'pending', reason: 'Settling' });
    expect(world.cloud.loadBalancers.size).toBe(0);
    await clock.advance(60_000);
    expect(await world.remove()).toEqual({ kind: 'removed' });
    expect(world.essence()).toEqual(EMPTY);
  });

  it('does not remove what is protected', async () => {
    await world.settle({ annotations: { attributes: 'deletion_protection.enabled=true' } });
    const before = world.essence();
    expect(await world.remove()).toMatchObject({ kind: 'pending', reason: 'DeletionProtected' });
    expect(world.essence()).toEqual(before);
  });

  it('stands reads that are behind the writes', async () => {
    Object.assign(world.cloud.behaviour, { readLag: 2_000, provisioning: 10_000 });
    for (let i = 0; i < 10; i++) {
      await world.ensure({ annotations: TLS });
      await clock.advance(1_500);
    }
    await world.settle({ annotations: TLS });
    const { loadBalancers, listeners, targetGroups } = world.cloud;
    expect([loadBalancers.size, listeners.size, targetGroups.size]).toEqual([1, 1, 1]);
  });
});

describe('a process that dies', () => {
  const cases: [string, Wishes | undefined, Wishes | undefined][] = [
    ['while it makes everything', undefined, { spec: TWO_PORTS, annotations: TLS }],
    ['while it changes the scheme', {}, { annotations: { scheme: 'internet-facing' } }],
    [
      'while it changes ports and target type',
      { spec: TWO_PORTS },
      { annotations: { 'nlb-target-type': 'ip' } },
    ],
    ['while it removes everything', { spec: TWO_PORTS }, undefined],
  ];

  it.each(cases)(
    '%s leaves nothing twice and nothing behind, at whichever call',
    async (_, before, after) => {
      const start = async () => {
        await world.remove();
        world.hostname = undefined;
        if (before) await world.settle(before);
      };
      const finish = async () => {
        if (after) await world.settle(after);
        else expect(await world.remove()).toEqual({ kind: 'removed' });
      };
      await start();
      await finish();
      const end = world.essence();
      let deaths = 0;
      for (const when of ['before', 'after'] as const) {
        for (let call = 0; ; call++) {
          await start();
          const api = world.dyingAt(call, when);
          const run = async () => {
            if (!after) return void (await world.remove(api));
            for (let i = 0; i < 3; i++) await world.ensure(after, api);
          };
          if (!(await World.died(run()))) break;
          deaths++;
          await finish();
          expect(world.essence(), `dead ${when} write ${call}`).toEqual(end);
        }
      }
      expect(deaths).toBeGreaterThan(7);
      await world.remove();
      expect(world.essence()).toEqual(EMPTY);
    },
  );

  it.each(['before', 'after'] as const)('may also be the connection, %s a call took effect', async (when) => {
    await world.settle({ annotations: TLS });
    const end = world.essence();
    await world.remove();
    world.hostname = undefined;
    const lost = new Set<string>();
    world.emulator.loseAnswer = (action) => {
      if (lost.has(action)) return 'no';
      lost.add(action);
      return when;
    };
    for (let i = 0; i < 5; i++) await world.ensure({ annotations: TLS });
    await world.settle({ annotations: TLS });
    expect(lost.size).toBeGreaterThan(10);
    expect(world.essence()).toEqual(end);
  });
});

describe('a hand in the console', () => {
  it.each<[string, (world: World) => void]>([
    ['deletes the listener', ({ cloud }) => cloud.listeners.clear()],
    [
      'deletes the load balancer',
      ({ cloud }) => cloud.deleteLoadBalancer([...cloud.loadBalancers.keys()][0] ?? ''),
    ],
    ['deletes targets', ({ cloud }) => [...cloud.targetGroups.values()][0]?.targets.clear()],
    [
      'deletes rules',
      ({ cloud }) => Object.assign([...cloud.securityGroups.values()][0] ?? {}, { rules: [] }),
    ],
    [
      'adds a rule',
      ({ cloud }) =>
        [...cloud.securityGroups.values()][0]?.rules.push({
          protocol: 'tcp',
          from: 22,
          to: 22,
          source: '0.0.0.0/0',
        }),
    ],
    ['deletes tags', ({ cloud }) => Object.assign([...cloud.listeners.values()][0] ?? {}, { tags: {} })],
    [
      'changes attributes',
      ({ cloud }) =>
        Object.assign([...cloud.targetGroups.values()][0]?.attributes ?? {}, {
          'stickiness.enabled': 'true',
        }),
    ],
    [
      'changes the check',
      ({ cloud }) =>
        Object.assign([...cloud.targetGroups.values()][0]?.healthCheck ?? {}, {
          HealthCheckIntervalSeconds: '60',
        }),
    ],
  ])('that %s is put right by the next pass', async (_, meddle) => {
    await world.settle();
    const before = world.essence();
    meddle(world);
    await world.settle();
    expect(world.essence()).toEqual(before);
  });
});

describe('what AWS refuses', () => {
  it.each<[string, string, (world: World) => void, RegExp]>([
    [
      'a missing permission',
      'PermissionMissing',
      ({ cloud }) => cloud.behaviour.denied.add('CreateTargetGroup'),
      /^CreateTargetGroup: .*; allow it in the IAM policy/,
    ],
    [
      'expired credentials',
      'CredentialsInvalid',
      ({ cloud }) => Object.assign(cloud.behaviour, { expired: true }),
      /check the credentials/,
    ],
    [
      'a quota',
      'QuotaExceeded',
      ({ cloud }) => Object.assign(cloud.behaviour.quotas, { loadBalancers: 0 }),
      /^CreateLoadBalancer: .*; raise the quota/,
    ],
    [
      'throttling',
      'Throttled',
      ({ cloud }) =>
        Object.assign(cloud.behaviour, {
          buckets: {
            describe: { burst: 0, perSecond: 0 },
            mutate: { burst: 0, perSecond: 0 },
            register: { burst: 0, perSecond: 0 },
          },
        }),
      /too many calls/,
    ],
  ])('is a reason and a sentence, the same each time: %s', async (_, reason, arrange, message) => {
    arrange(world);
    const first = await world.ensure();
    expect(first).toMatchObject({ kind: 'pending', reason, message: expect.stringMatching(message) });
    expect(first.kind === 'pending' ? first.retryAfter : 0).toBeGreaterThanOrEqual(15_000);
    expect(await world.ensure()).toEqual(first);
  });

  it('may be a certificate, which is said with its ARN', async () => {
    world.cloud.certificates.clear();
    const result = await world.ensure({ annotations: { 'ssl-cert': CERTIFICATE } });
    expect(result).toMatchObject({ reason: 'RefusedByAWS', message: expect.stringContaining(CERTIFICATE) });
  });

  const SECURE: Wishes = {
    annotations: { 'ssl-cert': CERTIFICATE, 'ssl-ports': '443' },
    spec: {
      ports: [
        { name: 'web', port: 80, nodePort: 30080 },
        { name: 'tls', port: 443, nodePort: 30443 },
      ],
    },
  };
  const listeners = () => [...world.cloud.listeners.values()].map(({ port }) => port).sort();

  it('of one port keeps no other from being served, and is told of that port', async () => {
    world.cloud.certificates.clear();
    const result = await world.ensure(SECURE);
    expect(result).toMatchObject({
      kind: 'pending',
      reason: 'RefusedByAWS',
      message: expect.stringMatching(/^port 443: CreateListener: .*certificate/i),
      hostname: expect.stringMatching(/./),
      portErrors: new Map([[443, 'RefusedByAWS']]),
    });
    expect(listeners()).toEqual([80]);
    world.takeCalls();
    await world.ensure(SECURE);
    expect(world.takeCalls().actions).toEqual(['CreateListener']);
    world.cloud.certificates.add(CERTIFICATE);
    await world.settle(SECURE);
    expect(listeners()).toEqual([443, 80]);
  });

  it('may be the targets of a port that are too many, and the listener is made all the same where there are some', async () => {
    await world.settle({ ...SECURE, nodes: ['a'] });
    world.cloud.behaviour.quotas.targetsPerGroup = 1;
    expect(await world.ensure({ ...SECURE, nodes: ['a', 'b'] })).toMatchObject({
      reason: 'QuotaExceeded',
      portErrors: new Map([
        [80, 'QuotaExceeded'],
        [443, 'QuotaExceeded'],
      ]),
    });
    expect(listeners()).toEqual([443, 80]);
  });

  it('of a port that moves to another target group leaves the one that serves', async () => {
    await world.settle();
    const before = world.essence();
    world.cloud.behaviour.quotas.targetGroups = 1;
    const result = await world.ensure({ annotations: { 'nlb-target-type': 'ip' } });
    expect(result).toMatchObject({ reason: 'QuotaExceeded', portErrors: new Map([[80, 'QuotaExceeded']]) });
    expect(world.essence()).toEqual(before);
  });

  it('says while AWS still makes the load balancer which port it refuses, and does not ask every five seconds', async () => {
    world.cloud.certificates.clear();
    world.cloud.behaviour.provisioning = 60_000;
    expect(await world.ensure(SECURE)).toMatchObject({
      reason: 'Provisioning',
      retryAfter: 60_000,
      portErrors: new Map([[443, 'RefusedByAWS']]),
    });
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['an unknown EIP', { 'eip-allocations': 'eipalloc-00000001' }, /eipalloc-00000001 does not exist/],
    ['one in use', { 'eip-allocations': 'eipalloc-000000aa' }, /eipalloc-000000aa is in use/],
    [
      'too few EIPs for the subnets that were found',
      { 'eip-allocations': 'eipalloc-000000bb', subnets: '' },
      /names 1 for the 3 subnets subnet-00000001, subnet-00000011/,
    ],
    [
      'an address outside of its subnet',
      { 'private-ipv4-addresses': '10.9.9.9', scheme: 'internal', subnets: 'subnet-00000000' },
      /10\.9\.9\.9 is not in the subnet subnet-00000000 \(10\.0\.0\.0\/24\)/,
    ],
    [
      'an IPv6 address outside of its subnet',
      { 'ipv6-addresses': '2001:db8:9::1', 'ip-address-type': 'dualstack' },
      /2001:db8:9::1 is not in the subnet/,
    ],
    ['an unknown security group', { 'security-groups': 'sg-00000009' }, /sg-00000009 does not exist/],
  ])('is found out before anything is written: %s', async (_, annotations, message) => {
    const { cloud } = world;
    cloud.allocations.add('eipalloc-000000aa').add('eipalloc-000000bb');
    await world.settle({
      annotations: {
        'eip-allocations': 'eipalloc-000000aa',
        scheme: 'internet-facing',
        subnets: 'subnet-00000001',
      },
    });
    world.hostname = undefined;
    world.takeCalls();
    const result = await world.ensure({
      meta: { name: 'other', uid: '99999999-2222-3333-4444-555555555555' },
      annotations: { scheme: 'internet-facing', subnets: 'subnet-00000001', ...annotations },
    });
    expect(result).toMatchObject({ kind: 'refused', message: expect.stringMatching(message) });
    expect(world.takeCalls().writes).toBe(0);
  });

  it('may be everything: an endpoint that does not answer', async () => {
    await world.emulator.close();
    expect(await world.ensure()).toMatchObject({ kind: 'pending', reason: 'AWSUnreachable' });
  });

  it('says which subnets do not fit', async () => {
    for (const each of world.cloud.subnets) each.freeAddresses = 2;
    expect(await world.ensure()).toMatchObject({
      kind: 'refused',
      reason: 'NoSubnets',
      message: expect.stringMatching(/subnet-00000000 has 2 free addresses/),
    });
    expect(world.takeCalls().writes).toBe(0);
  });

  it('finds subnets by their routes where none is tagged', async () => {
    for (const each of world.cloud.subnets) each.tags = {};
    await world.settle({ annotations: { scheme: 'internet-facing' } });
    const [balancer] = world.cloud.loadBalancers.values();
    expect(balancer?.mappings.map(({ subnet }) => subnet)).toEqual([
      'subnet-00000001',
      'subnet-00000011',
      'subnet-00000021',
    ]);
  });
});

describe('what belongs to others', () => {
  it('is never touched: a foreign load balancer under an explicit name', async () => {
    await world.settle({ annotations: { name: 'edge' } });
    const before = world.essence();
    const other: Wishes = {
      annotations: { name: 'edge' },
      meta: { name: 'other', uid: '99999999-2222-3333-4444-555555555555' },
    };
    world.takeCalls();
    expect(await world.ensure(other)).toMatchObject({
      kind: 'pending',
      reason: 'NameTaken',
      message: expect.stringContaining('edge'),
    });
    expect(world.takeCalls().writes).toBe(0);
    expect(world.essence()).toEqual(before);
  });

  it('is seen even where AWS answers a create with it', async () => {
    const groupless = { name: 'edge', 'disable-nlb-sg': 'true' };
    await world.settle({ annotations: groupless });
    const meta = { name: 'other', uid: '99999999-2222-3333-4444-555555555555' };
    // A look that comes before the other Service's create: what it lists is empty.
    const late: World['api'] = async (action, input) => {
      const output = await world.api(action, input);
      return action === 'DescribeLoadBalancers' ? { ...output, LoadBalancers: [] } : output;
    };
    expect(await world.ensure({ annotations: groupless, meta }, late)).toMatchObject({ reason: 'NameTaken' });
    expect(world.cloud.listeners.size).toBe(1);
  });

  it('stays when the Service goes', async () => {
    await world.settle();
    const twin = service({}, {}, { uid: '99999999-2222-3333-4444-555555555555' });
    await world.ensure({ meta: twin.metadata });
    expect(world.cloud.loadBalancers.size).toBe(2);
    await world.remove();
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('is taken over in place when the user says so', async () => {
    const hostname = await world.settle();
    for (const each of [
      ...world.cloud.loadBalancers.values(),
      ...world.cloud.targetGroups.values(),
      ...world.cloud.securityGroups.values(),
    ])
      delete each.tags['fairlead.dev/service-uid'];
    expect(await world.ensure()).toMatchObject({
      reason: 'NameTaken',
      message: expect.stringContaining('adopt-load-balancer'),
    });
    expect(await world.settle({ annotations: { 'fairlead.dev/adopt-load-balancer': 'true' } })).toBe(
      hostname,
    );
    expect(await world.settle()).toBe(hostname);
  });
});
