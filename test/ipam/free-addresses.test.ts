import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreeAddresses } from '../../src/ipam/free-addresses.ts';
import { fromBigInt, type Ip, ip, toBigInt } from '../../src/net/address.ts';
import { type Range, subtract } from '../../src/net/range.ts';

/** Ascending, disjoint ranges among the first sixty addresses. */
const ranges: fc.Arbitrary<Range[]> = fc
  .array(fc.tuple(fc.nat(50), fc.nat(9)), { minLength: 1, maxLength: 4 })
  .map((list) =>
    subtract(
      list.map(([first, length]) => ({ family: 'IPv4', first: BigInt(first), last: BigInt(first + length) })),
      [],
    ),
  );

const step = fc.oneof(
  fc.constant({ kind: 'next' as const }),
  fc.record({ kind: fc.constantFrom('name' as const, 'give' as const), pick: fc.nat(1000) }),
);

describe('the free addresses of a pool', () => {
  it('give the lowest that is usable and not taken, after any history, in steps that the history pays for', () => {
    fc.assert(
      fc.property(
        ranges,
        fc.array(step, { maxLength: 80 }),
        fc.integer({ min: 2, max: 9 }),
        (own, steps, skip) => {
          const usable = (value: bigint) => value % BigInt(skip) !== 0n;
          const members = own.flatMap(({ first, last }) =>
            Array.from({ length: Number(last - first) + 1 }, (_, i) => fromBigInt('IPv4', first + BigInt(i))),
          );
          const free = new FreeAddresses('IPv4', own, { usable, reuse: 'lowest' });
          const taken = new Set<Ip>();
          let asked = 0;
          let given = 0;
          let lookups = 0;
          for (const one of steps) {
            if (one.kind === 'next') {
              lookups++;
              const found = free.next((address) => {
                asked++;
                return taken.has(address);
              });
              expect(found).toBe(members.find((each) => usable(toBigInt(each)) && !taken.has(each)));
              if (found) taken.add(found);
            } else if (one.kind === 'name') {
              const address = members[one.pick % members.length];
              if (address && usable(toBigInt(address))) taken.add(address);
            } else {
              const address = [...taken][one.pick % Math.max(1, taken.size)];
              if (!address) continue;
              taken.delete(address);
              free.give(address);
              given++;
            }
          }
          // Each address is passed once on the way up, and once more for each time that it came back.
          expect(asked).toBeLessThanOrEqual(lookups + members.length + given);
        },
      ),
    );
  });

  it('are found in a range of 2^64 addresses as fast as in a small one', () => {
    const first = toBigInt(ip('2001:db8::'));
    const free = new FreeAddresses('IPv6', [{ family: 'IPv6', first, last: first + (1n << 64n) - 1n }], {
      usable: () => true,
      reuse: 'lowest',
    });
    const taken = new Set<Ip>();
    let asked = 0;
    for (let i = 0; i < 100; i++) {
      const found = free.next((address) => {
        asked++;
        return taken.has(address);
      });
      if (found) taken.add(found);
    }
    expect(taken.size).toBe(100);
    expect(asked).toBeLessThanOrEqual(200);
  });

  it('with least-recent give what was never used first, then what came back longest ago', () => {
    const range: Range = { family: 'IPv4', first: 1n, last: 4n };
    const free = new FreeAddresses('IPv4', [range], { usable: () => true, reuse: 'least-recent' });
    const taken = new Set<Ip>();
    const take = () => {
      const found = free.next((address) => taken.has(address));
      if (found) taken.add(found);
      return found && Number(toBigInt(found));
    };
    const give = (value: number) => {
      const address = fromBigInt('IPv4', BigInt(value));
      taken.delete(address);
      free.give(address);
    };
    expect([take(), take()]).toEqual([1, 2]);
    give(1);
    // Taken by name and given back before it was met: it was used, too.
    taken.add(fromBigInt('IPv4', 3n));
    give(3);
    give(2);
    give(1);
    expect([take(), take(), take(), take(), take()]).toEqual([4, 3, 2, 1, undefined]);
  });
});
