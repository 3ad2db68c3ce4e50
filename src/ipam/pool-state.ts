// One pool as the allocator sees it: which addresses it may give out, to whom, and how many are left.
import type { AddressPool } from '../api/pool.ts';
import { matches } from '../api/selector.ts';
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, type Ip, toBigInt } from '../net/address.ts';
import { contains, type Range, sizeOf } from '../net/range.ts';
import { FreeAddresses } from './free-addresses.ts';

export class PoolState {
  readonly pool: AddressPool;
  readonly free: Readonly<Record<Family, FreeAddresses>>;
  /** Addresses in use, a shared one counted once. */
  readonly assigned: Record<Family, number> = { IPv4: 0, IPv6: 0 };
  readonly #usable: Readonly<Record<Family, bigint>>;

  constructor(pool: AddressPool) {
    this.pool = pool;
    const usable = (value: bigint) => !(pool.avoidBuggyIPs && isBuggy(value));
    this.free = {
      IPv4: new FreeAddresses('IPv4', pool.ranges, usable),
      IPv6: new FreeAddresses('IPv6', pool.ranges, () => true),
    };
    this.#usable = { IPv4: this.#count('IPv4'), IPv6: this.#count('IPv6') };
  }

  /** Whether the pool may give out this address. */
  allows(address: Ip): boolean {
    if (!this.pool.ranges.some((range) => contains(range, address))) return false;
    return !(this.pool.avoidBuggyIPs && familyOf(address) === 'IPv4' && isBuggy(toBigInt(address)));
  }

  /** Why the pool does not serve this Service; undefined if it does. */
  refuses(request: ServiceRequest): string | undefined {
    const { allocation } = this.pool;
    if (!allocation) return undefined;
    const { namespaces, namespaceSelectors, serviceSelectors } = allocation;
    const anyNamespace = namespaces.length === 0 && namespaceSelectors.length === 0;
    const inNamespace =
      anyNamespace ||
      namespaces.includes(request.namespace) ||
      namespaceSelectors.some((selector) => matches(selector, request.namespaceLabels));
    if (!inNamespace) return `serves other namespaces than "${request.namespace}"`;
    if (
      serviceSelectors.length > 0 &&
      !serviceSelectors.some((selector) => matches(selector, request.labels))
    ) {
      return 'has service selectors that do not match';
    }
    return undefined;
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

/** Some old routers drop IPv4 addresses that end in .0 or .255. */
function isBuggy(value: bigint): boolean {
  const last = value & 0xffn;
  return last === 0n || last === 0xffn;
}

function buggyIn({ first, last }: Range): bigint {
  const upTo = (value: bigint) => (value < 0n ? 0n : value / 256n + 1n + (value + 1n) / 256n);
  return upTo(last) - upTo(first - 1n);
}
