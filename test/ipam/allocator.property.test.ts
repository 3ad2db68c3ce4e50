// Random histories of pools and Services. After every step the rules of sharing, of pools, of staying, of age
// and of counting hold, nobody waits who could be served, and a restart would change nothing.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type AddressPool, checkPools } from '../../src/api/pool.ts';
import type { ServiceRequest } from '../../src/api/service.ts';
import { Allocator } from '../../src/ipam/allocator.ts';
import { explain } from '../../src/ipam/refusal.ts';
import { type Family, familyOf, type Ip } from '../../src/net/address.ts';
import { contains } from '../../src/net/range.ts';
import { NAMES, POOLS, rarely, WORLD, wish } from './arbitraries.ts';

const allocation = fc.record(
  { priority: fc.nat(2), namespaces: fc.subarray(['shop', 'bank'], { minLength: 1 }) },
  { requiredKeys: [] },
);
/** Which pool each address of the world belongs to, and what the pools are like; the last list is not valid now. */
const poolsChange = fc.record({
  kind: fc.constant('pools' as const),
  owners: fc.array(fc.constantFrom('lan', 'lan', 'gold', 'spare', undefined, undefined), {
    minLength: WORLD.length,
    maxLength: WORLD.length,
  }),
  specs: fc.tuple(
    ...POOLS.map(() =>
      fc.record({
        autoAssign: fc.constantFrom(true, true, true, false),
        avoidBuggyIPs: fc.boolean(),
        serviceAllocation: rarely(allocation),
      }),
    ),
  ),
  setAside: fc.constantFrom<readonly (typeof POOLS)[number][]>([], [], ['gold'], ['lan']),
});
const step = fc.oneof(
  { weight: 1, arbitrary: poolsChange },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('allocate' as const), request: wish }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('keep' as const), request: wish }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), request: wish }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Known {
  readonly request: ServiceRequest;
  readonly wants: boolean;
}

interface Held {
  readonly addresses: readonly Ip[];
  readonly pools: readonly string[];
}

class World {
  readonly allocator = new Allocator();
  readonly known = new Map<string, Known>();
  pools: readonly AddressPool[] = [];
  setAside: ReadonlySet<string> = new Set();
  held = new Map<string, Held>();
  /** What each Service was told when it asked last. */
  readonly told = new Map<string, string>();

  take(one: Step): void {
    const before = this.held;
    const kindred = one.kind === 'pools' ? undefined : one.request.key;
    const waited = this.waiting();
    const pools = this.pools;
    switch (one.kind) {
      case 'pools': {
        ({ pools: this.pools, setAside: this.setAside } = poolsOf(one));
        this.allocator.setPools(this.pools, { setAside: this.setAside });
        break;
      }
      case 'allocate':
      case 'keep': {
        this.known.set(one.request.key, { request: one.request, wants: one.kind === 'allocate' });
        if (one.kind === 'allocate') this.#ask(one.request);
        else this.allocator.keep(one.request);
        break;
      }
      case 'release':
        this.known.delete(one.request.key);
        this.allocator.release(one.request.key);
    }
    // Whoever moved shows it: what others get by that may make them move, too.
    let shown: string;
    do {
      shown = this.#text();
      for (const key of this.known.keys()) this.allocator.shows(key, this.allocator.holds(key).addresses);
    } while (this.#text() !== shown);
    this.held = new Map([...this.known.keys()].map((key) => [key, this.allocator.holds(key)]));
    this.#checkSharing();
    this.#checkPools(before);
    this.#checkCounts();
    this.#checkStaying(before, kindred);
    if (one.kind !== 'pools') this.#checkAge(before, waited, pools);
    this.#checkNobodyWaitsInVain();
  }

  #text(): string {
    return [...this.known.keys()].map((key) => this.allocator.holds(key).addresses.join()).join(' ');
  }

  /** Who wants and lacks something, oldest first. */
  waiting(): ServiceRequest[] {
    return [...this.known.values()]
      .filter(({ request: each, wants }) => wants && !this.isMet(each))
      .map(({ request: each }) => each)
      .sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  }

  isMet(each: ServiceRequest): boolean {
    const { addresses = [], pools = [] } = this.held.get(each.key) ?? {};
    return (
      addresses.length === each.families.length &&
      each.addresses.every((address) => addresses.includes(address)) &&
      (each.pool === undefined || pools.every((pool) => pool === each.pool))
    );
  }

