// spec.loadBalancerSourceRanges as ranges, and the numbers that stand for a list of them in the kernel.
import { bitsOf, familyOf, type Ip, toBigInt } from '../net/address.ts';
import { contains, formatRange, parseRange, type Range, subtract } from '../net/range.ts';
import { MOST_IDS } from './rules.ts';

/**
 * Who may reach the load balancer's address `balanced`: disjoint and ascending; undefined: everybody, since no range
 * is of its family. Where this node is let in, what it sends may bear the address itself as its source.
 */
export function sourceRanges(
  texts: readonly string[],
  balanced: Ip,
  own: readonly Ip[],
): readonly Range[] | undefined {
  const family = familyOf(balanced);
  const ranges = texts.flatMap((text) => rangeIn(text.trim())).filter((range) => range.family === family);
  if (ranges.length === 0) return undefined;
  const node = own.some((address) => ranges.some((range) => contains(range, address)));
  const itself = toBigInt(balanced);
  return subtract(node ? [...ranges, { family, first: itself, last: itself }] : ranges, []);
}

/** API servers accept bits behind the prefix (and warn): they are not looked at. */
function rangeIn(text: string): Range[] {
  const [address = '', length] = text.split('/');
  const single = parseRange(address);
  if (single.kind === 'malformed' || length === undefined) return [];
  const { family, first } = single.value;
  if (!/^\d{1,3}$/.test(length) || Number(length) > bitsOf(family)) return [];
  const hostMask = (1n << BigInt(bitsOf(family) - Number(length))) - 1n;
  return [{ family, first: first & ~hostMask, last: first | hostMask }];
}

/** Lists with the same content have the same number, so that a changed list is a new one, complete before it is used. */
export class SourceLists {
  readonly #lists = new Map<string, { readonly id: number; holders: number }>();
  readonly #used = new Set<number>();
  #last = 0;

  /** A predecessor's list, which is in the kernel. */
  inherit(id: number, ranges: readonly Range[]): void {
    this.#used.add(id);
    this.#lists.set(contentOf(ranges), { id, holders: 0 });
  }

  /** Lists that nobody has taken over by now are free. */
  forgetInherited(): void {
    for (const [content, { holders }] of this.#lists) if (holders === 0) this.#forget(content);
  }

  /** The number of a list; it stays that list's until it was released as often as held. */
  hold(ranges: readonly Range[]): void {
    const content = contentOf(ranges);
    const known = this.#lists.get(content) ?? { id: this.#freshId(), holders: 0 };
    known.holders++;
    this.#used.add(known.id);
    this.#lists.set(content, known);
  }

  release(ranges: readonly Range[]): void {
    const content = contentOf(ranges);
    const known = this.#lists.get(content);
    if (known && --known.holders === 0) this.#forget(content);
  }

  /** Of a list that is held. */
  idFor(ranges: readonly Range[]): number {
    return this.#lists.get(contentOf(ranges))?.id ?? 0;
  }

  #forget(content: string): void {
    const known = this.#lists.get(content);
    this.#lists.delete(content);
    if (known) this.#used.delete(known.id);
  }

  #freshId(): number {
    do this.#last = (this.#last % MOST_IDS) + 1;
    while (this.#used.has(this.#last));
    return this.#last;
  }
}

function contentOf(ranges: readonly Range[]): string {
  return ranges.map(formatRange).join(',');
}
