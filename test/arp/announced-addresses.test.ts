// Which addresses are announced at all.
import { describe, expect, it } from 'vitest';
import { type AnnouncedPool, announcedAddresses } from '../../src/arp/announced-addresses.ts';
import type { IngressStatus, ServiceObject } from '../../src/kube/objects.ts';
import { ip } from '../../src/net/address.ts';
import { parseRange, type Range } from '../../src/net/range.ts';

const CLASSES = { classes: new Set(['fairlead.dev/l2']), classless: true };

function pool(name: string, ...ranges: string[]): AnnouncedPool {
  const read = ranges
    .map(parseRange)
    .flatMap((each): Range[] => (each.kind === 'parsed' ? [each.value] : []));
  return { name, labels: {}, ranges: read };
}

function service(
  name: string,
  ingress: readonly IngressStatus[],
  more: { spec?: Partial<ServiceObject['spec']>; annotations?: Readonly<Record<string, string>> } = {},
): ServiceObject {
  return {
    metadata: { name, namespace: 'default', labels: { app: name }, annotations: more.annotations ?? {} },
    spec: { type: 'LoadBalancer', ...more.spec },
    status: { loadBalancer: { ingress } },
  };
}

const POOLS = [pool('four', '192.0.2.0/24'), pool('six', '2001:db8::/64')];
const NOWHERE = () => new Set<string>();

const announced = (...services: ServiceObject[]) => [
  ...announcedAddresses(services, POOLS, CLASSES, NOWHERE).keys(),
];

describe('an announced address', () => {
  it('may come to any node, or to those with endpoints where every Service of it is Local', () => {
    const local = (name: string) => {
      const made = service(name, [{ ip: '192.0.2.1' }]);
      return { ...made, spec: { ...made.spec, externalTrafficPolicy: 'Local' as const } };
    };
    const nodes = (key: string) => new Set([`node-of-${key}`]);
    const only = (...services: ServiceObject[]) =>
      announcedAddresses(services, POOLS, CLASSES, nodes).get(ip('192.0.2.1'))?.onlyNodes;
    const [a, b, cluster] = [local('a'), local('b'), service('c', [{ ip: '192.0.2.1' }])];
    expect(only(a)).toEqual(new Set(['node-of-default/a']));
    expect(only(a, b)).toEqual(new Set(['node-of-default/a', 'node-of-default/b']));
    for (const mixed of [[a, cluster], [cluster, a], [a, cluster, b], [cluster]])
      expect(only(...mixed)).toBe(undefined);
  });

  it('is the one behind what the status shows, where that is public', () => {
    const web = service('web', [{ ip: '203.0.113.7', ipMode: 'Proxy' }], {
      annotations: { 'fairlead.dev/allocated-ips': '192.0.2.1' },
    });
    expect(announced(web)).toEqual([]); // an annotation alone may be anybody's
    const condition = {
      type: 'fairlead.dev/Allocated',
      status: 'True',
      message: '192.0.2.1 from four',
    } as const;
    const conditions = [{ ...condition, reason: 'Allocated', lastTransitionTime: '2026-01-01T00:00:00Z' }];
    expect(announced({ ...web, status: { ...web.status, conditions } })).toEqual(['192.0.2.1']);
  });

  it('is one that the status of our Service shows and a pool holds, in its usual spelling', () => {
    const web = service('web', [{ ip: '192.0.2.1' }, { ip: '2001:DB8:0::1', ipMode: 'VIP' }]);
    const found = announcedAddresses([web], POOLS, CLASSES, NOWHERE);
    expect(
      [...found.values()].map(({ address, pool, services }) => [address, pool.name, ...services]),
    ).toEqual([
      ['192.0.2.1', 'four', 'default/web'],
      ['2001:db8::1', 'six', 'default/web'],
    ]);
  });

  it('carries the labels of every Service that shares it', () => {
    const ingress = [{ ip: '192.0.2.1' }];
    const found = announcedAddresses(
      [service('web', ingress), service('mail', ingress)],
      POOLS,
      CLASSES,
      NOWHERE,
    );
    expect([...found.values()].map(({ serviceLabels }) => serviceLabels)).toEqual([
      [{ app: 'web' }, { app: 'mail' }],
    ]);
  });

  it('is none of another class, of another type, or without a status', () => {
    const ingress = [{ ip: '192.0.2.1' }];
    expect(announced(service('a', ingress, { spec: { loadBalancerClass: 'other' } }))).toEqual([]);
    expect(announced(service('a', ingress, { spec: { type: 'NodePort' } }))).toEqual([]);
    expect(announced({ metadata: { name: 'a' }, spec: { type: 'LoadBalancer' } })).toEqual([]);
    expect(announced(service('a', ingress, { spec: { loadBalancerClass: 'fairlead.dev/l2' } }))).toEqual([
      '192.0.2.1',
    ]);
  });

  it('is none that is outside of all pools, no address, a name, or behind a proxy', () => {
    const ingress = [
      { ip: '198.51.100.1' },
      { ip: '192.0.2.01' },
      { hostname: 'lb.example' },
      { ip: '192.0.2.2', ipMode: 'Proxy' },
    ];
    expect(announced(service('a', ingress))).toEqual([]);
  });

  it('of a pool that is not valid now stays with the Service that names the pool as its origin', () => {
    const pools = [...POOLS, pool('broken')];
    const from = (name: string) =>
      service('web', [{ ip: '198.51.100.1' }], {
        annotations: { 'fairlead.dev/ip-allocated-from-pool': name },
      });
    const poolsFound = (name: string) =>
      [...announcedAddresses([from(name)], pools, CLASSES, NOWHERE).values()].map((each) => each.pool.name);
    expect(poolsFound('broken')).toEqual(['broken']);
    expect(poolsFound('six,broken')).toEqual(['broken']);
    expect(poolsFound('four')).toEqual([]);
  });
});
