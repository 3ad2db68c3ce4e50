// Which addresses a Service gets: a pure state machine over pools and requests that knows nothing of the API server.
import type { AddressPool } from '../api/pool.ts';
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, type Ip } from '../net/address.ts';
import { Holdings, type Sharer, sharerOf } from './holdings.ts';
import { PoolState } from './pool-state.ts';

/** Stable, CamelCase: they become condition reasons. */
export type RefusalReason =
  | 'NoPools'
  | 'UnknownPool'
  | 'AddressNotInPool'
  | 'AddressInUse'
  | 'NoMatchingPool'
  | 'PoolExhausted';

export type Allocation =
  | { readonly kind: 'allocated'; readonly pool: string; readonly addresses: readonly Ip[] }
  /** `held`: what the Service keeps although its wish cannot be met. */
  | {
      readonly kind: 'refused';
      readonly reason: RefusalReason;
      readonly message: string;
      readonly held: readonly Ip[];
      readonly pool?: string;
    };

export interface PoolCounts {
  readonly assigned: Readonly<Record<Family, bigint>>;
  readonly available: Readonly<Record<Family, bigint>>;
}

type Found = { readonly pool: PoolState; readonly addresses: readonly Ip[] } | Refusal;
interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

export class Allocator {
  #pools: PoolState[] = [];
  readonly #byName = new Map<string, PoolState>();
  readonly #holdings = new Holdings();

  /** Takes pools in any order; no two may overlap. Who holds an address keeps it until its next `allocate`. */
  setPools(pools: readonly AddressPool[]): void {
    this.#pools = [...pools].sort(byRank).map((pool) => new PoolState(pool));
    this.#byName.clear();
    for (const state of this.#pools) this.#byName.set(state.pool.name, state);
    for (const address of this.#holdings.taken()) this.#count(address, 1);
  }

  counts(pool: string): PoolCounts | undefined {
    const state = this.#byName.get(pool);
    if (!state) return undefined;
    const { IPv4, IPv6 } = state.assigned;
    return {
      assigned: { IPv4: BigInt(IPv4), IPv6: BigInt(IPv6) },
      available: { IPv4: state.available('IPv4'), IPv6: state.available('IPv6') },
    };
  }

  holds(key: string): readonly Ip[] {
    return this.#holdings.of(key);
  }

  /** Takes over what the request says it holds, as far as a pool allows it and nobody else has it. Gives nothing new. */
  restore(request: ServiceRequest): void {
    const kept = this.#stillAllowed(request);
    if (kept) this.#assign(request, kept.addresses);
  }

  /** Gives the Service what it asks for, moving it only where it must. A refusal leaves in place what may stay. */
  allocate(request: ServiceRequest): Allocation {
    const found =
      request.addresses.length > 0
        ? this.#named(request)
        : (this.#complete(request) ?? this.#anywhere(request));
    if ('addresses' in found) {
      this.#assign(request, found.addresses);
      return { kind: 'allocated', pool: found.pool.pool.name, addresses: found.addresses };
    }
    const kept = this.#stillAllowed({ ...request, addresses: [] }, true);
    this.#assign(request, kept?.addresses ?? []);
    return {
      kind: 'refused',
      ...found,
      held: kept?.addresses ?? [],
      ...(kept ? { pool: kept.pool.pool.name } : {}),
    };
  }

  /** Frees what the Service holds. Returns whether there was anything. */
  release(key: string): boolean {
    const freed = this.#holdings.of(key);
    this.#free(this.#holdings.set(key, [], { sharingKey: undefined, backend: '', ports: [] }));
    return freed.length > 0;
  }

  #assign(request: ServiceRequest, addresses: readonly Ip[]): void {
    const fresh = addresses.filter((address) => !this.#holdings.isTaken(address));
    const freed = this.#holdings.set(request.key, addresses, sharerOf(request));
    for (const address of fresh) this.#count(address, 1);
    this.#free(freed);
  }

  #free(addresses: readonly Ip[]): void {
    for (const address of addresses) {
      this.#count(address, -1);
      this.#poolOf(address)?.free[familyOf(address)].give(address);
    }
  }

  #count(address: Ip, change: 1 | -1): void {
    const state = this.#poolOf(address);
    if (state) state.assigned[familyOf(address)] += change;
  }

  #poolOf(address: Ip): PoolState | undefined {
    return this.#pools.find((state) => state.allows(address));
  }

