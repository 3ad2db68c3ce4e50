// Which addresses a Service gets: a pure state machine over pools and requests that knows nothing of the API
// server. After each step nobody waits who could be served, so a newcomer never overtakes who waits.
import type { AddressPool } from '../api/pool.ts';
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, type Ip, toBigInt } from '../net/address.ts';
import { RangeIndex } from '../net/range-index.ts';
import { Holdings, sharerOf } from './holdings.ts';
import { PoolState } from './pool-state.ts';
import { full, lacks, type PoolRefusal, type Refusal } from './refusal.ts';
import { WaitingLine } from './waiting-line.ts';

/** What a Service has; the families in the order of its cluster addresses. */
export interface Holding {
  readonly addresses: readonly Ip[];
  /** Names of the pools that they come from, each once. */
  readonly pools: readonly string[];
}

export type Allocation =
  | ({ readonly kind: 'allocated' } & Holding)
  /** With what the Service keeps although its wish cannot be met. */
  | ({ readonly kind: 'refused'; readonly refusal: Refusal } & Holding);

export interface PoolCounts {
  readonly assigned: Readonly<Record<Family, bigint>>;
  readonly available: Readonly<Record<Family, bigint>>;
}

interface Placement {
  readonly address: Ip;
  readonly pool: string;
}

interface Known {
  readonly request: ServiceRequest;
  /** False: it keeps what it has, and gets nothing new. */
  readonly wants: boolean;
}

export class Allocator {
  /** In the order in which they are asked. */
  #pools: readonly PoolState[] = [];
  #byName: ReadonlyMap<string, PoolState> = new Map();
  #byAddress = new RangeIndex<PoolState>();
  #setAside: ReadonlySet<string> = new Set();
  readonly #holdings = new Holdings();
  /** The pool of each address, by the holder's key, in the order of its addresses. */
  readonly #origins = new Map<string, readonly string[]>();
  readonly #known = new Map<string, Known>();
  readonly #waiting = new WaitingLine();
  /** Room that nobody has been asked about yet: free addresses, and whether sharing became possible somewhere. */
  readonly #freed = new Set<Ip>();
  #loosened = false;
  #changed = new Set<string>();

