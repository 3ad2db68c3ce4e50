import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { ApiError } from '../../../src/lab/apiserver/api-error.ts';
import type { ApiObject, Json } from '../../../src/lab/apiserver/api-object.ts';
import { Cluster } from '../../../src/lab/apiserver/cluster.ts';
import type { Kind } from '../../../src/lab/apiserver/kinds.ts';
import { parsePrefix, type Range } from '../../../src/net/range.ts';

const NAMES = ['a', 'b', 'c', 'd'];
/** Six addresses of each family: few enough to run out. */
const PREFIXES = ['10.96.0.0/29', 'fd00:96::/125'].map(prefix);
const OPTIONS = { manager: 'test', dryRun: false, fieldValidation: 'Ignore', force: false, warn: () => {} };

function prefix(text: string): Range {
  const parsed = parsePrefix(text);
  if (parsed.kind === 'malformed') throw new Error(parsed.problem);
  return parsed.value;
}

const spec = fc.record(
  {
    type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
    externalName: fc.constant('example.com'),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    ipFamilyPolicy: fc.constantFrom('SingleStack', 'PreferDualStack', 'RequireDualStack'),
    ipFamilies: fc.constantFrom(['IPv4'], ['IPv6'], ['IPv4', 'IPv6'], ['IPv6', 'IPv4']),
    clusterIP: fc.constantFrom('10.96.0.3', 'fd00:96::3', 'None'),
    allocateLoadBalancerNodePorts: fc.boolean(),
    ports: fc.constantFrom(
      [{ port: 80 }],
      [{ port: 80, nodePort: 30_003 }],
      [
        { name: 't', port: 53 },
        { name: 'u', port: 53, protocol: 'UDP' },
      ],
    ),
  },
  { requiredKeys: ['type', 'ports'] },
);

const step = fc.oneof(
  fc.record({ verb: fc.constant('create' as const), name: fc.constantFrom(...NAMES), spec }),
  fc.record({ verb: fc.constant('patch' as const), name: fc.constantFrom(...NAMES), spec }),
  fc.record({ verb: fc.constant('delete' as const), name: fc.constantFrom(...NAMES) }),
  fc.record({ verb: fc.constant('try' as const), name: fc.constantFrom(...NAMES), spec }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

// `spec` is JSON, of lists that its type has as read-only.
function run(cluster: Cluster, kind: Kind, each: Step): void {
  const { registry } = cluster;
  const place = { kind, namespace: 'default', name: each.name };
  try {
    if (each.verb === 'delete') registry.delete(place, { dryRun: false });
    else if (each.verb === 'patch')
      registry.patch(place, 'application/merge-patch+json', { spec: each.spec as unknown as Json }, OPTIONS);
    else {
      const body = { metadata: { name: each.name }, spec: each.spec };
      registry.create(kind, 'default', body, { ...OPTIONS, dryRun: each.verb === 'try' });
    }
  } catch (error) {
    // A refusal is fine, whatever its reason, as long as it leaves all as it was; a bug is not.
    if (!(error instanceof ApiError) || error.code >= 500) throw error;
  }
}

function held(services: readonly ApiObject[], of: (spec: ApiObject) => readonly unknown[]): unknown[] {
  return services.flatMap((service) => [...new Set(of(service.spec))]);
}

describe('addresses and ports of Services', () => {
  it('belong to one Service each through any history, and none is lost', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const cluster = new Cluster({ clock: new VirtualClock(), servicePrefixes: PREFIXES, history: 10 });
        const kind = cluster.find({ group: '', version: 'v1', plural: 'services' });
        if (!kind) throw new Error('there are no Services');
        for (const each of steps) {
          run(cluster, kind, each);
          const services = cluster.storage.list('services');
          const addresses = held(services, ({ clusterIPs = [] }) =>
            clusterIPs.filter((ip: string) => ip !== 'None'),
          );
          const ports = held(services, ({ ports = [], healthCheckNodePort }) =>
            [healthCheckNodePort, ...ports.map((port: { nodePort?: number }) => port.nodePort)].filter(
              Boolean,
            ),
          );
          expect(new Set(addresses).size).toBe(addresses.length);
          expect(new Set(ports).size).toBe(ports.length);
        }
        for (const name of NAMES) run(cluster, kind, { verb: 'delete', name });
        // All six of each family are free again.
        const dual = { type: 'NodePort', ipFamilyPolicy: 'RequireDualStack', ports: [{ port: 80 }] };
        for (let i = 0; i < 6; i++)
          cluster.registry.create(kind, 'default', { metadata: { name: `last-${i}` }, spec: dual }, OPTIONS);
        expect(held(cluster.storage.list('services'), ({ clusterIPs }) => clusterIPs)).toHaveLength(12);
      }),
    );
  });
});
