// The lowest free address of one family in a pool. Addresses below a frontier that came back wait in a heap;
// everything above the frontier is free unless it was asked for by name. Each step costs the logarithm of
// what came back, whatever the pool's size.
import { type Family, fromBigInt, type Ip, toBigInt } from '../net/address.ts';
import type { Range } from '../net/range.ts';

export class FreeAddresses {
  readonly #family: Family;
  readonly #ranges: readonly Range[];
  readonly #usable: (value: bigint) => boolean;
  /** The next address that was never considered: in which range, and its number. */
  #range = 0;
  #frontier: bigint;
  /** Binary min-heap; may hold addresses that were taken by name since. */
  readonly #returned: bigint[] = [];
  /** What the heap holds: an address that comes back twice waits there once. */
  readonly #inHeap = new Set<bigint>();

  /** `ranges`: ascending and disjoint. `usable`: whether an address may be given out at all. */
  constructor(family: Family, ranges: readonly Range[], usable: (value: bigint) => boolean) {
    this.#family = family;
    this.#ranges = ranges.filter((range) => range.family === family);
    this.#usable = usable;
    this.#frontier = this.#ranges[0]?.first ?? 0n;
  }

  /** The lowest address that is usable and not `taken`; it stays free until the caller takes it. */
  lowest(taken: (address: Ip) => boolean): Ip | undefined {
    for (let value = this.#returned[0]; value !== undefined; value = this.#returned[0]) {
      const address = fromBigInt(this.#family, value);
      if (!taken(address)) return address;
      this.#pop();
    }
    for (let range = this.#ranges[this.#range]; range; range = this.#ranges[this.#range]) {
      for (; this.#frontier <= range.last; this.#frontier++) {
        if (!this.#usable(this.#frontier)) continue;
        const address = fromBigInt(this.#family, this.#frontier);
        if (!taken(address)) return address;
      }
      this.#range++;
      this.#frontier = this.#ranges[this.#range]?.first ?? this.#frontier;
    }
    return undefined;
  }

  /** Says that an address of this pool is free again. */
  give(address: Ip): void {
    const value = toBigInt(address);
    // Above the frontier it will be met in its turn.
    if (value < this.#frontier && this.#usable(value) && !this.#inHeap.has(value)) this.#push(value);
  }

  #push(value: bigint): void {
    this.#inHeap.add(value);
    const heap = this.#returned;
    let i = heap.push(value) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] ?? value;
      if (above <= value) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = value;
  }

  #pop(): void {
    const heap = this.#returned;
    const [first] = heap;
    const last = heap.pop();
    if (first !== undefined) this.#inHeap.delete(first);
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && right < least) {
        least = right;
        child++;
      }
      if (least >= last) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = last;
  }
}
