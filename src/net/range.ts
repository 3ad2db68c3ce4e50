// Ranges of addresses, as pools list them: a prefix (RFC 4632), "first-last", or one address.
import { bitsOf, type Family, familyOf, fromBigInt, type Ip, parseIp, toBigInt } from './address.ts';
import { malformed, type Parsed, parsed } from './parsed.ts';

/** Both ends belong to the range; `first` is never above `last`. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** Reads `192.0.2.0/24`, `192.0.2.10-192.0.2.20` or `192.0.2.7`, and the same in IPv6. */
export function parseRange(text: string): Parsed<Range> {
  if (text.includes('/')) return parsePrefix(text);
  const dash = text.indexOf('-');
  if (dash >= 0) return parseSpan(text.slice(0, dash).trim(), text.slice(dash + 1).trim());
  const address = parseIp(text);
  if (address.kind === 'malformed') return address;
  const value = toBigInt(address.value);
  return parsed({ family: familyOf(address.value), first: value, last: value });
}

/** Reads a prefix in CIDR notation; bits set behind the prefix length are a mistake, and refused. */
export function parsePrefix(text: string): Parsed<Range> {
  const slash = text.indexOf('/');
  if (slash < 0) return malformed('is not a prefix; write it as address/length, such as 192.0.2.0/24');
  const address = parseIp(text.slice(0, slash));
  if (address.kind === 'malformed') return address;
  const family = familyOf(address.value);
  const bits = bitsOf(family);
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits) {
    return malformed(`has the prefix length "${length}"; ${family} allows 0 to ${bits}`);
  }
  const first = toBigInt(address.value);
  const hostMask = (1n << BigInt(bits - Number(length))) - 1n;
  if ((first & hostMask) !== 0n) {
    const network = fromBigInt(family, first & ~hostMask);
    return malformed(
      `has bits set behind its prefix; write ${network}/${length}, or the single address ${address.value}`,
    );
  }
  return parsed({ family, first, last: first | hostMask });
}

function parseSpan(firstText: string, lastText: string): Parsed<Range> {
  const first = parseIp(firstText);
  if (first.kind === 'malformed')
    return malformed(`has the first address "${firstText}", which ${first.problem}`);
  const last = parseIp(lastText);
  if (last.kind === 'malformed')
    return malformed(`has the last address "${lastText}", which ${last.problem}`);
  const family = familyOf(first.value);
  if (family !== familyOf(last.value))
    return malformed('mixes IPv4 and IPv6; both ends must be of one family');
  const range = { family, first: toBigInt(first.value), last: toBigInt(last.value) };
  if (range.first > range.last) {
    return malformed(`ends before it starts; write ${last.value}-${first.value}`);
  }
  return parsed(range);
}

/** Every address of a family. */
export function wholeFamily(family: Family): Range {
  return { family, first: 0n, last: (1n << BigInt(bitsOf(family))) - 1n };
}

export function contains(range: Range, address: Ip): boolean {
  if (familyOf(address) !== range.family) return false;
  const value = toBigInt(address);
  return range.first <= value && value <= range.last;
}

export function overlaps(a: Range, b: Range): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** What two ranges that overlap have in common. */
export function intersection(a: Range, b: Range): Range {
  const [higher, lower] = [a.first < b.first ? b : a, a.last < b.last ? a : b];
  return { family: a.family, first: higher.first, last: lower.last };
}

/** How many addresses the range holds. */
export function sizeOf(range: Range): bigint {
  return range.last - range.first + 1n;
}

/** As `first-last`, or the address alone where there is only one. */
export function formatRange(range: Range): string {
  const first = fromBigInt(range.family, range.first);
  return range.first === range.last ? first : `${first}-${fromBigInt(range.family, range.last)}`;
}

/** As `address/length`, for a range that is one prefix. */
export function formatPrefix(range: Range): string {
  const free = sizeOf(range).toString(2).length - 1;
  return `${fromBigInt(range.family, range.first)}/${bitsOf(range.family) - free}`;
}

/** What is left of `ranges` without `holes`: ascending within each family (IPv4 first), disjoint, adjacent ones joined. */
export function subtract(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  const cuts = merge(holes);
  const left: Range[] = [];
  // Both ascend: what ends before one range ends before all that follow.
  let next = 0;
  for (const range of merge(ranges)) {
    let { first } = range;
    while (cuts[next] && isBefore(cuts[next], range)) next++;
    for (let i = next; i < cuts.length; i++) {
      const cut = cuts[i];
      if (!cut || cut.family !== range.family || cut.first > range.last) break;
      if (cut.first > first) left.push({ family: range.family, first, last: cut.first - 1n });
      first = cut.last + 1n;
    }
    if (first <= range.last) left.push({ family: range.family, first, last: range.last });
  }
  return left;
}

function isBefore(cut: Range | undefined, range: Range): boolean {
  if (!cut) return false;
  return cut.family === range.family ? cut.last < range.first : cut.family === 'IPv4';
}

function merge(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) =>
    a.family === b.family ? compare(a.first, b.first) : a.family === 'IPv4' ? -1 : 1,
  );
  const merged: Range[] = [];
  for (const range of sorted) {
    const top = merged.at(-1);
    if (top && top.family === range.family && range.first <= top.last + 1n) {
      if (range.last > top.last) merged[merged.length - 1] = { ...top, last: range.last };
    } else {
      merged.push(range);
    }
  }
  return merged;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
