// How a list's slots are shared out.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ip } from '../../src/net/address.ts';
import { slotsOf } from '../../src/proxy/balancing.ts';
import type { Endpoint } from '../../src/proxy/endpoints.ts';

const endpoint = (n: number, weight?: number): Endpoint => ({
  address: ip(`10.244.${n >> 8}.${n & 255}`),
  port: 8080,
  local: false,
  ...(weight === undefined ? {} : { weight }),
});
const byHash = (numbers: readonly number[]) =>
  slotsOf(
    numbers.map((n) => endpoint(n)),
    { kind: 'source-hash' },
  ).endpoints.map(({ address }) => address);

describe('a list by source hash', () => {
  it('moves no client beyond those of an endpoint that goes, and to one that comes only its own', () => {
    const lists = fc.uniqueArray(fc.nat({ max: 5000 }), { minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(lists, fc.nat(), (numbers, n) => {
        const gone = numbers[n % numbers.length] ?? 0;
        const all = byHash(numbers);
        const rest = byHash(numbers.filter((each) => each !== gone));
        const { address } = endpoint(gone);
        const moved = all.filter((each, slot) => each !== address && each !== rest[slot]);
        expect(moved).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('does not depend on the order of the list, and has as many slots for any number of endpoints', () => {
    const numbers = Array.from({ length: 30 }, (_, i) => 7 * i);
    expect(byHash(numbers.toReversed())).toEqual(byHash(numbers));
    expect(byHash([1])).toHaveLength(4096);
    expect(byHash(numbers)).toHaveLength(4096);
  });

  it('gives 10 endpoints their shares within a fifth', () => {
    const counts = new Map<string, number>();
    for (const address of byHash([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
      counts.set(address, (counts.get(address) ?? 0) + 1);
    expect(counts.size).toBe(10);
    for (const count of counts.values()) expect(Math.abs(count - 409.6)).toBeLessThan(82);
  });
});

describe('a list by weight', () => {
  const shares = (...weights: readonly number[]) => {
    const { pick, endpoints } = slotsOf(
      weights.map((weight, i) => endpoint(i, weight)),
      { kind: 'weighted', weights: { addresses: new Map(), nodes: new Map(), zones: new Map(), rest: 1 } },
    );
    expect(pick).toBe('random');
    return weights.map((_, i) => endpoints.filter(({ address }) => address === endpoint(i).address).length);
  };

  it('has each as often as it weighs, in as few slots as do', () => {
    expect(shares(3, 1)).toEqual([3, 1]);
    expect(shares(30, 10)).toEqual([3, 1]);
    expect(shares(0, 50, 100)).toEqual([0, 1, 2]);
    expect(shares(7)).toEqual([1]);
  });

  it('serves all alike where nobody weighs anything', () => {
    expect(shares(0, 0)).toEqual([1, 1]);
  });

  it('of many is rounded and leaves nobody out', () => {
    const found = shares(...Array.from({ length: 300 }, (_, i) => (i === 0 ? 1 : 100)));
    const sum = found.reduce((a, b) => a + b, 0);
    expect(found[0]).toBe(1);
    expect(sum).toBeLessThan(4400);
  });
});
