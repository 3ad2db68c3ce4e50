// One pool as the allocator sees it: which addresses it may give out, to whom, and how many are left.
import type { AddressPool, PoolAllocation } from '../api/pool.ts';
import { matches } from '../api/selector.ts';
import type { ServiceRequest } from '../api/service.ts';
import type { Family } from '../net/address.ts';
import { type Range, sizeOf } from '../net/range.ts';
import { FreeAddresses } from './free-addresses.ts';
import type { PoolRefusal } from './refusal.ts';

export class PoolState {
  readonly pool: AddressPool;
  readonly free: Readonly<Record<Family, FreeAddresses>>;
  /** Addresses in use, a shared one counted once. */
  readonly assigned: Record<Family, number> = { IPv4: 0, IPv6: 0 };
  readonly #usable: Readonly<Record<Family, bigint>>;

  /** `before`: the pool of this name until now; where the addresses are the same, so are the free ones. */
  constructor(pool: AddressPool, before: PoolState | undefined) {
    this.pool = pool;
    this.free =
      before && sameAddresses(before.pool, pool)
        ? before.free
        : {
            IPv4: new FreeAddresses('IPv4', pool.ranges, (value) => this.allows('IPv4', value)),
            IPv6: new FreeAddresses('IPv6', pool.ranges, () => true),
          };
    this.#usable = { IPv4: this.#count('IPv4'), IPv6: this.#count('IPv6') };
  }

  /** Whether the pool may give out this address, which is in its ranges. */
  allows(family: Family, value: bigint): boolean {
    return !(this.pool.avoidBuggyIPs && family === 'IPv4' && isBuggy(value));
  }

  /** Why the pool does not serve this Service; undefined if it does. */
  refuses(request: ServiceRequest): PoolRefusal['why'] | undefined {
    const { autoAssign, allocation } = this.pool;
    const named = request.pool === this.pool.name || request.addresses.length > 0;
    if (!autoAssign && !named) return 'NotAutomatic';
    return allocation && refusedBy(allocation, request);
  }

  /** The same for one that has its address here already, which autoAssign does not concern. */
  refusesHolder(request: ServiceRequest): boolean {
    const { allocation } = this.pool;
    return allocation !== undefined && refusedBy(allocation, request) !== undefined;
  }

  has(family: Family): boolean {
    return this.#usable[family] > 0n;
  }

  available(family: Family): bigint {
    return this.#usable[family] - BigInt(this.assigned[family]);
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
  { namespaces, namespaceSelectors, serviceSelectors }: PoolAllocation,
  { namespace, namespaceLabels, labels }: ServiceRequest,
): PoolRefusal['why'] | undefined {
  const inNamespace =
    (namespaces.length === 0 && namespaceSelectors.length === 0) ||
    namespaces.includes(namespace) ||
    namespaceSelectors.some((selector) => matches(selector, namespaceLabels));
  if (!inNamespace) return 'OtherNamespaces';
  const selected =
    serviceSelectors.length === 0 || serviceSelectors.some((selector) => matches(selector, labels));
  return selected ? undefined : 'OtherServices';
}

function sameAddresses(a: AddressPool, b: AddressPool): boolean {
  return (
    a.avoidBuggyIPs === b.avoidBuggyIPs &&
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
