// Which of many disjoint ranges holds an address: a sorted array, searched by halving.
import type { Family } from './address.ts';
import { intersection, type Range } from './range.ts';

interface Entry<T> {
  readonly range: Range;
  readonly value: T;
}

export class RangeIndex<T> {
  readonly #entries: Readonly<Record<Family, Entry<T>[]>> = { IPv4: [], IPv6: [] };

  /** Throws RangeError where the range overlaps one that is here: ask `overlapping` first. */
  add(range: Range, value: T): void {
    const clash = this.overlapping(range);
    if (clash) throw new RangeError('ranges in an index must be disjoint');
    const entries = this.#entries[range.family];
    entries.splice(after(entries, range.first), 0, { range, value });
  }

  /** The value of the range that holds this address, given as a number. */
  at(family: Family, address: bigint): T | undefined {
    const entries = this.#entries[family];
    const entry = entries[after(entries, address) - 1];
    return entry && address <= entry.range.last ? entry.value : undefined;
  }

  /** Every range that has an address in common with this one, as far as it reaches into it, ascending. */
  allOverlapping(range: Range): { readonly range: Range; readonly value: T }[] {
    const entries = this.#entries[range.family];
    const found: Entry<T>[] = [];
    for (let i = Math.max(0, after(entries, range.first) - 1); i < entries.length; i++) {
      const entry = entries[i];
      if (!entry || entry.range.first > range.last) break;
      if (entry.range.last < range.first) continue;
      found.push({ range: intersection(range, entry.range), value: entry.value });
    }
    return found;
  }

  /** The lowest range that has an address in common with this one. */
  overlapping(range: Range): { readonly range: Range; readonly value: T } | undefined {
    const entries = this.#entries[range.family];
    const next = after(entries, range.first);
    const before = entries[next - 1];
    if (before && range.first <= before.range.last) return before;
    const behind = entries[next];
    return behind && behind.range.first <= range.last ? behind : undefined;
  }
}

/** The place of the first entry that starts behind `address`. */
function after<T>(entries: readonly Entry<T>[], address: bigint): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const entry = entries[middle];
    if (entry && entry.range.first <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}
