// The allocator against the naive model of its rules: after every step of any history both have given the same.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { checkPools } from '../../src/api/pool.ts';
import { Allocator } from '../../src/ipam/allocator.ts';
import { NAMES, namespaceOf, POOLS, rarely, WORLD, wish } from './arbitraries.ts';
import { NaiveAllocator, type NaivePool, type NaiveQuota, type NaiveReservation } from './naive-allocator.ts';

const world = fc.record({
  kind: fc.constant('world' as const),
  owners: fc.array(fc.constantFrom('lan', 'lan', 'gold', 'spare', undefined), {
    minLength: WORLD.length,
    maxLength: WORLD.length,
  }),
  specs: fc.tuple(
    ...POOLS.map(() =>
      fc.record({
        autoAssign: fc.constantFrom(true, true, true, false),
        avoidBuggyIPs: fc.constantFrom(false, false, true),
        allowNodeAddresses: fc.boolean(),
        reuse: fc.constantFrom('lowest' as const, 'least-recent' as const),
        drain: fc.constantFrom(false, false, false, true),
        maxPerNamespace: rarely(fc.nat(2)),
        allocation: rarely(
          fc.record({ priority: fc.nat(2), namespaces: fc.subarray(['shop', 'bank'], { minLength: 1 }) }),
        ),
      }),
    ),
  ),
  setAside: fc.constantFrom<readonly string[]>([], [], ['gold'], ['lan']),
  nodes: fc.subarray([...WORLD], { maxLength: 2 }),
  reserved: fc.array(
    fc.record({
      at: fc.nat(WORLD.length - 1),
      service: fc.constantFrom(undefined, ...NAMES.map((name) => `${namespaceOf(name)}/${name}`)),
    }),
    { maxLength: 2 },
  ),
  quotas: rarely(
    fc.array(
      fc.record({
        maxIPv4: fc.option(fc.nat(3), { nil: undefined }),
        maxIPv6: fc.option(fc.nat(2), { nil: undefined }),
        namespaces: fc.subarray(['shop', 'bank']),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  ),
});
type WorldStep = typeof world extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 1, arbitrary: world },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('allocate' as const), request: wish }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('keep' as const), request: wish }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), request: wish }) },
);

function take(
  one: typeof step extends fc.Arbitrary<infer T> ? T : never,
  real: Allocator,
  naive: NaiveAllocator,
) {
  switch (one.kind) {
    case 'world':
      return change(one, real, naive);
    case 'allocate':
      real.allocate(one.request);
      return naive.allocate(one.request);
    case 'keep':
      real.keep(one.request);
      return naive.keep(one.request);
    case 'release':
      real.release(one.request.key);
      return naive.release(one.request.key);
  }
}

function change(
  { owners, specs, setAside, nodes, reserved, quotas: limits = [] }: WorldStep,
  real: Allocator,
  naive: NaiveAllocator,
) {
  const pools: NaivePool[] = POOLS.map((name, i) => ({
    name,
    addresses: WORLD.filter((_, at) => owners[at] === name),
    ...(specs[i] ?? expect.fail('a spec for each pool')),
  })).filter(({ name, addresses }) => addresses.length > 0 && !setAside.includes(name));
  const once = reserved.filter(({ at }, i) => reserved.findIndex((each) => each.at === at) === i);
  const reservations = once.map(({ at, service }, i): NaiveReservation & { name: string } => ({
    name: `r${i}`,
    addresses: WORLD.slice(at, at + 1),
    ...(service === undefined ? {} : { service }),
  }));
  const objects = pools.map(({ name, allocation, ...spec }) => ({
    metadata: { name },
    spec: { ...spec, serviceAllocation: allocation },
  }));
  real.setPools(checkPools(objects).pools, {
    setAside: new Set(setAside),
    nodes: new Map(nodes.map((address) => [address, 'node-1'])),
    reservations,
    quotas: limits.map(({ maxIPv4, maxIPv6, namespaces }, i) => ({
      name: `q${i}`,
      most: {
        ...(maxIPv4 === undefined ? {} : { IPv4: maxIPv4 }),
        ...(maxIPv6 === undefined ? {} : { IPv6: maxIPv6 }),
      },
      namespaces,
      namespaceSelectors: [],
    })),
  });
  const quotas: NaiveQuota[] = limits.map(({ maxIPv4, maxIPv6, namespaces }) => {
    return { most: { IPv4: maxIPv4, IPv6: maxIPv6 }, namespaces };
  });
  naive.setPools(pools, { setAside, nodes, reservations, quotas });
}

function same(at: number, real: Allocator, naive: NaiveAllocator): void {
  for (const [key, { has }] of naive.services) {
    const addresses = has.map(({ address }) => address);
    const pools = [...new Set(has.map(({ pool }) => pool))];
    expect({ at, key, ...real.holds(key) }).toEqual({ at, key, addresses, pools });
  }
}

it('gives what the naive model gives, after every step of any history', () => {
  fc.assert(
    fc.property(world, fc.array(step, { minLength: 4, maxLength: 40, size: 'max' }), (first, steps) => {
      const [real, naive] = [new Allocator(), new NaiveAllocator()];
      for (const [at, one] of [first, ...steps].entries()) {
        take(one, real, naive);
        // What moved shows it before anybody gets what it left: who is first to is the first here.
        for (let key = naive.leaver(); key !== undefined; key = naive.leaver()) {
          same(at, real, naive);
          naive.shows(key);
          real.shows(key, real.holds(key).addresses);
        }
        same(at, real, naive);
      }
    }),
    { numRuns: 400 },
  );
});

it('gives the same to the same objects, whatever the order in which they come', () => {
  const order = fc.array(fc.nat(), { minLength: 20, maxLength: 20 });
  fc.assert(
    fc.property(world, fc.array(wish, { maxLength: 20 }), order, (pools, wishes, places) => {
      const once = wishes.filter(({ key }, i) => wishes.findIndex((each) => each.key === key) === i);
      const shuffled = once
        .map((each, i) => ({ each, place: places[i] ?? 0 }))
        .sort((a, b) => a.place - b.place)
        .map(({ each }) => each);
      const [first, second] = [once, shuffled].map((requests) => {
        const real = new Allocator();
        for (const each of requests) real.allocate(each);
        change(pools, real, new NaiveAllocator());
        return once.map(({ key }) => real.holds(key));
      });
      expect(second).toEqual(first);
    }),
  );
});
