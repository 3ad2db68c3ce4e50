// Which addresses a Service would get now, or why it gets none: reads pools and holdings, changes neither.
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, type Ip, toBigInt } from '../net/address.ts';
import { type Holdings, sharerOf } from './holdings.ts';
import type { PoolSet } from './pool-set.ts';
import type { PoolState } from './pool-state.ts';
import type { QuotaLimit } from './quotas.ts';
import { atLimit, atQuota, full, lacks, type PoolRefusal, type Refusal } from './refusal.ts';

export interface Placement {
  readonly address: Ip;
  readonly pool: string;
}

/** What a Service may keep: from whatever pool, and (`wanted`) from the one that it asks for. */
interface Stays {
  readonly all: readonly Placement[];
  readonly wanted: readonly Placement[];
}

export class Search {
  readonly #pools: PoolSet;
  readonly #holdings: Holdings;

  constructor(pools: PoolSet, holdings: Holdings) {
    this.#pools = pools;
    this.#holdings = holdings;
  }

  find(request: ServiceRequest, stays: Stays): readonly Placement[] | Refusal {
    if (request.addresses.length > 0) return this.#named(request, stays.all);
    const missing = without(request.families, stays.wanted);
    if (missing.length === 0) return stays.wanted;
    const { placements, refusals } = this.#any(request, missing, stays.wanted);
    const all = [...stays.wanted, ...placements].sort(byFamily(request.families));
    return all.length >= (request.bothRequired ? request.families.length : 1)
      ? all
      : this.#refusal(request, without(missing, placements), refusals);
  }

  /** Of what the Service had before those that it would get if it asked for them by name. */
  remembered(request: ServiceRequest): readonly Placement[] {
    const placements: Placement[] = [];
    for (const family of request.families) {
      const address = request.remembered?.find((each) => familyOf(each) === family);
      const state = address && this.#pools.of(address);
      if (state && !this.#refusesNamed({ ...request, addresses: [address] }, address, state))
        placements.push({ address, pool: state.pool.name });
    }
    return placements;
  }

  /** The addresses asked for by name, all or none. */
  #named(request: ServiceRequest, stays: readonly Placement[]): readonly Placement[] | Refusal {
    const placements: Placement[] = [];
    for (const address of request.addresses) {
      const state = this.#pools.of(address);
      const stay = stays.find((each) => each.address === address);
      // What it has from a pool that is set aside it may go on asking for.
      const pool = state?.pool.name ?? stay?.pool;
      const known = this.#pools.names();
      if (pool === undefined) return { reason: 'AddressNotInPool', address, known };
      if (request.pool !== undefined && pool !== request.pool)
        return { reason: 'AddressNotInPool', address, known, inPool: pool, asked: request.pool };
      const refusal = stay || !state ? undefined : this.#refusesNamed(request, address, state);
      if (refusal) return refusal;
      placements.push({ address, pool });
    }
    return placements.sort(byFamily(request.families));
  }

  #refusesNamed(request: ServiceRequest, address: Ip, state: PoolState): Refusal | undefined {
    const pool = state.pool.name;
    const why = state.refuses(request);
    if (why) return { reason: 'NoMatchingPool', pools: [{ pool, why }], address };
    const barred = this.#pools.barred(address, request.key);
    if (barred) return { reason: 'AddressReserved', address, why: barred };
    const conflict = this.#holdings.conflict(address, request.key, sharerOf(request));
    if (conflict) return { reason: 'AddressInUse', address, ...conflict };
    const family = familyOf(address);
    if (this.#isAtLimit(state, family, request))
      return { reason: 'LimitReached', pools: [{ pool, why: atLimit(family) }], address };
    const by = this.#reachedQuota(family, request);
    return by && { reason: 'LimitReached', pools: [{ pool, why: atQuota(family), by }], address };
  }

