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

  it('says what is shown in place of addresses: by the Service, or by their pools', async () => {
    const fronted = new L2Provider();
    const told: string[] = [];
    fronted.subscribe((key) => told.push(key));
    const set = (publish: readonly object[], more: object = {}) =>
      fronted.setPools(
        pools({ lan: { addresses: ['192.0.2.1-192.0.2.9', '2001:db8::1'], publish }, ...more }),
      );
    const wish = request('a', { families: ['IPv4', 'IPv6'] });
    const shown = async (more: object = {}) => (await fronted.ensure({ ...wish, ...more })).shownAs;
    set([{ addresses: '192.0.2.1', as: '203.0.113.7' }]);
    expect(await shown()).toEqual(['203.0.113.7', '2001:db8::1']);
    expect(await shown({ publish: ['x.example.com'] })).toEqual(['x.example.com']);
    expect(told).toEqual([]);
    set([{ as: 'www.example.com' }]);
    expect(told.splice(0)).toEqual(['shop/a']);
    expect(await shown()).toEqual(['www.example.com']);
    set([{ as: 'www.example.com' }], { more: ['198.51.100.1'] });
    expect(told).toEqual([]);
    // Set aside, a pool does not say what it shows: that goes on.
    fronted.setPools([], { setAside: new Set(['lan']) });
    expect(await shown({ shown: ['www.example.com'] })).toEqual(['www.example.com']);
    told.splice(0);
    set([]);
    expect(told).toContain('shop/a');
    expect(await shown({ shown: ['www.example.com'] })).toBeUndefined();
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
