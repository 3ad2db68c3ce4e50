import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DesiredState } from '../../../src/providers/aws/model.ts';
import { plan, planRemoval } from '../../../src/providers/aws/plan.ts';
import type { Step } from '../../../src/providers/aws/step.ts';
import { CERTIFICATE } from '../../api/aws-builders.ts';
import { desired, type Wishes } from './desired.ts';
import { NaiveAws } from './naive-aws.ts';

function stepsOf(wanted: DesiredState, aws: NaiveAws): readonly Step[] {
  const found = plan(wanted, aws.state(), hostnames(aws));
  return found.kind === 'steps' ? found.steps : expect.fail(found.message);
}

function settle(aws: NaiveAws, wanted: DesiredState): Step[] {
  const done: Step[] = [];
  for (let round = 0; round < 5; round++) {
    const steps = stepsOf(wanted, aws);
    const isActive = aws.loadBalancers.every(({ state }) => state === 'active');
    if (steps.length === 0 && isActive) return done;
    for (const step of steps) aws.apply(step);
    done.push(...steps);
    aws.activate();
  }
  return expect.fail(`never settles: ${stepsOf(wanted, aws).map(({ kind }) => kind)}`);
}

function settled(wishes: Wishes = {}): NaiveAws {
  const aws = new NaiveAws();
  settle(aws, desired(wishes));
  return aws;
}

function hostnames({ loadBalancers }: NaiveAws): string[] {
  return loadBalancers.map(({ hostname }) => hostname);
}

function kinds(steps: readonly Step[]): string[] {
  return steps.map(({ kind }) => kind);
}

