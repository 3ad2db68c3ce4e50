import { describe, expect, it } from 'vitest';
import { L2Provider } from '../../../src/providers/l2/l2-provider.ts';
import { pools, request } from '../../ipam/builders.ts';
import { describeProvider } from '../provider.conformance.ts';

describeProvider('L2Provider', () => {
  const provider = new L2Provider();
  const give = () => provider.setPools(pools({ script: ['198.51.100.0/24'] }));
  give();
  return { provider, withhold: () => provider.setPools([]), yield: give };
});

describe('the outcome', () => {
  const provider = new L2Provider();
  provider.setPools(
    pools({
      lan: ['192.0.2.1', '2001:db8::1'],
      shut: { addresses: ['192.0.2.9'], serviceAllocation: { namespaces: ['bank'] } },
    }),
  );

  it('names the pools of the addresses', async () => {
    expect(await provider.ensure(request('a', { families: ['IPv4', 'IPv6'] }))).toEqual({
      kind: 'done',
      addresses: ['192.0.2.1', '2001:db8::1'],
      source: 'lan',
    });
  });

  it.each([
    ['pending', 'PoolExhausted', {}],
    ['pending', 'AddressInUse', { addresses: ['192.0.2.1'] }],
    ['refused', 'UnknownPool', { pool: 'wan' }],
    ['refused', 'AddressNotInPool', { addresses: ['203.0.113.1'] }],
    ['refused', 'NoMatchingPool', { pool: 'shut' }],
  ])('is %s with the reason %s, by whether it passes by itself', async (kind, reason, wish) => {
    expect(await provider.ensure(request('b', wish))).toMatchObject({ kind, reason, addresses: [] });
  });

  it('of a wish that cannot be met tells what the Service keeps', async () => {
    expect(await provider.ensure(request('a', { families: ['IPv4', 'IPv6'], pool: 'wan' }))).toEqual({
      kind: 'refused',
      reason: 'UnknownPool',
      message: 'there is no pool "wan"; the pools are "lan", "shut"',
      addresses: ['192.0.2.1', '2001:db8::1'],
      source: 'lan',
    });
  });

  it('of requests made at one time is that of requests made one after the other', async () => {
    const many = new L2Provider();
    many.setPools(pools({ lan: ['192.0.2.1-192.0.2.50'] }));
    const asked = Array.from({ length: 60 }, (_, i) => many.ensure(request(`s${i}`, {}, i)));
    const given = (await Promise.all(asked)).flatMap(({ addresses }) => addresses);
    expect(new Set(given).size).toBe(50);
    expect(many.counts('lan')).toMatchObject({ assigned: { IPv4: 50n }, available: { IPv4: 0n } });
  });
});
