import { describe, expect, it } from 'vitest';
import { describe as sentence } from '../../src/api/problem.ts';
import { readService, type ServiceClasses, type ServiceRequest } from '../../src/api/service.ts';
import type { ServiceObject } from '../../src/kube/objects.ts';

const BOTH: ServiceClasses = { classes: new Set(['fairlead.dev/l2']), classless: true };

interface Given {
  readonly spec?: Partial<ServiceObject['spec']>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly status?: ServiceObject['status'];
}

function service({ spec, annotations = {}, status }: Given): ServiceObject {
  return {
    metadata: {
      name: 'web',
      namespace: 'shop',
      labels: { app: 'web' },
      annotations,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.1'],
      ports: [{ port: 80 }, { port: 53, protocol: 'UDP' }],
      ...spec,
    },
    ...(status ? { status } : {}),
  };
}

function valid(given: Given): ServiceRequest {
  const read = readService(service(given), BOTH, { team: 'red' });
  return read.kind === 'valid' ? read.value : expect.fail(JSON.stringify(read));
}

function problems(given: Given): string[] {
  const read = readService(service(given), BOTH, {});
  return read.kind === 'invalid' ? read.problems.map(sentence) : [];
}

const DUAL = { clusterIPs: ['10.96.0.1', 'fd00::1'] };

describe('a Service', () => {
  it('asks for what its spec says', () => {
    expect(valid({})).toEqual({
      key: 'shop/web',
      namespace: 'shop',
      labels: { app: 'web' },
      namespaceLabels: { team: 'red' },
      createdAt: '2026-01-01T00:00:00Z',
      families: ['IPv4'],
      bothRequired: false,
      addresses: [],
      ports: ['TCP/80', 'UDP/53'],
      backend: '',
      held: [],
      heldFrom: [],
    });
  });

  it.each([
    ['fairlead.dev/l2', BOTH, true],
    [undefined, BOTH, true],
    ['example.com/other', BOTH, false],
    [undefined, { ...BOTH, classless: false }, false],
    ['fairlead.dev/l2', { classes: new Set(['mine']), classless: true }, false],
    ['mine', { classes: new Set(['mine', 'yours']), classless: false }, true],
  ])('of class %s is ours or not, as configured', (loadBalancerClass, classes, ours) => {
    const spec = loadBalancerClass === undefined ? {} : { loadBalancerClass };
    expect(readService(service({ spec }), classes, {}).kind).toBe(ours ? 'valid' : 'foreign');
  });

  it.each(['ClusterIP', 'NodePort', 'ExternalName'] as const)(
    'of type %s is none of our business',
    (type) => {
      expect(readService(service({ spec: { type } }), BOTH, {}).kind).toBe('foreign');
    },
  );

  it.each([[[]], [['']], [['None']]])('with the cluster addresses %j is not ready', (clusterIPs) => {
    expect(readService(service({ spec: { clusterIPs } }), BOTH, {}).kind).toBe('unready');
  });

  it('asks for the families of its cluster addresses, in their order', () => {
    const spec = { clusterIPs: ['fd00::1', '10.96.0.1'], ipFamilyPolicy: 'RequireDualStack' } as const;
    expect(valid({ spec })).toMatchObject({ families: ['IPv6', 'IPv4'], bothRequired: true });
  });

  it('shares before one backend: any with the policy Cluster, that of its selector with Local', () => {
    const local = { externalTrafficPolicy: 'Local', selector: { b: '2', a: '1' } } as const;
    expect(valid({ spec: local }).backend).toBe(
      valid({ spec: { ...local, selector: { a: '1', b: '2' } } }).backend,
    );
    expect(valid({ spec: local }).backend).not.toBe(
      valid({ spec: { ...local, selector: { a: '1' } } }).backend,
    );
    expect(valid({ spec: { ...local, externalTrafficPolicy: 'Cluster' } }).backend).toBe('');
  });

  it('has what its status and our annotation say, without what is no address', () => {
    const status = {
      loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'x' }, { ip: '2001:DB8::1' }] },
    };
    const annotations = { 'fairlead.dev/ip-allocated-from-pool': 'lan,six' };
    expect(valid({ status, annotations })).toMatchObject({
      held: ['192.0.2.1', '2001:db8::1'],
      heldFrom: ['lan', 'six'],
    });
  });
});