describe('a plan', () => {
  it('makes everything in an order in which each finds what it needs', () => {
    expect(kinds(stepsOf(desired(), new NaiveAws()))).toEqual([
      'createSecurityGroup',
      'allow',
      'createTargetGroup',
      'register',
      'createLoadBalancer',
      'createListener',
    ]);
  });

  it.each<[string, Wishes, string[]]>([
    ['nothing', {}, []],
    ['a node more', { targets: ['i-1', 'i-2', 'i-3'] }, ['register']],
    ['a node less', { targets: ['i-1'] }, ['deregister']],
    ['another node', { targets: ['i-1', 'i-9'] }, ['register', 'deregister']],
    ['another subnet', { subnets: ['subnet-a', 'subnet-c'] }, ['setSubnets']],
    ['dual stack', { annotations: { 'ip-address-type': 'dualstack' } }, ['allow', 'setAddressType']],
    [
      'a tag',
      { annotations: { 'additional-resource-tags': 'a=b' } },
      ['addTags', 'addTags', 'addTags', 'addTags'],
    ],
    ['narrower ranges', { spec: { loadBalancerSourceRanges: ['192.0.2.0/24'] } }, ['allow', 'revoke']],
    [
      'its own groups',
      { annotations: { 'security-groups': 'sg-own' } },
      ['setSecurityGroups', 'deleteSecurityGroup'],
    ],
    ['an attribute', { annotations: { attributes: 'zonal_shift.config.enabled=true' } }, ['setAttributes']],
    ['a health check', { annotations: { 'healthcheck-interval': '30' } }, ['modifyHealthCheck']],
    [
      'TLS',
      { annotations: { 'ssl-cert': `${CERTIFICATE},${CERTIFICATE}2` } },
      ['modifyListener', 'addCertificates'],
    ],
    [
      'another port',
      { spec: { ports: [{ port: 81, nodePort: 30081 }] } },
      [
        'deleteListener',
        'deleteTargetGroup',
        'allow',
        'revoke',
        'createTargetGroup',
        'register',
        'createListener',
      ],
    ],
    [
      'another target type: the listener moves to a group that has its targets',
      { annotations: { 'nlb-target-type': 'ip' }, targets: ['10.0.0.1'] },
      ['createTargetGroup', 'register', 'modifyListener', 'deleteTargetGroup'],
    ],
  ])('from one TCP port to %s', (_, wishes, expected) => {
    const aws = settled();
    aws.expectTargets = true;
    expect(kinds(settle(aws, desired(wishes))).sort()).toEqual(expected.sort());
  });

  it.each([
    ['load balancer', 'attributes', { attributes: 'load_balancing.cross_zone.enabled=true' }],
    ['target group', 'target-group-attributes', { 'target-group-attributes': 'stickiness.enabled=true' }],
    ['listener', 'listener-attributes', { 'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=600' }],
  ])('puts an attribute of a %s back when its annotation goes', (_, __, annotations) => {
    const aws = settled({ annotations });
    expect(kinds(settle(aws, desired()))).toEqual(['setAttributes']);
    expect(kinds(settle(aws, desired({ annotations })))).toEqual(['setAttributes']);
  });

  it('for another scheme makes the new load balancer first, and takes the old one away when that is active', () => {
    const aws = settled();
    const before = aws.loadBalancers[0]?.arn;
    const wanted = desired({ annotations: { scheme: 'internet-facing' } });
    const steps = stepsOf(wanted, aws);
    expect(kinds(steps)).toEqual(['createTargetGroup', 'register', 'createLoadBalancer', 'createListener']);
    for (const step of steps) aws.apply(step);
    expect(plan(wanted, aws.state(), hostnames(aws))).toMatchObject({ steps: [], replacing: true });
    aws.activate();
    expect(plan(wanted, aws.state(), ['the old one'])).toMatchObject({ steps: [], replacing: true });
    expect(kinds(settle(aws, wanted))).toEqual(['deleteLoadBalancer', 'deleteTargetGroup']);
    expect(aws.loadBalancers.map(({ scheme }) => scheme)).toEqual(['internet-facing']);
    expect(aws.loadBalancers[0]?.arn).not.toBe(before);
    settle(aws, desired());
    expect([aws.loadBalancers.length, aws.targetGroups.length, aws.securityGroups.length]).toEqual([1, 1, 1]);
  });

  it('never makes a second load balancer under an explicit name', () => {
    const aws = settled({ annotations: { name: 'edge' } });
    const found = plan(
      desired({ annotations: { name: 'edge', scheme: 'internet-facing' } }),
      aws.state(),
      hostnames(aws),
    );
    expect(found).toMatchObject({ kind: 'conflict', reason: 'NameInUse' });
  });

  it('makes a load balancer that failed anew', () => {
    const aws = settled();
    for (const each of aws.loadBalancers) each.state = 'failed';
    const first = aws.loadBalancers[0]?.arn;
    settle(aws, desired());
    expect(aws.loadBalancers.map(({ arn }) => arn)).not.toContain(first);
    expect(aws.targetGroups).toHaveLength(1);
  });

  it.each<[string, Wishes, Wishes, RegExp]>([
    ['a name', {}, { annotations: { name: 'edge' } }, /it stays k8s-default-web-43a9c8fa8e rather than edge/],
    [
      'an EIP',
      {
        annotations: {
          scheme: 'internet-facing',
          subnets: 'subnet-a',
          'eip-allocations': 'eipalloc-0000000a',
        },
      },
      {
        annotations: {
          scheme: 'internet-facing',
          subnets: 'subnet-a',
          'eip-allocations': 'eipalloc-0000000b',
        },
      },
      /subnet-a keeps the EIP eipalloc-0000000a rather than eipalloc-0000000b/,
    ],
    [
      'a private address',
      { annotations: { subnets: 'subnet-a', 'private-ipv4-addresses': '10.0.0.7' } },
      { annotations: { subnets: 'subnet-a', 'private-ipv4-addresses': '10.0.0.8' } },
      /subnet-a keeps the address 10.0.0.7 rather than 10.0.0.8/,
    ],
    ['no groups', {}, { annotations: { 'disable-nlb-sg': 'true' } }, /never lets all be taken off/],
    [
      'groups on one made without',
      { annotations: { 'disable-nlb-sg': 'true' } },
      { annotations: { 'security-groups': 'sg-own' } },
      /never lets any be added/,
    ],
  ])('says what cannot be changed: %s', (_, before, after, note) => {
    const aws = settled(before);
    const found = plan(desired(after), aws.state(), hostnames(aws));
    expect(found).toMatchObject({ kind: 'steps', notes: [expect.stringMatching(note)] });
  });

  it.each([
    ['somebody', { who: 'else' }, /left alone/],
    [
      'a Service of another UID',
      { 'fairlead.dev/service-uid': 'other', 'elbv2.k8s.aws/cluster': 'demo' },
      /left alone/,
    ],
    [
      'another cluster',
      { 'elbv2.k8s.aws/cluster': 'other', 'service.k8s.aws/stack': 'default/web' },
      /left alone/,
    ],
    [
      'the AWS controller',
      { 'elbv2.k8s.aws/cluster': 'demo', 'service.k8s.aws/stack': 'default/web' },
      /adopt-load-balancer/,
    ],
    [
      'the in-tree provider',
      { 'kubernetes.io/cluster/demo': 'owned', 'kubernetes.io/service-name': 'default/web' },
      /adopt-load-balancer/,
    ],
  ])('touches nothing of %s', (_, tags, message) => {
    const aws = settled();
    for (const each of aws.loadBalancers) each.tags = tags;
    const found = plan(desired({ targets: [] }), aws.state(), hostnames(aws));
    expect(found).toMatchObject({
      kind: 'conflict',
      reason: 'NameTaken',
      message: expect.stringMatching(message),
    });
    expect(planRemoval(desired().owner, aws.state())).toMatchObject({
      steps: expect.not.arrayContaining([expect.objectContaining({ kind: 'deleteLoadBalancer' })]),
    });
  });

  it('takes over what the AWS controller made, in place, when the user says so', () => {
    const aws = settled();
    const arns = () => [...aws.loadBalancers, ...aws.targetGroups].map(({ arn }) => arn);
    const before = arns();
    for (const each of [...aws.loadBalancers, ...aws.targetGroups, ...aws.securityGroups]) {
      const { 'fairlead.dev/service-uid': _, ...theirs } = each.tags;
      each.tags = theirs;
    }
    const steps = settle(aws, desired({ annotations: { 'fairlead.dev/adopt-load-balancer': 'true' } }));
    expect(kinds(steps)).toEqual(['addTags', 'addTags', 'addTags']);
    expect(arns()).toEqual(before);
    // Once taken over it is ours, whatever the annotation says.
    expect(settle(aws, desired())).toEqual([]);
  });
});

