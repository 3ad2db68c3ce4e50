import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Json } from '../../../src/lab/apiserver/api-object.ts';
import { jsonPatch, mergePatch } from '../../../src/lab/apiserver/patch.ts';

const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>;

describe('a merge patch', () => {
  // RFC 7386, appendix A.
  it.each<[Json, Json, Json]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('of %j by %j gives %j', (target, patch, expected) => {
    expect(mergePatch(target, patch)).toEqual(expected);
  });

  it('says the same when it is applied twice, and leaves its target as it was', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const before = structuredClone(target);
        const once = mergePatch(target, patch);
        expect(mergePatch(once, patch)).toEqual(once);
        expect(target).toEqual(before);
      }),
    );
  });
});

describe('a JSON patch', () => {
  const target: Json = { a: { b: 1 }, list: [1, 2, 3], 'x/y': 0, 'm~n': 0 };

  it.each<[string, object[], Json]>([
    ['adds a field', [{ op: 'add', path: '/a/c', value: 2 }], { ...target, a: { b: 1, c: 2 } }],
    ['inserts into a list', [{ op: 'add', path: '/list/1', value: 9 }], { ...target, list: [1, 9, 2, 3] }],
    ['appends to a list', [{ op: 'add', path: '/list/-', value: 9 }], { ...target, list: [1, 2, 3, 9] }],
    ['replaces an element', [{ op: 'replace', path: '/list/0', value: 9 }], { ...target, list: [9, 2, 3] }],
    ['removes an element', [{ op: 'remove', path: '/list/1' }], { ...target, list: [1, 3] }],
    ['removes a field', [{ op: 'remove', path: '/a/b' }], { ...target, a: {} }],
    ['copies', [{ op: 'copy', from: '/a', path: '/c' }], { ...target, c: { b: 1 } }],
    ['moves', [{ op: 'move', from: '/a/b', path: '/list/0' }], { ...target, a: {}, list: [1, 1, 2, 3] }],
    ['tests', [{ op: 'test', path: '/a', value: { b: 1 } }], target],
    [
      'unescapes',
      [
        { op: 'replace', path: '/x~1y', value: 1 },
        { op: 'replace', path: '/m~0n', value: 2 },
      ],
      { ...target, 'x/y': 1, 'm~n': 2 },
    ],
    ['replaces all', [{ op: 'replace', path: '', value: 1 }], 1],
  ])('%s', (_, operations, expected) => {
    expect(jsonPatch(target, operations)).toEqual(expected);
  });

  it.each<[string, unknown, number]>([
    ['no list', { op: 'add' }, 400],
    ['an unknown operation', [{ op: 'swap', path: '/a' }], 400],
    ['an element that is no operation', [null], 400],
    ['a pointer without its slash', [{ op: 'remove', path: 'a' }], 400],
    ['a test that fails', [{ op: 'test', path: '/a/b', value: 2 }], 422],
    ['a field that is not there', [{ op: 'remove', path: '/nowhere' }], 422],
    ['a parent that is not there', [{ op: 'add', path: '/no/where', value: 1 }], 422],
    ['an index past the end', [{ op: 'add', path: '/list/7', value: 1 }], 422],
    ['an index that is none', [{ op: 'remove', path: '/list/first' }], 422],
  ])('refuses %s', (_, operations, code) => {
    expect(() => jsonPatch(target, operations)).toThrow(expect.objectContaining({ code }));
  });

  it('that replaces the whole gives exactly that', () => {
    fc.assert(
      fc.property(json, json, (from, to) => {
        expect(jsonPatch(from, [{ op: 'replace', path: '', value: to }])).toEqual(to);
      }),
    );
  });
});
