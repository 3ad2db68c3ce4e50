// Which addresses a Service gets: a pure state machine over pools and requests that knows nothing of the API
// server. After each step nobody waits who could be served, so a newcomer never overtakes who waits. What a Service
// moved away from is free only when its status shows that (`shows`).
import type { AddressPool } from '../api/pool.ts';
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, type Ip } from '../net/address.ts';
import { Holdings, sharerOf } from './holdings.ts';
import { type Cause, type JournalEntry, kindOf } from './journal.ts';
import { countByFamily, PoolSet, type Surroundings } from './pool-set.ts';
import type { QuotaUse } from './quotas.ts';
import type { Refusal } from './refusal.ts';
import { type Placement, Search } from './search.ts';
import { WaitingLine } from './waiting-line.ts';
import { wishOf } from './wish.ts';

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
  /** Services that wait for an address that this pool would give them if it had one. */
  readonly waiting: number;
  /** Namespaces that have more addresses here than `maxPerNamespace` allows by now. */
  readonly beyondLimit: readonly string[];
}

interface Known {
  readonly request: ServiceRequest;
  /** False: it keeps what it has, and gets nothing new. */
  readonly wants: boolean;
}

export class Allocator {
  readonly #holdings = new Holdings();
  #pools = new PoolSet([], {});
  #search = new Search(this.#pools, this.#holdings);
  /** The pool of each address, by the holder's key, in the order of its addresses. */
  readonly #origins = new Map<string, readonly string[]>();
  readonly #known = new Map<string, Known>();
  readonly #waiting = new WaitingLine();
  /** Room that nobody has been asked about yet: free addresses, and whether sharing or a limit became wider. */
  readonly #freed = new Set<Ip>();
  #loosened = false;
  #widened = false;
  #changed = new Set<string>();
  #journal: JournalEntry[] = [];
  /** What Services showed at a start and could not keep, until the first is asked what it wants. */
  #unkept: { readonly request: ServiceRequest; readonly addresses: readonly Ip[] }[] = [];