  poolOf(address: Ip, pools = this.pools): AddressPool | undefined {
    return pools.find(
      (pool) =>
        pool.ranges.some((range) => contains(range, address)) &&
        !(pool.avoidBuggyIPs && /\.(0|255)$/.test(address)),
    );
  }

  #checkSharing(): void {
    for (const [a, { addresses }] of this.held) {
      for (const [b, other] of this.held) {
        if (a >= b || !addresses.some((address) => other.addresses.includes(address))) continue;
        const [first, second] = [this.known.get(a)?.request, this.known.get(b)?.request];
        expect(first?.sharingKey).toBeDefined();
        expect(first?.sharingKey).toBe(second?.sharingKey);
        expect(first?.backend).toBe(second?.backend);
        expect(first?.ports.filter((port) => second?.ports.includes(port))).toEqual([]);
      }
    }
  }

  /** Every address is of a wanted family and in a pool that serves the Service, or came from one that is set aside. */
  #checkPools(before: ReadonlyMap<string, Held>): void {
    for (const [key, { addresses, pools }] of this.held) {
      const each = this.known.get(key)?.request;
      expect(addresses.map(familyOf)).toEqual(
        each?.families.filter((family) => addresses.some((address) => familyOf(address) === family)),
      );
      for (const address of addresses) {
        const pool = this.poolOf(address);
        if (pool && each) expect(serves(pool, each)).toBe(true);
        if (pool) expect(pools).toContain(pool.name);
        else {
          expect(before.get(key)?.addresses).toContain(address);
          expect(before.get(key)?.pools.some((name) => this.setAside.has(name))).toBe(true);
        }
      }
    }
  }

  #checkCounts(): void {
    const taken = new Set([...this.held.values()].flatMap(({ addresses }) => addresses));
    for (const pool of this.pools) {
      const usable = WORLD.filter((address) => this.poolOf(address) === pool);
      const used = usable.filter((address) => taken.has(address));
      const count = (list: readonly Ip[], family: Family) =>
        BigInt(list.filter((address) => familyOf(address) === family).length);
      const [v4, v6] = [count(used, 'IPv4'), count(used, 'IPv6')];
      expect(this.allocator.counts(pool.name)).toMatchObject({
        assigned: { IPv4: v4, IPv6: v6 },
        available: { IPv4: count(usable, 'IPv4') - v4, IPv6: count(usable, 'IPv6') - v6 },
      });
    }
  }

  /** Nobody but the one whose step it is loses an address that a pool still allows, except to get what it asked for. */
  #checkStaying(before: ReadonlyMap<string, Held>, kindred: string | undefined): void {
    for (const [key, { addresses, pools }] of before) {
      const each = this.known.get(key)?.request;
      if (key === kindred || !each) continue;
      const lost = addresses.filter((address) => !this.held.get(key)?.addresses.includes(address));
      const allowed = lost.filter((address) => {
        const pool = this.poolOf(address);
        if (pool) return serves(pool, each);
        return !this.#inRange(address) && pools.length === 1 && this.setAside.has(pools[0] ?? '');
      });
      if (each.pool === undefined && each.addresses.length === 0) expect(allowed).toEqual([]);
      else if (allowed.length > 0) {
        // One family from the pool that it asks for is better than two from another.
        const moved = this.held.get(key)?.pools.join() === each.pool && !each.bothRequired;
        expect(moved || this.isMet(each)).toBe(true);
      }
    }
  }

  #inRange(address: Ip): boolean {
    return this.pools.some(({ ranges }) => ranges.some((range) => contains(range, address)));
  }

  /** Who gained an address passed by no older one that could have used it. */
  #checkAge(
    before: ReadonlyMap<string, Held>,
    waited: readonly ServiceRequest[],
    pools: readonly AddressPool[],
  ): void {
    for (const [i, one] of waited.entries()) {
      const gained = (this.held.get(one.key)?.addresses ?? []).filter(
        (address) => !before.get(one.key)?.addresses.includes(address),
      );
      for (const address of gained) {
        const pool = this.poolOf(address, pools);
        for (const older of waited.slice(0, i)) {
          const current = this.known.get(older.key);
          if (current?.request !== older || older.bothRequired || older.addresses.length > 0 || !pool)
            continue;
          const open = older.pool === undefined ? pool.autoAssign : older.pool === pool.name;
          if (!open || !serves(pool, older) || !older.families.includes(familyOf(address))) continue;
          if (this.#isShared(address)) continue;
          const has = this.held.get(older.key)?.addresses.map(familyOf) ?? [];
          expect(has).toContain(familyOf(address));
        }
      }
    }
  }

  #isShared(address: Ip): boolean {
    return [...this.held.values()].filter(({ addresses }) => addresses.includes(address)).length > 1;
  }

  /** Nobody could get anything, nor would be told otherwise than last, by asking once more. */
  #checkNobodyWaitsInVain(): void {
    const asking = [...this.known.values()].filter(({ wants }) => wants).map(({ request: each }) => each);
    const changed = new Set(this.allocator.drainChanged());
    for (const each of asking) {
      const before = this.told.get(each.key);
      this.#ask(each);
      expect(this.allocator.holds(each.key)).toEqual(this.held.get(each.key));
      if (!changed.has(each.key)) expect(this.told.get(each.key)).toBe(before);
    }
    expect(this.allocator.drainChanged()).toEqual([]);
  }

  #ask(each: ServiceRequest): void {
    const answer = this.allocator.allocate(each);
    const { addresses, pools } = answer;
    const refusal = answer.kind === 'refused' ? answer.refusal : undefined;
    // Which pools are full for whom else may change without notice; who is in the way may not.
    const words = refusal?.reason === 'AddressInUse' ? explain(refusal) : (refusal?.reason ?? '');
    this.told.set(each.key, [...addresses, ...pools, words].join(' '));
  }

  /** A new allocator that knows only what the statuses say, told in the order of `shuffle`. */
  checkRestart(shuffle: readonly number[]): void {
    const allocator = new Allocator();
    allocator.setPools([...this.pools].reverse(), { setAside: this.setAside });
    const order = [...this.known.values()].sort(
      (a, b) => (shuffle[NAMES.indexOf(nameOf(a))] ?? 0) - (shuffle[NAMES.indexOf(nameOf(b))] ?? 0),
    );
    const told = order.map(({ request: each, wants }) => {
      const { addresses = [], pools = [] } = this.held.get(each.key) ?? {};
      return { wants, request: { ...each, held: addresses, heldFrom: pools } };
    });
    for (const { request: each } of told) if (each.held.length > 0) allocator.keep(each);
    for (const { request: each, wants } of told) if (wants) allocator.allocate(each);
    for (const [key, held] of this.held) expect(allocator.holds(key)).toEqual(held);
    for (const pool of this.pools)
      expect(allocator.counts(pool.name)).toEqual(this.allocator.counts(pool.name));
  }
}

