// The next free address of one family in a pool. Everything above a frontier was never given out; what came back
// waits in a heap to be used again: the lowest first, or the one that came back longest ago. Each step costs the
// logarithm of what came back, whatever the pool's size.
import type { Reuse } from '../api/pool.ts';
import { type Family, fromBigInt, type Ip, toBigInt } from '../net/address.ts';
import type { Range } from '../net/range.ts';
import { Heap } from './heap.ts';

export class FreeAddresses {
  readonly #family: Family;
  readonly #ranges: readonly Range[];
  readonly #usable: (value: bigint) => boolean;
  readonly #reuse: Reuse;
  /** The next address that was never considered: in which range, and its number. */
  #range = 0;
  #frontier: bigint;
  /** Each address that came back has a number: its own with `lowest`, the moment with `least-recent`. */
  readonly #heap = new Heap();
  readonly #numbers = new Map<bigint, bigint>();
  /** The reverse; a number in the heap that is not here is out of date. */
  readonly #addresses = new Map<bigint, bigint>();
  #moment = 0n;

  /** `ranges`: ascending and disjoint. `usable`: whether an address may be given out at all. */
  constructor(
    family: Family,
    ranges: readonly Range[],
    options: { readonly usable: (value: bigint) => boolean; readonly reuse: Reuse },
  ) {
    this.#family = family;
    this.#ranges = ranges.filter((range) => range.family === family);
    this.#usable = options.usable;
    this.#reuse = options.reuse;
    this.#frontier = this.#ranges[0]?.first ?? 0n;
  }

  /**
   * The address that is given next of those that are usable and not `taken`; it stays free until the caller takes
   * it. An address that is refused as taken is offered again only after `give`.
   */
  next(taken: (address: Ip) => boolean): Ip | undefined {
    return this.#reuse === 'lowest'
      ? (this.#returned(taken) ?? this.#fresh(taken))
      : (this.#fresh(taken) ?? this.#returned(taken));
  }

  /** Says that an address of this pool is free again. */
  give(address: Ip): void {
    const value = toBigInt(address);
    if (!this.#usable(value)) return;
    // Above the frontier it will be met in its turn; but with least-recent it counts as used, whoever had it by name.
    if (this.#reuse === 'lowest' && (value >= this.#frontier || this.#numbers.has(value))) return;
    this.#forget(value);
    const number = this.#reuse === 'lowest' ? value : ++this.#moment;
    this.#numbers.set(value, number);
    this.#addresses.set(number, value);
    this.#heap.push(number);
  }

  #forget(value: bigint): void {
    const number = this.#numbers.get(value);
    if (number !== undefined) this.#addresses.delete(number);
    this.#numbers.delete(value);
  }

  #returned(taken: (address: Ip) => boolean): Ip | undefined {
    for (let number = this.#heap.least; number !== undefined; number = this.#heap.least) {
      const value = this.#addresses.get(number);
      const address = value === undefined ? undefined : fromBigInt(this.#family, value);
      if (address !== undefined && !taken(address)) return address;
      this.#heap.pop();
      if (value !== undefined) this.#forget(value);
    }
    return undefined;
  }

  #fresh(taken: (address: Ip) => boolean): Ip | undefined {
    const used = this.#reuse === 'least-recent' ? this.#numbers : undefined;
    for (let range = this.#ranges[this.#range]; range; range = this.#ranges[this.#range]) {
      for (; this.#frontier <= range.last; this.#frontier++) {
        if (!this.#usable(this.#frontier) || used?.has(this.#frontier)) continue;
        const address = fromBigInt(this.#family, this.#frontier);
        if (!taken(address)) return address;
      }
      this.#range++;
      this.#frontier = this.#ranges[this.#range]?.first ?? this.#frontier;
    }
    return undefined;
  }
}