  /** Memory is what we hold; before that (a restart), what the status says. */
  #current(request: ServiceRequest): readonly Ip[] {
    const known = this.#holdings.of(request.key);
    return known.length > 0 ? known : request.held;
  }

  /**
   * The current addresses that may stay: one pool allows them and serves the Service, of a family it has, nobody
   * else in the way. `anyPool`: even where the Service asks for another pool by now.
   */
  #stillAllowed(
    request: ServiceRequest,
    anyPool = false,
  ): { pool: PoolState; addresses: readonly Ip[] } | undefined {
    const usable: Ip[] = [];
    let pool: PoolState | undefined;
    for (const family of request.families) {
      const address = this.#current(request).find((each) => familyOf(each) === family);
      const home = address && this.#poolOf(address);
      if (!home || home.refuses(request) || (pool && home !== pool)) continue;
      if (!anyPool && request.pool !== undefined && home.pool.name !== request.pool) continue;
      if (this.#holdings.conflict(address, request.key, sharerOf(request))) continue;
      pool = home;
      usable.push(address);
    }
    return pool && { pool, addresses: usable };
  }

  /** What the Service has, and a second family from the same pool where it wants one and there is one. */
  #complete(request: ServiceRequest): Found | undefined {
    const kept = this.#stillAllowed(request);
    if (!kept || kept.addresses.length === request.families.length) return kept;
    const addresses: Ip[] = [];
    for (const family of request.families) {
      const address =
        kept.addresses.find((each) => familyOf(each) === family) ?? this.#lowest(kept.pool, family, request);
      if (address) addresses.push(address);
      else if (request.bothRequired) return undefined;
    }
    return { pool: kept.pool, addresses };
  }

  /** Addresses asked for by name. */
  #named(request: ServiceRequest): Found {
    const pools = new Set<PoolState>();
    for (const address of request.addresses) {
      const pool = this.#poolOf(address);
      if (!pool)
        return { reason: 'AddressNotInPool', message: `no pool gives out ${address}; ${this.#poolList()}` };
      if (request.pool !== undefined && pool.pool.name !== request.pool) {
        const message = `${address} is in the pool "${pool.pool.name}", but the Service asks for the pool "${request.pool}"`;
        return { reason: 'AddressNotInPool', message };
      }
      const refusal = pool.refuses(request);
      if (refusal)
        return {
          reason: 'NoMatchingPool',
          message: `${address} is in the pool "${pool.pool.name}", which ${refusal}`,
        };
      const conflict = this.#holdings.conflict(address, request.key, sharerOf(request));
      if (conflict)
        return {
          reason: 'AddressInUse',
          message: `${address} is held by the Service ${conflict.holder}: ${conflict.why}`,
        };
      pools.add(pool);
    }
    const [pool, second] = [...pools];
    if (!pool || second) {
      const names = [...pools].map((each) => `"${each.pool.name}"`).join(' and ');
      return {
        reason: 'AddressNotInPool',
        message: `the addresses are in the pools ${names}; both must be in one`,
      };
    }
    return { pool, addresses: request.addresses };
  }

  #anywhere(request: ServiceRequest): Found {
    if (this.#pools.length === 0)
      return { reason: 'NoPools', message: 'there is no valid IPAddressPool; create one' };
    const refusals: string[] = [];
    let exhausted = false;
    for (const { state, refusal } of this.#candidates(request)) {
      if (refusal !== undefined) {
        refusals.push(`pool "${state.pool.name}" ${refusal}`);
        continue;
      }
      const addresses = this.#from(state, request);
      if (typeof addresses !== 'string') return { pool: state, addresses };
      exhausted ||= addresses === FULL;
      refusals.push(`pool "${state.pool.name}" ${addresses}`);
    }
    if (request.pool !== undefined && refusals.length === 0) {
      return { reason: 'UnknownPool', message: `there is no pool "${request.pool}"; ${this.#poolList()}` };
    }
    return { reason: exhausted ? 'PoolExhausted' : 'NoMatchingPool', message: refusals.join('; ') };
  }

  /** Pools in the order in which they are asked, each with the reason that rules it out, if one does. */
  #candidates(
    request: ServiceRequest,
  ): { readonly state: PoolState; readonly refusal: string | undefined }[] {
    if (request.pool !== undefined) {
      const state = this.#byName.get(request.pool);
      return state ? [{ state, refusal: state.refuses(request) }] : [];
    }
    return this.#pools.map((state) => ({
      state,
      refusal: state.pool.autoAssign
        ? state.refuses(request)
        : 'has autoAssign: false and must be asked for by name',
    }));
  }

  /** One address for each family from this pool, or why not. */
  #from(state: PoolState, request: ServiceRequest): readonly Ip[] | string {
    const addresses: Ip[] = [];
    const reasons: string[] = [];
    for (const family of request.families) {
      const address = this.#lowest(state, family, request);
      if (address) addresses.push(address);
      else reasons.push(state.has(family) ? FULL : `has no ${family} addresses`);
    }
    const enough = request.bothRequired ? request.families.length : 1;
    return addresses.length >= enough ? addresses : (reasons[0] ?? FULL);
  }

  #lowest(state: PoolState, family: Family, request: ServiceRequest): Ip | undefined {
    const company = request.sharingKey && this.#company(state, family, request.key, sharerOf(request));
    return company || state.free[family].lowest((address) => this.#holdings.isTaken(address));
  }

  /** An address in this pool that others already share under the same key, with room for these ports. */
  #company(state: PoolState, family: Family, key: string, sharer: Sharer): Ip | undefined {
    for (const address of this.#holdings.sharedUnder(sharer.sharingKey ?? '')) {
      const fits = familyOf(address) === family && state.allows(address);
      if (fits && !this.#holdings.conflict(address, key, sharer)) return address;
    }
    return undefined;
  }

  #poolList(): string {
    const names = [...this.#byName.keys()].sort().map((name) => `"${name}"`);
    return names.length === 0 ? 'there are no pools' : `the pools are ${names.join(', ')}`;
  }
}

const FULL = 'has no free address left';

/** Pools for chosen Services first, by priority (unset last), then the open ones; equals in name order. */
function byRank(a: AddressPool, b: AddressPool): number {
  const rank = ({ allocation }: AddressPool) =>
    allocation ? allocation.priority || Number.MAX_SAFE_INTEGER : Infinity;
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}