  /** Takes pools in any order; no two may overlap. Who may not stay moves at once, after all who may. */
  setPools(pools: readonly AddressPool[], surroundings: Surroundings = {}): void {
    const barred = new Set(this.#pools.bars());
    this.#pools = new PoolSet(pools, surroundings, this.#pools);
    this.#search = new Search(this.#pools, this.#holdings);
    // What is not kept back any more was passed over as if it were taken.
    for (const address of barred)
      if (this.#pools.barred(address, '') === undefined && !this.#holdings.isTaken(address))
        this.#pools.of(address)?.free[familyOf(address)].give(address);
    for (const address of this.#holdings.taken()) this.#count(address, 1);
    for (const [key, { request }] of this.#known)
      for (const address of this.#holdings.of(key)) this.#countFor(request, address, 1);

    for (const [key, { request, wants }] of this.#known) {
      const stays = this.#stays(request);
      if (this.#assign(request, stays, 'pools')) this.#changed.add(key);
      if (wants && !isMet(request, stays)) this.#wait(request);
    }
    // Even where nothing can be given, the reasons are others now.
    for (const key of this.#waiting.keys()) this.#changed.add(key);
    for (const request of this.#waiting.inOrder()) this.#serve(request, 'pools');
    this.#serveWaiting();
  }

  counts(pool: string): PoolCounts | undefined {
    const state = this.#pools.byName.get(pool);
    if (!state) return undefined;
    const { IPv4, IPv6 } = state.assigned;
    const barred = countByFamily([...state.barred].filter((address) => !this.#holdings.isTaken(address)));
    const available = {
      IPv4: state.available('IPv4', barred.IPv4),
      IPv6: state.available('IPv6', barred.IPv6),
    };
    const isFull = (['IPv4', 'IPv6'] as const).some(
      (family) => state.has(family) && available[family] === 0n,
    );
    return {
      assigned: { IPv4: BigInt(IPv4), IPv6: BigInt(IPv6) },
      available,
      waiting: isFull ? this.#countWaiting(pool) : 0,
      beyondLimit: state.beyondLimit(),
    };
  }

  /** Undefined: there is no such quota, or it is not valid. */
  quotaUse(quota: string): QuotaUse | undefined {
    return this.#pools.quotas.use(quota);
  }

  holds(key: string): Holding {
    return {
      addresses: this.#holdings.of(key),
      pools: [...new Set(this.#origins.get(key))],
    };
  }

  /** One of those who have the address; undefined: nobody has it. */
  holderOf(address: Ip): string | undefined {
    return this.#holdings.holderOf(address);
  }

  /** What the Service has (after a restart: what its status says) it keeps as far as it may. Gives nothing new. */
  keep(request: ServiceRequest): Holding {
    const current = this.#remember(request, false);
    this.#waiting.remove(request.key);
    const stays = this.#stays(current);
    this.#assign(current, stays, 'kept');
    const unkept = current.held.filter((each) => !stays.some(({ address }) => address === each));
    if (unkept.length > 0) this.#unkept.push({ request, addresses: unkept });
    this.#serveWaiting();
    return this.holds(request.key);
  }

  /** Gives the Service what it asks for, moving it only where it must. A refusal leaves in place what may stay. */
  allocate(request: ServiceRequest): Allocation {
    this.#lingerUnkept();
    const refusal = this.#serve(this.#remember(request, true), 'asked');
    this.#serveWaiting();
    const holding = this.holds(request.key);
    return refusal ? { kind: 'refused', refusal, ...holding } : { kind: 'allocated', ...holding };
  }

  /** Frees what the Service holds: its status shows nothing any more. */
  release(key: string): void {
    const known = this.#known.get(key);
    if (!known) return;
    this.#known.delete(key);
    this.#waiting.remove(key);
    this.#unkept = this.#unkept.filter(({ request }) => request.key !== key);
    this.#assign(known.request, [], 'gone');
    this.#serveWaiting();
  }

  /** The status of the Service shows these addresses and no others: what it had else may be handed on. */
  shows(key: string, addresses: readonly Ip[]): void {
    const { touched, freed, loosened } = this.#holdings.leave(key, addresses);
    this.#freeAll(freed);
    this.#tellWaitingFor(touched, key);
    this.#loosened ||= loosened;
    this.#serveWaiting();
  }

  /** Services whose `allocate` would answer differently now, because of others or the pools; each is told once. */
  drainChanged(): readonly string[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** What was done since the last call, in order. */
  drainJournal(): readonly JournalEntry[] {
    const entries = this.#journal;
    if (entries.length > 0) this.#journal = [];
    return entries;
  }

  /** From the second time on, what a Service has is what we know; its status may be behind, or be tampered with. */
  #remember(request: ServiceRequest, wants: boolean): ServiceRequest {
    const { remembered: _, ...rest } = request;
    const later = { ...rest, held: [], heldFrom: [] };
    const current = this.#known.has(request.key) ? later : request;
    this.#known.set(request.key, { request: later, wants });
    this.#changed.delete(request.key);
    return current;
  }

  /** One attempt. Whoever has not all that it wants waits afterwards. */
  #serve(request: ServiceRequest, cause: Cause): Refusal | undefined {
    const all = this.#stays(request);
    const wanted = request.pool === undefined ? all : all.filter(({ pool }) => pool === request.pool);
    const found = this.#search.find(request, { all, wanted });
    const refused = 'reason' in found;
    const placements = refused ? all : found;
    this.#assign(request, placements, cause);
    if (refused || placements.length < request.families.length)
      this.#wait(this.#known.get(request.key)?.request ?? request);
    else this.#waiting.remove(request.key);
    return refused ? found : undefined;
  }

  #wait(request: ServiceRequest): void {
    this.#waiting.add(request, wishOf(request, this.#holdings.of(request.key), this.#pools));
  }

  /** Offers the room there is to those who wait, the oldest first, until nobody can take any of it. */
  #serveWaiting(): void {
    while (this.#freed.size > 0 || this.#loosened || this.#widened) {
      const room = new Set([...this.#freed].filter((address) => !this.#holdings.isTaken(address)));
      const loosened = this.#loosened;
      const widened = this.#widened;
      this.#freed.clear();
      this.#loosened = false;
      this.#widened = false;
      if (this.#waiting.size === 0) return;
      // Room only shrinks until somebody makes more, and then this begins anew.
      const inVain = new Set<string>();
      for (const { request, group } of this.#waiting.oldestFirst(inVain)) {
        if (room.size === 0 && !loosened && !widened) break;
        const before = this.#holdings.of(request.key);
        const concerned = room.size > 0 || widened || request.sharingKey !== undefined;
        if (concerned) this.#serve(request, 'room');
        if (this.#holdings.of(request.key) === before) {
          inVain.add(group);
          continue;
        }
        this.#changed.add(request.key);
        for (const address of room) if (this.#holdings.isTaken(address)) room.delete(address);
        if (this.#freed.size === 0 && !this.#loosened && !this.#widened) continue;
        // It moved, or can be joined: those before it in the line are asked again.
        for (const address of room) this.#freed.add(address);
        this.#loosened ||= loosened;
        this.#widened ||= widened;
        break;
      }
    }
  }

  /** Returns whether this changed anything. */
  #assign(request: ServiceRequest, placements: readonly Placement[], cause: Cause): boolean {
    const { key } = request;
    const addresses = placements.map(({ address }) => address);
    const origins = placements.map(({ pool }) => pool);
    const moved = origins.join() !== (this.#origins.get(key) ?? []).join();
    const before = this.#holdings.of(key);
    const fresh = addresses.filter((address) => !this.#holdings.isTaken(address));
    const lingers = cause !== 'gone';
    const { touched, freed, loosened } = this.#holdings.set(key, addresses, sharerOf(request), lingers);
    if (origins.length > 0) this.#origins.set(key, origins);
    else this.#origins.delete(key);
    for (const address of fresh) this.#count(address, 1);
    for (const address of before) if (!addresses.includes(address)) this.#countFor(request, address, -1);
    for (const address of addresses) if (!before.includes(address)) this.#countFor(request, address, 1);
    this.#freeAll(freed);
    this.#tellWaitingFor(touched, key);
    this.#loosened ||= loosened;
    const changed = moved || before !== this.#holdings.of(key);
    if (moved || before.join() !== addresses.join())
      this.#journal.push({
        kind: kindOf(before, addresses),
        service: key,
        cause,
        before,
        after: addresses,
        pools: [...new Set(origins)],
      });
    return changed;
  }

  /** Who keeps an address is known by now: what nobody does is left only once the status of who had it shows that. */
  #lingerUnkept(): void {
    for (const { request, addresses } of this.#unkept) {
      const left = addresses.filter((address) => !this.#holdings.isTaken(address));
      this.#holdings.linger(request.key, left, sharerOf(request));
      for (const address of left) this.#count(address, 1);
    }
    this.#unkept = [];
  }

  #freeAll(addresses: readonly Ip[]): void {
    for (const address of addresses) {
      const state = this.#pools.of(address);
      if (!state) continue;
      this.#count(address, -1);
      state.free[familyOf(address)].give(address);
      this.#freed.add(address);
    }
  }

  /** Who waits for an address by name is told with whom it is. */
  #tellWaitingFor(addresses: Iterable<Ip>, but: string): void {
    for (const address of addresses)
      for (const waiting of this.#waiting.waitingFor(address))
        if (waiting !== but) this.#changed.add(waiting);
  }

  #count(address: Ip, change: 1 | -1): void {
    const state = this.#pools.of(address);
    if (state) state.assigned[familyOf(address)] += change;
  }

  #countFor(request: ServiceRequest, address: Ip, change: 1 | -1): void {
    const { hasLimits, quotas } = this.#pools;
    if (!hasLimits) return;
    const family = familyOf(address);
    if (quotas.size > 0) quotas.count(request, family, change);
    const state = this.#pools.of(address);
    const limited = state?.pool.maxPerNamespace !== undefined;
    if (limited) state.countFor(request.namespace, family, change);
    if (change < 0 && (limited || quotas.size > 0)) this.#widened = true;
  }

  #countWaiting(pool: string): number {
    const state = this.#pools.byName.get(pool);
    let count = 0;
    for (const { request, services } of this.#waiting.groups()) {
      const { pool: asked, addresses } = request;
      if (addresses.length > 0 || (asked !== undefined && asked !== pool)) continue;
      if (state?.refuses(request) === undefined) count += services;
    }
    return count;
  }

  /** The pool from which the Service may go on holding this address. */
  #home(address: Ip, request: ServiceRequest): string | undefined {
    const state = this.#pools.of(address);
    if (state) return state.refusesHolder(request) ? undefined : state.pool.name;
    if (this.#pools.isNamed(address)) return undefined;
    const origins = this.#origins.get(request.key) ?? request.heldFrom;
    return origins.find((pool) => this.#pools.setAside.has(pool));
  }

  /** Those of the current addresses that may stay: what we hold, or (after a restart) what the status says. */
  #stays(request: ServiceRequest): readonly Placement[] {
    const held = this.#holdings.of(request.key);
    const current = held.length > 0 ? held : request.held;
    if (current.length === 0) return request.remembered ? this.#search.remembered(request) : [];
    const stays: Placement[] = [];
    for (const family of request.families) {
      const address = current.find((each) => familyOf(each) === family);
      const pool = address && this.#home(address, request);
      if (!pool || this.#holdings.conflict(address, request.key, sharerOf(request))) continue;
      stays.push({ address, pool });
    }
    return stays;
  }
}

/** Whether the Service has what it asks for, and as much as its families can have. */
function isMet(request: ServiceRequest, placements: readonly Placement[]): boolean {
  const named = request.addresses.every((each) => placements.some(({ address }) => address === each));
  const fromPool = placements.every(({ pool }) => request.pool === undefined || request.pool === pool);
  return named && fromPool && placements.length === request.families.length;
}
