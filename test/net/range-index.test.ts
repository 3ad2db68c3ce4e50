import fc from 'fast-check';
import { expect, it } from 'vitest';
import { intersection, overlaps, type Range } from '../../src/net/range.ts';
import { RangeIndex } from '../../src/net/range-index.ts';

const range: fc.Arbitrary<Range> = fc
  .tuple(fc.constantFrom('IPv4' as const, 'IPv6' as const), fc.nat(60), fc.nat(6))
  .map(([family, first, length]) => ({ family, first: BigInt(first), last: BigInt(first + length) }));

it('finds what a search through all ranges finds, and takes no range that overlaps one that is there', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), fc.array(range, { maxLength: 20 }), (ranges, asked) => {
      const index = new RangeIndex<string>();
      const known: { range: Range; value: string }[] = [];
      for (const [i, one] of ranges.entries()) {
        if (known.some((entry) => overlaps(entry.range, one))) {
          expect(() => index.add(one, 'never')).toThrow(RangeError);
          continue;
        }
        index.add(one, `value ${i}`);
        known.push({ range: one, value: `value ${i}` });
      }
      known.sort((a, b) => Number(a.range.first - b.range.first));
      for (const one of asked) {
        expect(index.overlapping(one)).toEqual(known.find((entry) => overlaps(entry.range, one)));
        expect(index.allOverlapping(one)).toEqual(
          known
            .filter((entry) => overlaps(entry.range, one))
            .map((entry) => ({ value: entry.value, range: intersection(one, entry.range) })),
        );
        const address = { family: one.family, first: one.first, last: one.first };
        const holder = known.find((entry) => overlaps(entry.range, address));
        expect(index.at(one.family, one.first)).toBe(holder?.value);
      }
    }),
  );
});