  /** New addresses for these families: from one pool where one has them all, else each from the first that has it. */
  #any(
    request: ServiceRequest,
    families: readonly Family[],
    stays: readonly Placement[],
  ): { readonly placements: readonly Placement[]; readonly refusals: readonly PoolRefusal[] } {
    const pools = this.#candidates(request, stays);
    if (families.length > 1) {
      for (const state of pools) {
        const placements = this.#together(state, families, request);
        if (placements) return { placements, refusals: [] };
      }
    }
    const placements: Placement[] = [];
    const refusals = new Map<string, PoolRefusal>();
    for (const family of families) {
      const placement = this.#first(pools, family, request, refusals);
      if (placement) placements.push(placement);
    }
    return { placements, refusals: [...refusals.values()] };
  }

  #together(state: PoolState, families: readonly Family[], request: ServiceRequest): Placement[] | undefined {
    const placements: Placement[] = [];
    for (const family of families) {
      const found = this.#offer(state, family, request);
      if (typeof found === 'string') return undefined;
      placements.push(found);
    }
    return placements;
  }

  /** `refusals` gathers why the pools before the one that serves did not. */
  #first(
    pools: readonly PoolState[],
    family: Family,
    request: ServiceRequest,
    refusals: Map<string, PoolRefusal>,
  ): Placement | undefined {
    for (const state of pools) {
      const found = this.#offer(state, family, request);
      if (typeof found !== 'string') return found;
      const pool = state.pool.name;
      const by = found === atQuota(family) ? this.#reachedQuota(family, request) : undefined;
      refusals.set(`${pool} ${found}`, { pool, why: found, ...(by ? { by } : {}) });
    }
    return undefined;
  }

  /** The address that this pool has for the Service, or why it has none. */
  #offer(state: PoolState, family: Family, request: ServiceRequest): Placement | PoolRefusal['why'] {
    const why = state.refuses(request);
    if (why) return why;
    if (!state.has(family)) return lacks(family);
    if (this.#isAtLimit(state, family, request)) return atLimit(family);
    if (this.#reachedQuota(family, request)) return atQuota(family);
    const address =
      this.#reserved(state, family, request) ??
      this.#company(state, family, request) ??
      state.free[family].next(
        (each) => this.#holdings.isTaken(each) || this.#pools.barred(each, '') !== undefined,
      );
    return address ? { address, pool: state.pool.name } : full(family);
  }

  #isAtLimit(state: PoolState, family: Family, { key, namespace }: ServiceRequest): boolean {
    const own = this.#holdings.of(key).filter((each) => familyOf(each) === family);
    return state.isAtLimit(namespace, family, own.filter((each) => this.#pools.of(each) === state).length);
  }

  #reachedQuota(family: Family, request: ServiceRequest): QuotaLimit | undefined {
    const own = this.#holdings.of(request.key).filter((each) => familyOf(each) === family);
    return this.#pools.quotas.reached(request, family, own.length);
  }

  #reserved(state: PoolState, family: Family, request: ServiceRequest): Ip | undefined {
    return this.#pools
      .reservedFor(request.key)
      .find(
        (address) =>
          familyOf(address) === family &&
          this.#pools.of(address) === state &&
          this.#pools.barred(address, request.key) === undefined &&
          !this.#holdings.conflict(address, request.key, sharerOf(request)),
      );
  }

  /** The lowest address in this pool that others share under the same key, with room for these ports. */
  #company(state: PoolState, family: Family, request: ServiceRequest): Ip | undefined {
    if (request.sharingKey === undefined) return undefined;
    for (const range of state.pool.ranges) {
      for (let { first } = range; range.family === family && first <= range.last; ) {
        const address = this.#holdings.company({ ...range, first }, sharerOf(request));
        if (!address) break;
        // Who is leaving it may be, because the pool gives it out no more.
        const usable =
          this.#pools.of(address) === state && this.#pools.barred(address, request.key) === undefined;
        if (usable) return address;
        first = toBigInt(address) + 1n;
      }
    }
    return undefined;
  }

  /**
   * Pools in the order in which they are asked: first those that have an address kept back for the Service. A second
   * family comes from the pool of the first if it can.
   */
  #candidates(request: ServiceRequest, stays: readonly Placement[]): readonly PoolState[] {
    if (request.pool !== undefined) {
      const state = this.#pools.byName.get(request.pool);
      return state ? [state] : [];
    }
    const near = this.#pools.byName.get(stays[0]?.pool ?? '');
    const first = new Set<PoolState>();
    for (const address of this.#pools.reservedFor(request.key)) {
      const state = this.#pools.of(address);
      if (state) first.add(state);
    }
    if (near) first.add(near);
    if (first.size === 0) return this.#pools.inOrder;
    return [...first, ...this.#pools.inOrder.filter((state) => !first.has(state))];
  }

  /** `missing`: families for which there is no address. */
  #refusal(request: ServiceRequest, missing: readonly Family[], refusals: readonly PoolRefusal[]): Refusal {
    const { pool } = request;
    const { byName, setAside } = this.#pools;
    if (byName.size + setAside.size === 0) return { reason: 'NoPools' };
    if (pool !== undefined && !byName.has(pool) && !setAside.has(pool))
      return { reason: 'UnknownPool', pool, known: this.#pools.names() };
    const aside = [...setAside].filter((name) => pool === undefined || pool === name);
    const pools: PoolRefusal[] = [
      ...refusals,
      ...aside.map((name) => ({ pool: name, why: 'SetAside' }) as const),
    ];
    const says = (...whys: readonly PoolRefusal['why'][]) => refusals.some(({ why }) => whys.includes(why));
    const canCome = (family: Family) => says(full(family), atLimit(family), atQuota(family));
    // A family that no pool has for it never comes by waiting.
    const passes = request.bothRequired ? missing.every(canCome) : missing.some(canCome);
    if (!passes) return { reason: 'NoMatchingPool', pools };
    return { reason: missing.some((family) => says(full(family))) ? 'PoolExhausted' : 'LimitReached', pools };
  }
}

function without(families: readonly Family[], placements: readonly Placement[]): readonly Family[] {
  return families.filter((family) => !placements.some(({ address }) => familyOf(address) === family));
}

function byFamily(families: readonly Family[]): (a: Placement, b: Placement) => number {
  return (a, b) => families.indexOf(familyOf(a.address)) - families.indexOf(familyOf(b.address));
}
