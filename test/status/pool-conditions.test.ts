import { expect, it } from 'vitest';
import type { PoolCounts } from '../../src/ipam/allocator.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { poolStatements, usageEvent } from '../../src/status/pool-conditions.ts';

/** Of so many in each family, none of the other kept back. */
function counts(assigned: number, of: number, assigned6 = 0, of6 = 0): PoolCounts {
  return {
    assigned: { IPv4: BigInt(assigned), IPv6: BigInt(assigned6) },
    available: { IPv4: BigInt(of - assigned), IPv6: BigInt(of6 - assigned6) },
    waiting: 0,
    beyondLimit: [],
  };
}

function pool(reason?: string): KubeObject {
  const conditions = reason === undefined ? [] : [{ type: 'NearlyFull', reason }];
  return { metadata: { name: 'lan' }, status: { conditions } } as KubeObject; // as far as is read
}

it.each<[number, string | undefined]>([
  [14, undefined],
  [15, 'Above75Percent'],
  [16, 'Above75Percent'],
  [17, 'Above85Percent'],
  [18, 'Above85Percent'],
  [19, 'Above95Percent'],
  [20, 'Above95Percent'],
])('a pool of 20 of which %i are in use warns with %s, in a condition and an event', (assigned, reason) => {
  const level = poolStatements([], [], counts(assigned, 20)).find(({ type }) => type === 'NearlyFull');
  expect(level?.reason).toBe(reason);
  const note = usageEvent(pool(), counts(assigned, 20))?.note;
  if (reason === undefined) expect(note).toBeUndefined();
  else expect(note).toContain(`${reason.slice(5, 7)} % or more of the IPv4 addresses are in use`);
});

it('an event tells of each level once, and of a higher one again', () => {
  expect(usageEvent(pool('Above75Percent'), counts(16, 20))).toBeUndefined();
  expect(usageEvent(pool('Above75Percent'), counts(17, 20))?.note).toContain('85 %');
  expect(usageEvent(pool('Above95Percent'), counts(15, 20))).toBeUndefined();
});

it('each family is measured by itself', () => {
  const found = poolStatements([], [], counts(20, 20, 1, 1_000));
  expect(found.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
    'Exhausted NoFreeIPv4',
    'NearlyFull Above95Percent',
  ]);
  expect(found[1]?.message).toContain('of the IPv4 addresses');
});
