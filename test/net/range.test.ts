import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBigInt } from '../../src/net/address.ts';
import {
  contains,
  formatRange,
  intersection,
  overlaps,
  parseRange,
  type Range,
  sizeOf,
  subtract,
} from '../../src/net/range.ts';

/** Ranges in a small corner of each family, so that they meet often. */
const range: fc.Arbitrary<Range> = fc
  .tuple(fc.constantFrom('IPv4' as const, 'IPv6' as const), fc.nat(40), fc.nat(10))
  .map(([family, first, length]) => ({ family, first: BigInt(first), last: BigInt(first + length) }));

function members(ranges: readonly Range[]): Set<string> {
  const all = new Set<string>();
  for (const { family, first, last } of ranges)
    for (let n = first; n <= last; n++) all.add(fromBigInt(family, n));
  return all;
}

describe('parseRange', () => {
  it.each([
    ['192.0.2.0/24', 'IPv4', 0xc0000200n, 0xc00002ffn],
    ['192.0.2.10-192.0.2.20', 'IPv4', 0xc000020an, 0xc0000214n],
    ['192.0.2.10 - 192.0.2.20', 'IPv4', 0xc000020an, 0xc0000214n],
    ['192.0.2.7', 'IPv4', 0xc0000207n, 0xc0000207n],
    ['192.0.2.7/32', 'IPv4', 0xc0000207n, 0xc0000207n],
    ['0.0.0.0/0', 'IPv4', 0n, 0xffffffffn],
    ['2001:db8::/126', 'IPv6', 0x20010db8n << 96n, (0x20010db8n << 96n) + 3n],
    ['::/0', 'IPv6', 0n, (1n << 128n) - 1n],
  ])('reads %s', (text, family, first, last) => {
    expect(parseRange(text)).toEqual({ kind: 'parsed', value: { family, first, last } });
  });

  it.each([
    ['192.0.2.20-192.0.2.10', 'write 192.0.2.10-192.0.2.20'],
    ['192.0.2.1-2001:db8::1', 'one family'],
    ['192.0.2.1-', 'last address'],
    ['-192.0.2.1', 'first address'],
    ['192.0.2.0/33', '0 to 32'],
    ['192.0.2.0/', '0 to 32'],
    ['192.0.2.0/024', '0 to 32'],
    ['192.0.2.1/24', 'write 192.0.2.0/24'],
    ['2001:db8::/129', '0 to 128'],
    ['lan', 'not an IP address'],
  ])('refuses "%s" and says what to write', (text, mend) => {
    const result = parseRange(text);
    expect(result.kind === 'malformed' ? result.problem : result).toContain(mend);
  });

  it('reads back what formatRange writes', () => {
    fc.assert(
      fc.property(range, (one) => {
        expect(parseRange(formatRange(one))).toEqual({ kind: 'parsed', value: one });
      }),
    );
  });

  it('never throws on any text', () => {
    fc.assert(fc.property(fc.stringMatching(/^[0-9a-f:./-]{0,40}$/), (text) => void parseRange(text)));
  });
});

describe('ranges', () => {
  it('overlap exactly where they share a member', () => {
    fc.assert(
      fc.property(range, range, (a, b) => {
        const shared = [...members([a])].some((member) => members([b]).has(member));
        expect(overlaps(a, b)).toBe(shared);
        if (shared) expect(members([intersection(a, b)])).toEqual(members([a]).intersection(members([b])));
      }),
    );
  });

  it('contain exactly their members', () => {
    fc.assert(
      fc.property(range, fc.nat(60), (one, n) => {
        const address = fromBigInt(one.family, BigInt(n));
        expect(contains(one, address)).toBe(members([one]).has(address));
        expect(sizeOf(one)).toBe(BigInt(members([one]).size));
      }),
    );
  });

  it('subtract leaves the members of the ranges that are in no hole, ascending and apart', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), fc.array(range, { maxLength: 6 }), (ranges, holes) => {
        const left = subtract(ranges, holes);
        expect(members(left)).toEqual(members(ranges).difference(members(holes)));
        for (const [i, one] of left.entries()) {
          const next = left[i + 1];
          if (next?.family === one.family) expect(next.first).toBeGreaterThan(one.last + 1n);
        }
      }),
    );
  });
});
