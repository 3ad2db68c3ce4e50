import { describe, expect, it } from 'vitest';
import type { KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { applied, type ClusterObjects, planChanges, planTakeover } from '../../src/reconciler/plan.ts';

const NOW = Date.UTC(2026, 5, 1);
const CLASSES = { classes: new Set(['fairlead.dev/l2']), classless: true };
const OPTIONS = { classes: CLASSES, now: NOW };

function pool(name: string, spec: readonly string[] | object, created = '2026-01-01T00:00:00Z'): KubeObject {
  const whole = Array.isArray(spec) ? { addresses: spec } : spec;
  return { metadata: { name, creationTimestamp: created }, spec: whole } as KubeObject;
}

function service(
  name: string,
  held: string,
  annotations: Readonly<Record<string, string>> = {},
): ServiceObject {
  return {
    metadata: { name, namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z', annotations },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
    status: held === '' ? {} : { loadBalancer: { ingress: [{ ip: held }] } },
  };
}

function cluster(pools: readonly KubeObject[], ...services: readonly ServiceObject[]): ClusterObjects {
  return { services, namespaces: [], nodes: [], pools, reservations: [], quotas: [] };
}

/** What becomes of the Services once the file's pools are applied, one line each. */
function changes(there: ClusterObjects, file: readonly KubeObject[], replace = false): string[] {
  const next = applied(there, { pools: file, reservations: [], quotas: [] }, { now: NOW, replace });
  return planChanges(there, next, OPTIONS).changes.map(({ kind, service: key, before, after, why = '' }) =>
    `${key} ${kind} ${before.addresses.join()}>${after.addresses.join()} ${why}`.trim(),
  );
}

describe('a plan', () => {
  const there = cluster(
    [pool('lan', ['192.0.2.1-192.0.2.2'])],
    service('a', '192.0.2.1'),
    service('b', '192.0.2.2'),
    service('late', ''),
  );

  it('of what is there already changes nothing', () => {
    expect(changes(there, [pool('lan', ['192.0.2.1-192.0.2.2'])])).toEqual([]);
  });

  it('tells who gains, who loses with the reason, who moves, and whose pool gets another name', () => {
    expect(changes(there, [pool('more', ['192.0.2.9'])])).toEqual(['shop/late allocated >192.0.2.9']);
    expect(changes(there, [pool('lan', ['192.0.2.1'])])).toEqual([
      'shop/b released 192.0.2.2> no address is free: pool "lan" is without a free IPv4 address',
    ]);
    expect(changes(there, [pool('lan', ['192.0.2.1']), pool('wan', ['198.51.100.1'])])).toEqual([
      'shop/b moved 192.0.2.2>198.51.100.1',
    ]);
    expect(changes(there, [pool('renamed', ['192.0.2.1-192.0.2.2'])], true)).toEqual([
      'shop/a changed 192.0.2.1>192.0.2.1',
      'shop/b changed 192.0.2.2>192.0.2.2',
    ]);
  });

  it('takes a new pool for the youngest, and one that was there for as old as it is', () => {
    const old = cluster([
      pool('lan', ['192.0.2.0/24']),
      pool('wan', ['198.51.100.0/24'], '2026-02-01T00:00:00Z'),
    ]);
    const next = applied(
      old,
      {
        pools: [pool('lan', ['192.0.2.0/24', '198.51.100.7']), pool('new', ['192.0.2.7'])],
        reservations: [],
        quotas: [],
      },
      { now: NOW, replace: false },
    );
    const { problems } = planChanges(old, next, OPTIONS);
    expect(problems.map(({ object, value }) => `${object} ${value}`)).toEqual([
      'IPAddressPool/new 192.0.2.7',
      'IPAddressPool/wan 198.51.100.7',
    ]);
  });

  it('leaves a Service alone whose wishes cannot be read, and counts who stays', () => {
    const bad = service('bad', '192.0.2.1', { 'fairlead.dev/load-balancer-ips': 'x' });
    const one = cluster([pool('lan', ['192.0.2.1'])], bad);
    const next = applied(
      one,
      { pools: [pool('wan', ['198.51.100.1'])], reservations: [], quotas: [] },
      { now: NOW, replace: false },
    );
    expect(planChanges(one, next, OPTIONS)).toMatchObject({ changes: [], unchanged: 1 });
  });

  it('knows reservations', () => {
    const held = [{ metadata: { name: 'r' }, spec: { addresses: ['192.0.2.9'] } } as KubeObject];
    const next = applied(
      there,
      { pools: [pool('more', ['192.0.2.9'])], reservations: held, quotas: [] },
      { now: NOW, replace: false },
    );
    expect(planChanges(there, next, OPTIONS).changes).toEqual([]);
  });

  it('knows quotas', () => {
    const full = { ...there, quotas: [pool('q', { maxIPv4: 2 })] };
    expect(changes(full, [pool('more', ['192.0.2.9'])])).toEqual([]);
    const raised = {
      pools: [pool('more', ['192.0.2.9'])],
      reservations: [],
      quotas: [pool('q', { maxIPv4: 3 })],
    };
    const next = applied(full, raised, { now: NOW, replace: false });
    expect(planChanges(full, next, OPTIONS).changes.map(({ service: key }) => key)).toEqual(['shop/late']);
  });
});

describe('a takeover', () => {
  it('tells which addresses that others gave would stay', () => {
    const there = cluster(
      [pool('lan', ['192.0.2.0/24'])],
      service('a', '192.0.2.7'),
      service('b', '203.0.113.9'),
      service('c', ''),
    );
    expect(planTakeover(there, OPTIONS)).toEqual({
      kept: 1,
      moved: [{ service: 'shop/b', had: ['203.0.113.9'], has: ['192.0.2.0'] }],
      problems: [],
    });
  });
});