function nameOf({ request: { key } }: Known): (typeof NAMES)[number] {
  return NAMES.find((name) => key.endsWith(`/${name}`)) ?? 'a';
}

function serves({ allocation: rule }: AddressPool, { namespace }: ServiceRequest): boolean {
  return !rule || rule.namespaces.length === 0 || rule.namespaces.includes(namespace);
}

function poolsOf({ owners, specs, setAside }: Extract<Step, { kind: 'pools' }>) {
  const objects = POOLS.map((name, i) => ({
    metadata: { name },
    spec: {
      ...JSON.parse(JSON.stringify(specs[i])),
      addresses: WORLD.filter((_, at) => owners[at] === name),
    },
  })).filter(({ metadata, spec }) => spec.addresses.length > 0 && !setAside.includes(metadata.name));
  const { pools, problems } = checkPools(objects);
  expect(problems).toEqual(new Map());
  return { pools, setAside: new Set<string>(setAside) };
}

it('keeps every rule over any history, and over a restart at its end', () => {
  fc.assert(
    fc.property(
      poolsChange,
      fc.array(step, { minLength: 4, maxLength: 40, size: 'max' }),
      fc.array(fc.nat(), { minLength: NAMES.length, maxLength: NAMES.length }),
      (first, steps, shuffle) => {
        const world = new World();
        for (const one of [first, ...steps]) world.take(one);
        world.checkRestart(shuffle);
      },
    ),
    { numRuns: 200 },
  );
});
