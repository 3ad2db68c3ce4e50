// What a Service's annotations say on how its connections are spread.
import { describe, expect, it } from 'vitest';
import { readBalancing, weightOf } from '../../src/api/load-balancing.ts';
import { ip } from '../../src/net/address.ts';

const BALANCING = 'fairlead.dev/load-balancing';
const WEIGHTS = 'fairlead.dev/endpoint-weights';
const weighted = (weights: string) => readBalancing({ [BALANCING]: 'weighted', [WEIGHTS]: weights });

describe('balancing', () => {
  it('is at random without a word, and as the annotation says', () => {
    expect(readBalancing(undefined)).toEqual({ balancing: { kind: 'random' }, complaints: [] });
    for (const kind of ['random', 'round-robin', 'source-hash'] as const)
      expect(readBalancing({ [BALANCING]: kind })).toEqual({ balancing: { kind }, complaints: [] });
  });

  it('by least connections is refused with the reason and what there is, and is random until then', () => {
    for (const method of ['least-connections', 'leastconn', 'LC']) {
      const { balancing, complaints } = readBalancing({ [BALANCING]: method });
      expect(balancing).toEqual({ kind: 'random' });
      expect(complaints).toEqual([
        `fairlead.dev/load-balancing "${method}" cannot be done: nftables does not know how many connections an endpoint has, and no node knows those of the others; write random, round-robin, weighted, source-hash; until then connections are spread at random`,
      ]);
    }
  });

  it('of an unknown kind is refused', () => {
    expect(readBalancing({ [BALANCING]: 'rr' }).complaints).toEqual([
      'fairlead.dev/load-balancing "rr" is no way of balancing; write random, round-robin, weighted, source-hash; until then connections are spread at random',
    ]);
  });

  it('by weight takes the address before the node, the node before the zone, the zone before the rest', () => {
    const { balancing, complaints } = weighted('10.0.0.1=5, node/n1=3,zone/z1=2, *=0, 2001:db8::1=7');
    expect(complaints).toEqual([]);
    if (balancing.kind !== 'weighted') throw new Error('not by weight');
    const weight = (address: string, node?: string, zone?: string) =>
      weightOf(balancing.weights, { address: ip(address), node, zone });
    expect(weight('10.0.0.1', 'n1', 'z1')).toBe(5);
    expect(weight('2001:db8::1')).toBe(7);
    expect(weight('10.0.0.2', 'n1', 'z1')).toBe(3);
    expect(weight('10.0.0.2', 'n2', 'z1')).toBe(2);
    expect(weight('10.0.0.2', 'n2')).toBe(0);
  });

  it('by weight without a rest gives everybody else 1', () => {
    const { balancing } = weighted('node/n1=3');
    expect(balancing).toMatchObject({ kind: 'weighted', weights: { rest: 1 } });
  });

  it.each([
    ['', 'is not PLACE=WEIGHT'],
    ['node/n1', 'is not PLACE=WEIGHT'],
    ['node/n1=101', 'is not PLACE=WEIGHT'],
    ['node/n1=-1', 'is not PLACE=WEIGHT'],
    ['n1=1', 'names neither'],
    ['010.0.0.1=1', 'names neither'],
    ['*=1,*=2', 'a second weight'],
    ['zone/a=1,zone/a=1', 'a second weight'],
  ])('by weights "%s" is refused', (text, words) => {
    const { balancing, complaints } = weighted(text);
    expect(balancing).toEqual({ kind: 'random' });
    expect(complaints).toHaveLength(1);
    expect(complaints[0]).toContain(words);
  });

  it('tells of all mistakes in the weights at once', () => {
    expect(weighted('a=1,b=2').complaints).toHaveLength(2);
  });

  it('by weight without weights, and weights without it, are told', () => {
    expect(readBalancing({ [BALANCING]: 'weighted' }).complaints[0]).toContain(`needs ${WEIGHTS}`);
    expect(readBalancing({ [WEIGHTS]: '*=1' })).toEqual({
      balancing: { kind: 'random' },
      complaints: [`${WEIGHTS} has no effect without ${BALANCING}: weighted; add that, or remove it`],
    });
  });
});
