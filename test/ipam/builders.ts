// Pools and requests for tests, with everything defaulted that the case at hand does not speak of.
import { type AddressPool, checkPools } from '../../src/api/pool.ts';
import { describe } from '../../src/api/problem.ts';
import type { ServiceRequest } from '../../src/api/service.ts';
import { ip } from '../../src/net/address.ts';

/** Pools by name: addresses alone, or a whole spec. Throws where they are not valid. */
export function pools(specs: Readonly<Record<string, readonly string[] | object>>): AddressPool[] {
  const objects = Object.entries(specs).map(([name, spec]) => ({
    metadata: { name, labels: {} },
    spec: Array.isArray(spec) ? { addresses: spec } : spec,
  }));
  const { pools: valid, problems } = checkPools(objects);
  for (const found of problems.values()) throw new Error(found.map(describe).join('; '));
  return [...valid];
}

type Wish = Partial<Omit<ServiceRequest, 'addresses' | 'held'>> & {
  readonly addresses?: readonly string[];
  readonly held?: readonly string[];
};

/** `age`: the older, the smaller. */
export function request(
  name: string,
  { addresses = [], held = [], ...wish }: Wish = {},
  age = 0,
): ServiceRequest {
  const namespace = wish.namespace ?? 'shop';
  return {
    key: `${namespace}/${name}`,
    namespace,
    labels: {},
    namespaceLabels: {},
    createdAt: new Date(Date.UTC(2026, 0, 1) + age * 1000).toISOString(),
    families: ['IPv4'],
    bothRequired: false,
    ports: ['TCP/80'],
    backend: '',
    heldFrom: [],
    ...wish,
    addresses: addresses.map(ip),
    held: held.map(ip),
  };
}