describe('the wishes of a Service', () => {
  it.each([
    ['fairlead.dev/address-pool', 'metallb.io/address-pool', 'pool'],
    ['fairlead.dev/allow-shared-ip', 'metallb.io/allow-shared-ip', 'sharingKey'],
  ])('are read from %s and from %s', (ours, theirs, field) => {
    expect(valid({ annotations: { [ours]: ' x ' } })).toHaveProperty(field, 'x');
    expect(valid({ annotations: { [theirs]: 'x' } })).toHaveProperty(field, 'x');
    expect(valid({ annotations: { [ours]: 'x', [theirs]: 'x' } })).toHaveProperty(field, 'x');
    expect(valid({ annotations: { [ours]: '' } })).not.toHaveProperty(field);
    expect(problems({ annotations: { [ours]: 'x', [theirs]: 'y' } })).toEqual([
      `Service/shop/web: metadata.annotations[${theirs}] "y" differs from ${ours} "x"; keep one of the two`,
    ]);
  });

  it.each([
    'fairlead.dev/load-balancer-ips',
    'metallb.io/loadBalancerIPs',
    'metallb.io/load-balancer-ips',
    'metallb.universe.tf/loadBalancerIPs',
  ])('for addresses are read from %s', (name) => {
    const annotations = { [name]: '2001:DB8::7, 192.0.2.7' };
    expect(valid({ spec: DUAL, annotations }).addresses).toEqual(['2001:db8::7', '192.0.2.7']);
  });

  it('for one address are read from spec.loadBalancerIP, which the annotation may repeat', () => {
    const spec = { loadBalancerIP: '192.0.2.7' };
    expect(valid({ spec }).addresses).toEqual(['192.0.2.7']);
    const annotations = { 'fairlead.dev/load-balancer-ips': '192.0.2.7' };
    expect(valid({ spec, annotations }).addresses).toEqual(['192.0.2.7']);
    expect(problems({ spec, annotations: { 'fairlead.dev/load-balancer-ips': '192.0.2.8' } })).toEqual([
      'Service/shop/web: spec.loadBalancerIP "192.0.2.7" differs from the annotation\'s "192.0.2.8"; keep one of the two',
    ]);
  });

  it.each([
    [{ spec: { loadBalancerIP: '192.0.2' } }, 'spec.loadBalancerIP "192.0.2" is not an IP address'],
    [
      { annotations: { 'fairlead.dev/load-balancer-ips': '192.0.2.7;192.0.2.8' } },
      'metadata.annotations[fairlead.dev/load-balancer-ips] "192.0.2.7;192.0.2.8" is not an IP address',
    ],
    [
      { annotations: { 'metallb.io/loadBalancerIPs': 'x' } },
      'metadata.annotations[metallb.io/loadBalancerIPs] "x" is not an IP address',
    ],
    [
      { spec: { loadBalancerIP: '2001:db8::1' } },
      'spec.loadBalancerIP "2001:db8::1" does not fit the Service\'s cluster addresses; name one address of IPv4',
    ],
    [
      { annotations: { 'fairlead.dev/load-balancer-ips': '192.0.2.7,192.0.2.8' } },
      'metadata.annotations[fairlead.dev/load-balancer-ips] "192.0.2.7,192.0.2.8" does not fit',
    ],
    [
      { spec: { ...DUAL, loadBalancerIP: '192.0.2.7' } },
      'spec.loadBalancerIP "192.0.2.7" does not fit the Service\'s cluster addresses; name one address of IPv4 and IPv6',
    ],
    [
      { spec: { ipFamilyPolicy: 'RequireDualStack' as const } },
      'spec.ipFamilyPolicy "RequireDualStack" needs two cluster addresses, but there is only IPv4; write PreferDualStack or SingleStack',
    ],
  ])('that cannot be read name field, value and mend: %j', (given, problem) => {
    expect(problems(given)).toEqual([expect.stringContaining(`Service/shop/web: ${problem}`)]);
  });

  it('that cannot be read are told all at once, and the Service keeps what it has', () => {
    const read = readService(
      service({
        spec: { loadBalancerIP: 'x', ipFamilyPolicy: 'RequireDualStack' },
        annotations: {
          'fairlead.dev/address-pool': 'lan',
          'metallb.io/address-pool': 'wan',
          'fairlead.dev/allow-shared-ip': 'k',
        },
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
      }),
      BOTH,
      {},
    );
    if (read.kind !== 'invalid') expect.fail(read.kind);
    expect(read.problems.map(({ field }) => field)).toEqual([
      'metadata.annotations[metallb.io/address-pool]',
      'spec.loadBalancerIP',
      'spec.ipFamilyPolicy',
    ]);
    expect(read.keeps).toMatchObject({
      held: ['192.0.2.1'],
      addresses: [],
      bothRequired: false,
      sharingKey: 'k',
    });
    expect(read.keeps).not.toHaveProperty('pool');
  });
});