  /**
   * Takes pools in any order; no two may overlap. `setAside`: names of pools that are not valid now; they give
   * nothing, and who has an address from there keeps it. Who may not stay moves at once, after all who may.
   */
  setPools(pools: readonly AddressPool[], setAside: ReadonlySet<string> = new Set()): void {
    const before = this.#byName;
    this.#pools = [...pools].sort(byRank).map((pool) => new PoolState(pool, before.get(pool.name)));
    this.#byName = new Map(this.#pools.map((state) => [state.pool.name, state]));
    this.#setAside = setAside;
    this.#byAddress = new RangeIndex();
    for (const state of this.#pools) for (const range of state.pool.ranges) this.#byAddress.add(range, state);
    for (const address of this.#holdings.taken()) this.#count(address, 1);

    for (const [key, { request, wants }] of this.#known) {
      const stays = this.#stays(request, true);
      if (this.#assign(request, stays)) this.#changed.add(key);
      if (wants && !isMet(request, stays)) this.#waiting.add(request);
    }
    // Even where nothing can be given, the reasons are others now.
    for (const key of this.#waiting.keys()) this.#changed.add(key);
    for (const request of this.#waiting.oldestFirst()) this.#serve(request);
    this.#serveWaiting();
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

  holds(key: string): Holding {
    return {
      addresses: this.#holdings.of(key),
      pools: [...new Set(this.#origins.get(key))],
    };
  }

  /** What the Service has (after a restart: what its status says) it keeps as far as it may. Gives nothing new. */
  keep(request: ServiceRequest): Holding {
    const current = this.#remember(request, false);
    this.#waiting.remove(request.key);
    this.#assign(current, this.#stays(current, true));
    this.#serveWaiting();
    return this.holds(request.key);
  }

  /** Gives the Service what it asks for, moving it only where it must. A refusal leaves in place what may stay. */
  allocate(request: ServiceRequest): Allocation {
    const refusal = this.#serve(this.#remember(request, true));
    this.#serveWaiting();
    const holding = this.holds(request.key);
    return refusal ? { kind: 'refused', refusal, ...holding } : { kind: 'allocated', ...holding };
  }

  /** Frees what the Service holds. */
  release(key: string): void {
    const known = this.#known.get(key);
    if (!known) return;
    this.#known.delete(key);
    this.#waiting.remove(key);
    this.#assign(known.request, []);
    this.#serveWaiting();
  }

  /** Services whose `allocate` would answer differently now, because of others or the pools; each is told once. */
  drainChanged(): readonly string[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** From the second time on, what a Service has is what we know; its status may be behind, or be tampered with. */
  #remember(request: ServiceRequest, wants: boolean): ServiceRequest {
    const later = { ...request, held: [], heldFrom: [] };
    const current = this.#known.has(request.key) ? later : request;
    this.#known.set(request.key, { request: later, wants });
    this.#changed.delete(request.key);
    return current;
  }

  /** One attempt. Whoever has not all that it wants waits afterwards. */
  #serve(request: ServiceRequest): Refusal | undefined {
    const found = this.#find(request);
    const refused = 'reason' in found;
    const placements = refused ? this.#stays(request, true) : found;
    this.#assign(request, placements);
    if (refused || placements.length < request.families.length)
      this.#waiting.add(this.#known.get(request.key)?.request ?? request);
    else this.#waiting.remove(request.key);
    return refused ? found : undefined;
  }

  /** Offers the room there is to those who wait, the oldest first, until nobody can take any of it. */
  #serveWaiting(): void {
    while (this.#freed.size > 0 || this.#loosened) {
      const room = new Set([...this.#freed].filter((address) => !this.#holdings.isTaken(address)));
      const loosened = this.#loosened;
      this.#freed.clear();
      this.#loosened = false;
      if (this.#waiting.size === 0) return;
      for (const request of this.#waiting.oldestFirst()) {
        if (room.size === 0 && !loosened) break;
        if (room.size === 0 && request.sharingKey === undefined) continue;
        const before = this.#holdings.of(request.key);
        this.#serve(request);
        if (this.#holdings.of(request.key) === before) continue;
        this.#changed.add(request.key);
        for (const address of room) if (this.#holdings.isTaken(address)) room.delete(address);
        if (this.#freed.size === 0 && !this.#loosened) continue;
        // It moved, or can be joined: those before it in the line are asked again.
        for (const address of room) this.#freed.add(address);
        this.#loosened ||= loosened;
        break;
      }
    }
  }

  /** Returns whether this changed anything. */
  #assign(request: ServiceRequest, placements: readonly Placement[]): boolean {
    const { key } = request;
    const addresses = placements.map(({ address }) => address);
    const origins = placements.map(({ pool }) => pool);
    const moved = origins.join() !== (this.#origins.get(key) ?? []).join();
    const before = this.#holdings.of(key);
    const fresh = addresses.filter((address) => !this.#holdings.isTaken(address));
    const { touched, freed, loosened } = this.#holdings.set(key, addresses, sharerOf(request));
    if (origins.length > 0) this.#origins.set(key, origins);
    else this.#origins.delete(key);
    for (const address of fresh) this.#count(address, 1);
    for (const address of freed) {
      const state = this.#poolOf(address);
      if (!state) continue;
      this.#count(address, -1);
      state.free[familyOf(address)].give(address);
      this.#freed.add(address);
    }
    // Who waits for an address by name is told with whom it is.
    for (const address of touched)
      for (const waiting of this.#waiting.waitingFor(address))
        if (waiting !== key) this.#changed.add(waiting);
    this.#loosened ||= loosened;
    return moved || before !== this.#holdings.of(key);
  }

  #count(address: Ip, change: 1 | -1): void {
    const state = this.#poolOf(address);
    if (state) state.assigned[familyOf(address)] += change;
  }

  #poolOf(address: Ip): PoolState | undefined {
    const [family, value] = [familyOf(address), toBigInt(address)];
    const state = this.#byAddress.at(family, value);
    return state?.allows(family, value) ? state : undefined;
  }

  /** The pool from which the Service may go on holding this address. */
  #home(address: Ip, request: ServiceRequest): string | undefined {
    const state = this.#poolOf(address);
    if (state) return state.refusesHolder(request) ? undefined : state.pool.name;
    if (this.#byAddress.at(familyOf(address), toBigInt(address))) return undefined;
    const origins = this.#origins.get(request.key) ?? request.heldFrom;
    return origins.find((pool) => this.#setAside.has(pool));
  }

  /**
   * Those of the current addresses that may stay: what we hold, or (after a restart) what the status says.
   * `anyPool`: even where the Service asks for another pool by now.
   */
  #stays(request: ServiceRequest, anyPool: boolean): readonly Placement[] {
    const held = this.#holdings.of(request.key);
    const current = held.length > 0 ? held : request.held;
    const stays: Placement[] = [];
    for (const family of request.families) {
      const address = current.find((each) => familyOf(each) === family);
      const pool = address && this.#home(address, request);
      if (!pool || (!anyPool && request.pool !== undefined && pool !== request.pool)) continue;
      if (!this.#holdings.conflict(address, request.key, sharerOf(request))) stays.push({ address, pool });
    }
    return stays;
  }

  #find(request: ServiceRequest): readonly Placement[] | Refusal {
    if (request.addresses.length > 0) return this.#named(request);
    const stays = this.#stays(request, false);
    const missing = without(request.families, stays);
    if (missing.length === 0) return stays;
    const { placements, refusals } = this.#search(request, missing, stays);
    const all = [...stays, ...placements].sort(byFamily(request.families));
    return all.length >= (request.bothRequired ? request.families.length : 1)
      ? all
      : this.#refusal(request, without(missing, placements), refusals);
  }

  /** The addresses asked for by name, all or none. */
  #named(request: ServiceRequest): readonly Placement[] | Refusal {
    const placements: Placement[] = [];
    const stays = this.#stays(request, true);
    for (const address of request.addresses) {
      const state = this.#poolOf(address);
      // What it has from a pool that is set aside it may go on asking for.
      const pool = state?.pool.name ?? stays.find((each) => each.address === address)?.pool;
      if (pool === undefined) return { reason: 'AddressNotInPool', address, known: this.#names() };
      if (request.pool !== undefined && pool !== request.pool) {
        return {
          reason: 'AddressNotInPool',
          address,
          known: this.#names(),
          inPool: pool,
          asked: request.pool,
        };
      }
      const why = state?.refuses(request);
      if (why) return { reason: 'NoMatchingPool', pools: [{ pool, why }], address };
      const conflict = this.#holdings.conflict(address, request.key, sharerOf(request));
      if (conflict) return { reason: 'AddressInUse', address, ...conflict };
      placements.push({ address, pool });
    }
    return placements.sort(byFamily(request.families));
  }

  /** New addresses for these families: from one pool where one has them all, else each from the first that has it. */
  #search(
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
    if (state.refuses(request)) return undefined;
    const placements: Placement[] = [];
    for (const family of families) {
      const address = this.#lowest(state, family, request);
      if (!address) return undefined;
      placements.push({ address, pool: state.pool.name });
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
      const pool = state.pool.name;
      let why = state.refuses(request);
      const address = why ? undefined : this.#lowest(state, family, request);
      if (address) return { address, pool };
      why ??= state.has(family) ? full(family) : lacks(family);
      refusals.set(`${pool} ${why}`, { pool, why });
    }
    return undefined;
  }

  /** Pools in the order in which they are asked. A second family comes from the pool of the first if it can. */
  #candidates(request: ServiceRequest, stays: readonly Placement[]): readonly PoolState[] {
    if (request.pool !== undefined) {
      const state = this.#byName.get(request.pool);
      return state ? [state] : [];
    }
    const near = this.#byName.get(stays[0]?.pool ?? '');
    return near ? [near, ...this.#pools.filter((state) => state !== near)] : this.#pools;
  }

  /** `missing`: families for which there is no address. */
  #refusal(request: ServiceRequest, missing: readonly Family[], refusals: readonly PoolRefusal[]): Refusal {
    const { pool } = request;
    if (this.#pools.length + this.#setAside.size === 0) return { reason: 'NoPools' };
    if (pool !== undefined && !this.#byName.has(pool) && !this.#setAside.has(pool))
      return { reason: 'UnknownPool', pool, known: this.#names() };
    const aside = [...this.#setAside].filter((name) => pool === undefined || pool === name);
    const pools: PoolRefusal[] = [
      ...refusals,
      ...aside.map((name) => ({ pool: name, why: 'SetAside' }) as const),
    ];
    const isFull = (family: Family) => refusals.some(({ why }) => why === full(family));
    // A family that no pool has for it never comes by waiting.
    const passes = request.bothRequired ? missing.every(isFull) : missing.some(isFull);
    return { reason: passes ? 'PoolExhausted' : 'NoMatchingPool', pools };
  }

  #lowest(state: PoolState, family: Family, request: ServiceRequest): Ip | undefined {
    const company = request.sharingKey === undefined ? undefined : this.#company(state, family, request);
    return company ?? state.free[family].lowest((address) => this.#holdings.isTaken(address));
  }

  /** The lowest address in this pool that others share under the same key, with room for these ports. */
  #company({ pool }: PoolState, family: Family, request: ServiceRequest): Ip | undefined {
    for (const range of pool.ranges) {
      const address = range.family === family && this.#holdings.company(range, sharerOf(request));
      if (address) return address;
    }
    return undefined;
  }

  #names(): readonly string[] {
    return [...this.#byName.keys()].sort();
  }
}

/** Whether the Service has what it asks for, and as much as its families can have. */
function isMet(request: ServiceRequest, placements: readonly Placement[]): boolean {
  const named = request.addresses.every((each) => placements.some(({ address }) => address === each));
  const fromPool = placements.every(({ pool }) => request.pool === undefined || request.pool === pool);
  return named && fromPool && placements.length === request.families.length;
}

function without(families: readonly Family[], placements: readonly Placement[]): readonly Family[] {
  return families.filter((family) => !placements.some(({ address }) => familyOf(address) === family));
}

function byFamily(families: readonly Family[]): (a: Placement, b: Placement) => number {
  return (a, b) => families.indexOf(familyOf(a.address)) - families.indexOf(familyOf(b.address));
}

/** Pools for chosen Services first, by priority (unset last), then the open ones; equals in name order. */
function byRank(a: AddressPool, b: AddressPool): number {
  const rank = ({ allocation }: AddressPool) =>
    allocation ? allocation.priority || Number.MAX_SAFE_INTEGER : Infinity;
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}
