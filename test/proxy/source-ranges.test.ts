// spec.loadBalancerSourceRanges: whom a list lets in, and the number that stands for it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBigInt, ip } from '../../src/net/address.ts';
import { contains, formatRange, overlaps } from '../../src/net/range.ts';
import { SourceLists, sourceRanges } from '../../src/proxy/source-ranges.ts';

const VIP = ip('198.51.100.1');
const ranges = (texts: readonly string[], own: readonly string[] = [], vip = VIP) =>
  sourceRanges(texts, vip, own.map(ip))?.map(formatRange);

describe('source ranges', () => {
  it('are disjoint, whatever blanks and bits behind the prefix they are written with', () => {
    expect(ranges([' 10.0.0.0/8 ', '10.1.2.3/16', '192.0.2.9/24'])).toEqual([
      '10.0.0.0-10.255.255.255',
      '192.0.2.0-192.0.2.255',
    ]);
  });

  it('do not filter a family that has none', () => {
    expect(ranges([])).toBeUndefined();
    expect(ranges(['2001:db8::/32', 'nonsense', '10.0.0.0/33'])).toBeUndefined();
    expect(ranges(['10.0.0.0/8'], [], ip('2001:db8::1'))).toBeUndefined();
  });

  it('let in the address itself where this node is let in', () => {
    expect(ranges(['192.0.2.0/24'], ['192.0.2.1'])).toEqual(['192.0.2.0-192.0.2.255', VIP]);
    expect(ranges(['192.0.2.0/24'], ['203.0.113.1'])).toEqual(['192.0.2.0-192.0.2.255']);
  });

  it('let in exactly whom one of the prefixes holds', () => {
    const prefix = fc
      .tuple(fc.bigInt({ min: 0n, max: 0xffffn }), fc.integer({ min: 16, max: 32 }))
      .map(([low, length]) => `${fromBigInt('IPv4', 0x0a00_0000n | low)}/${length}`);
    const client = fc.bigInt({ min: 0n, max: 0xffffn }).map((low) => fromBigInt('IPv4', 0x0a00_0000n | low));
    fc.assert(
      fc.property(fc.array(prefix, { minLength: 1, maxLength: 6 }), client, (texts, address) => {
        const list = sourceRanges(texts, VIP, []) ?? [];
        for (const [i, range] of list.entries())
          expect(list.some((other, j) => i !== j && overlaps(range, other))).toBe(false);
        const held = texts.some((text) =>
          sourceRanges([text], VIP, [])?.some((range) => contains(range, address)),
        );
        expect(list.some((range) => contains(range, address))).toBe(held);
      }),
    );
  });
});

describe('a list’s number', () => {
  const list = (...texts: string[]) => sourceRanges(texts, VIP, []) ?? [];

  it('is the same for the same content, and free when the last holder lets it go', () => {
    const lists = new SourceLists();
    lists.hold(list('10.0.0.0/8'));
    lists.hold(list('10.0.0.0/9', '10.128.0.0/9'));
    lists.hold(list('192.0.2.0/24'));
    const first = lists.idFor(list('10.0.0.0/8'));
    expect(lists.idFor(list('10.0.0.0/9', '10.128.0.0/9'))).toBe(first);
    expect(lists.idFor(list('192.0.2.0/24'))).not.toBe(first);
    lists.release(list('10.0.0.0/8'));
    expect(lists.idFor(list('10.0.0.0/8'))).toBe(first);
    lists.release(list('10.0.0.0/8'));
    lists.hold(list('10.0.0.0/8'));
    expect(lists.idFor(list('10.0.0.0/8'))).not.toBe(first);
  });

  it('is a predecessor’s where that is in the kernel, until it is clear that nobody has it', () => {
    const lists = new SourceLists();
    lists.inherit(7, list('10.0.0.0/8'));
    lists.inherit(8, list('192.0.2.0/24'));
    lists.hold(list('10.0.0.0/8'));
    expect(lists.idFor(list('10.0.0.0/8'))).toBe(7);
    lists.forgetInherited();
    lists.hold(list('192.0.2.0/24'));
    expect(lists.idFor(list('192.0.2.0/24'))).not.toBe(8);
  });
});