describe('a plan of removal', () => {
  it('takes everything away, and nothing of others', () => {
    const aws = settled();
    for (const step of stepsOf(desired(), aws)) aws.apply(step);
    const found = planRemoval(desired().owner, aws.state());
    expect(kinds(found.kind === 'steps' ? found.steps : [])).toEqual([
      'deleteLoadBalancer',
      'deleteTargetGroup',
      'deleteSecurityGroup',
    ]);
    expect(planRemoval({ ...desired().owner, uid: 'other' }, aws.state())).toMatchObject({ steps: [] });
    expect(planRemoval({ ...desired().owner, cluster: 'other' }, aws.state())).toMatchObject({ steps: [] });
  });
});

describe('plans from any history', () => {
  const ports = constantFrom(
    [{ port: 80, nodePort: 30080 }],
    [{ port: 81, nodePort: 30081 }],
    [
      { port: 80, nodePort: 30080 },
      { port: 443, nodePort: 30443 },
    ],
    [
      { port: 80, nodePort: 30082, protocol: 'UDP' as const },
      { port: 80, nodePort: 30082, protocol: 'TCP' as const },
    ],
  );
  const wishes = record({
    annotations: record(
      {
        scheme: constantFrom('internal', 'internet-facing'),
        'nlb-target-type': constantFrom('instance', 'ip'),
        'ssl-cert': constantFrom(CERTIFICATE, `${CERTIFICATE}3,${CERTIFICATE},${CERTIFICATE}2`),
        'healthcheck-interval': constantFrom('10', '20'),
        attributes: constantFrom('deletion_protection.enabled=true', 'zonal_shift.config.enabled=true'),
        'security-groups': constantFrom('sg-own'),
        'ip-address-type': constantFrom('dualstack'),
        'backend-protocol': constantFrom('ssl'),
      },
      { requiredKeys: [] },
    ),
    spec: record({ ports }),
    subnets: constantFrom(['subnet-a'], ['subnet-a', 'subnet-b'], ['subnet-c']),
    targets: constantFrom([], ['i-1'], ['i-1', 'i-2'], ['i-3']),
  });
  // How far the plan gets before the process dies, whether the load balancers come up, and what a hand then breaks.
  const act = record({
    wishes,
    upTo: integer({ min: 0, max: 12 }),
    active: constantFrom(true, false),
    hand: integer({ min: 0, max: 9 }),
  });

  it('reach the end that a fresh start reaches, and then plan nothing', () => {
    assert(
      property(array(act, { maxLength: 4 }), wishes, (history, last) => {
        const aws = new NaiveAws();
        for (const { wishes: earlier, upTo, active, hand } of history) {
          for (const step of stepsOf(desired(earlier), aws).slice(0, upTo)) aws.apply(step);
          if (active) aws.activate();
          meddle(aws, hand);
        }
        const wanted = desired(last);
        settle(aws, wanted);
        const fresh = new NaiveAws();
        settle(fresh, wanted);
        expect(essence(aws)).toEqual(essence(fresh));

        for (const each of aws.loadBalancers) each.attributes = {};
        const removal = planRemoval(wanted.owner, aws.state());
        for (const step of removal.kind === 'steps' ? removal.steps : []) aws.apply(step);
        expect([aws.loadBalancers, aws.targetGroups, aws.securityGroups]).toEqual([[], [], []]);
      }),
      { numRuns: 400 },
    );
  });

  function meddle(aws: NaiveAws, hand: number): void {
    const [balancer] = aws.loadBalancers;
    if (hand === 0 && balancer) balancer.listeners = [];
    if (hand === 1 && balancer)
      balancer.listeners = balancer.listeners.map((each) => ({ ...each, protocol: 'TLS' }));
    if (hand === 2 && balancer) aws.loadBalancers.splice(0, 1);
    if (hand === 3)
      for (const group of aws.targetGroups) group.targets = [{ id: 'i-hand', port: 1, state: 'healthy' }];
    if (hand === 4) for (const group of aws.securityGroups) group.rules = [];
    if (hand === 5 && balancer) balancer.tags = { ...balancer.tags, hand: 'made' };
    if (hand === 6 && balancer) balancer.state = 'failed';
    if (hand === 7 && balancer) balancer.mappings = [{ subnet: 'subnet-hand' }];
    if (hand === 8)
      for (const group of aws.targetGroups) group.healthCheck = { ...group.healthCheck, interval: 300 };
  }

  /** Without what differs from run to run: identifiers, and the names of target groups. */
  function essence(aws: NaiveAws): unknown {
    const { loadBalancers, targetGroups, securityGroups } = aws.state();
    const groups = targetGroups.map(({ arn: _, name: __, loadBalancers: users, ...rest }) => ({
      ...rest,
      users: users.length,
      targets: rest.targets.map(({ id, port }) => `${id}:${port}`).sort(),
    }));
    const resource = (arn = '') =>
      targetGroups.find((each) => each.arn === arn)?.tags['service.k8s.aws/resource'];
    const balancers = loadBalancers.map(({ arn: _, hostname: __, groups: ids, listeners, ...rest }) => ({
      ...rest,
      groups: ids.map((id) => securityGroups.find((each) => each.id === id)?.name ?? id),
      listeners: listeners
        .map(
          ({
            arn: ___,
            targetGroupArn,
            extraCertificates,
            sslPolicy,
            defaultCertificate,
            alpnPolicy,
            ...listener
          }) => ({
            ...listener,
            to: resource(targetGroupArn),
            // A listener that is no longer TLS keeps what it no longer uses.
            ...(listener.protocol === 'TLS'
              ? {
                  defaultCertificate,
                  sslPolicy,
                  alpnPolicy,
                  extra: extraCertificates.filter((each) => each !== defaultCertificate).sort(),
                }
              : {}),
          }),
        )
        .sort((a, b) => a.port - b.port),
    }));
    const rules = securityGroups.map(({ id: _, rules: each, ...rest }) => ({
      ...rest,
      rules: each.map((rule) => JSON.stringify(rule)).sort(),
    }));
    return {
      balancers,
      groups: groups.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
      rules,
    };
  }
});
