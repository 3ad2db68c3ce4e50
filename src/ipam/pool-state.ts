// One pool as the allocator sees it: which addresses it may give out, to whom, and how many are left.
import type { AddressPool, PoolAllocation } from '../api/pool.ts';
import { matches, selectsNamespace } from '../api/selector.ts';
import type { ServiceRequest } from '../api/service.ts';
import type { Family, Ip } from '../net/address.ts';
import { type Range, sizeOf } from '../net/range.ts';
import { FreeAddresses } from './free-addresses.ts';
import type { PoolRefusal } from './refusal.ts';

export class PoolState {
  readonly pool: AddressPool;
  readonly free: Readonly<Record<Family, FreeAddresses>>;
  /** Addresses in use, a shared one counted once. */
  readonly assigned: Record<Family, number> = { IPv4: 0, IPv6: 0 };
  /** Addresses that are kept back from all or all but one, whether or not somebody has them. */
  readonly barred = new Set<Ip>();
  readonly #usable: Readonly<Record<Family, bigint>>;
  /** How many addresses the Services of a namespace have here, a shared one counted for each; only with a limit. */
  readonly #ofNamespace = new Map<string, Record<Family, number>>();

  /** `before`: the pool of this name until now; where the addresses are the same, so are the free ones. */
  constructor(pool: AddressPool, before: PoolState | undefined) {
    this.pool = pool;
    this.free =
      before && sameAddresses(before.pool, pool)
        ? before.free
        : { IPv4: this.#free('IPv4'), IPv6: this.#free('IPv6') };
    this.#usable = { IPv4: this.#count('IPv4'), IPv6: this.#count('IPv6') };
  }

  /** Whether the pool may give out this address, which is in its ranges. */
  allows(family: Family, value: bigint): boolean {
    return !(this.pool.avoidBuggyIPs && family === 'IPv4' && isBuggy(value));
  }

  /** Why the pool does not serve this Service; undefined if it does. */
  refuses(request: ServiceRequest): PoolRefusal['why'] | undefined {
    const { autoAssign, allocation, drain } = this.pool;
    if (drain) return 'Drained';
    const named = request.pool === this.pool.name || request.addresses.length > 0;
    if (!autoAssign && !named) return 'NotAutomatic';
    return allocation && refusedBy(allocation, request);
  }

  /** The same for one that has its address here already, which neither autoAssign nor drain concern. */
  refusesHolder(request: ServiceRequest): boolean {
    const { allocation } = this.pool;
    return allocation !== undefined && refusedBy(allocation, request) !== undefined;
  }

  has(family: Family): boolean {
    return this.#usable[family] > 0n;
  }

  /** `free`: how many of the barred addresses of this family nobody has. */
  available(family: Family, free: number): bigint {
    return this.#usable[family] - BigInt(this.assigned[family] + free);
  }

  /** A Service of the namespace has an address here from now on, or has one less. */
  countFor(namespace: string, family: Family, change: 1 | -1): void {
    if (this.pool.maxPerNamespace === undefined) return;
    const counts = this.#ofNamespace.get(namespace) ?? { IPv4: 0, IPv6: 0 };
    counts[family] += change;
    this.#ofNamespace.set(namespace, counts);
  }

  /** Whether the namespace has as many as it may; `own`: of them, those that the asking Service gives up for it. */
  isAtLimit(namespace: string, family: Family, own: number): boolean {
    const { maxPerNamespace } = this.pool;
    if (maxPerNamespace === undefined) return false;
    return (this.#ofNamespace.get(namespace)?.[family] ?? 0) - own >= maxPerNamespace;
  }

  /** Namespaces that have more than they may by now: the limit came, or was lowered, under use. */
  beyondLimit(): string[] {
    const most = this.pool.maxPerNamespace ?? Number.POSITIVE_INFINITY;
    const beyond = [...this.#ofNamespace].filter(([, { IPv4, IPv6 }]) => IPv4 > most || IPv6 > most);
    return beyond.map(([namespace]) => namespace).sort();
  }

  #free(family: Family): FreeAddresses {
    const usable = (value: bigint) => this.allows(family, value);
    return new FreeAddresses(family, this.pool.ranges, { usable, reuse: this.pool.reuse });
  }

  #count(family: Family): bigint {
    let count = 0n;
    for (const range of this.pool.ranges) {
      if (range.family !== family) continue;
      count += sizeOf(range);
      if (family === 'IPv4' && this.pool.avoidBuggyIPs) count -= buggyIn(range);
    }
    return count;
  }
}

function refusedBy(
  allocation: PoolAllocation,
  { namespace, namespaceLabels, labels }: ServiceRequest,
): PoolRefusal['why'] | undefined {
  if (!selectsNamespace(allocation, namespace, namespaceLabels)) return 'OtherNamespaces';
  const { serviceSelectors } = allocation;
  const selected =
    serviceSelectors.length === 0 || serviceSelectors.some((selector) => matches(selector, labels));
  return selected ? undefined : 'OtherServices';
}

function sameAddresses(a: AddressPool, b: AddressPool): boolean {
  return (
    a.avoidBuggyIPs === b.avoidBuggyIPs &&
    a.reuse === b.reuse &&
    a.ranges.length === b.ranges.length &&
    a.ranges.every((range, i) => {
      const other = b.ranges[i];
      return range.family === other?.family && range.first === other.first && range.last === other.last;
    })
  );
}

/** Some old routers drop IPv4 addresses that end in .0 or .255. */
function isBuggy(value: bigint): boolean {
  const last = value & 0xffn;
  return last === 0n || last === 0xffn;
}

function buggyIn({ first, last }: Range): bigint {
  const upTo = (value: bigint) => (value < 0n ? 0n : value / 256n + 1n + (value + 1n) / 256n);
  return upTo(last) - upTo(first - 1n);
}
