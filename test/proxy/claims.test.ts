// Several Services may want one element: what the kernel is to have depends on who claims it, not on when.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Claims, sameData } from '../../src/proxy/claims.ts';
import type { SetElement } from '../../src/proxy/elements.ts';

const value = (bytes: string): SetElement => ({
  set: 'frontends4',
  key: 'k',
  data: { kind: 'value', bytes },
});

describe('claims', () => {
  it('give an element that two want differently to the first by name, and then to the other', () => {
    const claims = new Claims();
    claims.set('b', [value('b')]);
    expect(claims.wanted('frontends4', 'k')).toEqual(value('b').data);
    claims.set('a', [value('a')]);
    expect(claims.wanted('frontends4', 'k')).toEqual(value('a').data);
    expect(claims.set('a', [])).toEqual([value('a')]);
    expect(claims.wanted('frontends4', 'k')).toEqual(value('b').data);
    claims.set('b', []);
    expect(claims.wanted('frontends4', 'k')).toBeUndefined();
  });

  it('keep the first of two that one Service makes on one element', () => {
    const claims = new Claims();
    claims.set('a', [value('1'), value('2')]);
    expect(claims.wanted('frontends4', 'k')).toEqual(value('1').data);
  });

  it('end the same whatever came before', () => {
    const element = fc.record({
      set: fc.constantFrom('frontends4' as const, 'tcp-endpoints6' as const),
      key: fc.constantFrom('x', 'y', 'z'),
      data: fc.constantFrom('1', '2').map((bytes) => ({ kind: 'value' as const, bytes })),
    });
    const owner = fc.constantFrom('a', 'b', 'c');
    fc.assert(
      fc.property(fc.array(fc.tuple(owner, fc.array(element, { maxLength: 4 }))), (history) => {
        const claims = new Claims();
        for (const [name, elements] of history) claims.set(name, elements);
        const last = new Map(history);
        const sorted = [...last.keys()].sort();
        for (const set of ['frontends4', 'tcp-endpoints6'] as const) {
          for (const key of ['x', 'y', 'z']) {
            const first = sorted
              .flatMap((name) => last.get(name) ?? [])
              .find((each) => each.set === set && each.key === key);
            expect(sameData(claims.wanted(set, key), first?.data)).toBe(true);
          }
        }
      }),
    );
  });
});
