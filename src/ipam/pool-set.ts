// All pools as they are now, and what keeps addresses of them back: nodes that have them, reservations.
import type { AddressPool } from '../api/pool.ts';
import type { Quota } from '../api/quota.ts';
import type { Reservation } from '../api/reservation.ts';
import { type Family, familyOf, type Ip, toBigInt } from '../net/address.ts';
import { RangeIndex } from '../net/range-index.ts';
import { PoolState } from './pool-state.ts';
import { Quotas } from './quotas.ts';

/** What there is beside the valid pools; whatever is left out is not there. */
export interface Surroundings {
  /** Names of pools that are not valid now: they give nothing, and who has an address from there keeps it. */
  readonly setAside?: ReadonlySet<string>;
  /** Names of nodes by their addresses. */
  readonly nodes?: ReadonlyMap<Ip, string>;
  /** No address is in two. */
  readonly reservations?: readonly Reservation[];
  /** In name order. */
  readonly quotas?: readonly Quota[];
}

/** Who an address is kept back for: `service`, or nobody. */
interface Bar {
  readonly service?: string;
  readonly why: string;
}

const NOTHING: readonly Ip[] = [];

export class PoolSet {
  /** In the order in which they are asked. */
  readonly inOrder: readonly PoolState[];
  readonly byName: ReadonlyMap<string, PoolState>;
  readonly setAside: ReadonlySet<string>;
  readonly quotas: Quotas;
  /** Whether any pool or quota counts what a namespace has. */
  readonly hasLimits: boolean;
  readonly #byAddress = new RangeIndex<PoolState>();
  readonly #bars = new Map<Ip, Bar>();
  readonly #reserved = new Map<string, readonly Ip[]>();

  /** `before`: the pools until now, whose free addresses are taken over where a pool has the same. */
  constructor(pools: readonly AddressPool[], surroundings: Surroundings, before?: PoolSet) {
    this.inOrder = [...pools].sort(byRank).map((pool) => new PoolState(pool, before?.byName.get(pool.name)));
    this.byName = new Map(this.inOrder.map((state) => [state.pool.name, state]));
    this.setAside = surroundings.setAside ?? new Set();
    this.quotas = new Quotas(surroundings.quotas ?? []);
    this.hasLimits = this.quotas.size > 0 || pools.some((pool) => pool.maxPerNamespace !== undefined);
    for (const state of this.inOrder)
      for (const range of state.pool.ranges) this.#byAddress.add(range, state);
    for (const reservation of surroundings.reservations ?? []) this.#reserve(reservation);
    for (const [address, node] of surroundings.nodes ?? []) {
      if (!this.of(address)?.pool.allowNodeAddresses)
        this.#bar(address, { why: `because the node "${node}" has it; see spec.allowNodeAddresses` });
    }
  }

  /** The pool that may give out this address. */
  of(address: Ip): PoolState | undefined {
    const [family, value] = [familyOf(address), toBigInt(address)];
    const state = this.#byAddress.at(family, value);
    return state?.allows(family, value) ? state : undefined;
  }

  /** Whether a pool names the address, even where it may not give it out. */
  isNamed(address: Ip): boolean {
    return this.#byAddress.at(familyOf(address), toBigInt(address)) !== undefined;
  }

  /** Why this Service may not get the address, however free it is; undefined if it may. */
  barred(address: Ip, service: string): string | undefined {
    const bar = this.#bars.get(address);
    return bar && bar.service !== service ? bar.why : undefined;
  }

  /** Every address that is kept back from anybody. */
  bars(): Iterable<Ip> {
    return this.#bars.keys();
  }

  /** The addresses that are kept back for this Service. */
  reservedFor(service: string): readonly Ip[] {
    return this.#reserved.get(service) ?? NOTHING;
  }

  names(): readonly string[] {
    return [...this.byName.keys()].sort();
  }

  #reserve({ name, addresses, service, owner }: Reservation): void {
    const whom = service === undefined ? '' : ` for the Service ${service}`;
    const why = `by the AddressReservation "${name}"${whom}${owner === undefined ? '' : ` (${owner})`}`;
    for (const address of addresses) this.#bar(address, service === undefined ? { why } : { service, why });
    if (service !== undefined) this.#reserved.set(service, [...this.reservedFor(service), ...addresses]);
  }

  #bar(address: Ip, bar: Bar): void {
    this.#bars.set(address, bar);
    this.of(address)?.barred.add(address);
  }
}

/** Pools for chosen Services first, by priority (unset last), then the open ones; equals in name order. */
function byRank(a: AddressPool, b: AddressPool): number {
  const rank = ({ allocation }: AddressPool) =>
    allocation ? allocation.priority || Number.MAX_SAFE_INTEGER : Number.POSITIVE_INFINITY;
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first < second ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

/** Addresses of both families that are in a set. */
export function countByFamily(addresses: Iterable<Ip>): Record<Family, number> {
  const counts = { IPv4: 0, IPv6: 0 };
  for (const address of addresses) counts[familyOf(address)]++;
  return counts;
}
