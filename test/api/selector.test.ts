import { expect, it } from 'vitest';
import { matches, type Requirement } from '../../src/api/selector.ts';

it.each<[Requirement, Readonly<Record<string, string>>, boolean]>([
  [{ key: 'a', operator: 'In', values: ['1', '2'] }, { a: '2' }, true],
  [{ key: 'a', operator: 'In', values: ['1'] }, { a: '2' }, false],
  [{ key: 'a', operator: 'In', values: ['1'] }, {}, false],
  [{ key: 'a', operator: 'NotIn', values: ['1'] }, { a: '2' }, true],
  [{ key: 'a', operator: 'NotIn', values: ['1'] }, { a: '1' }, false],
  [{ key: 'a', operator: 'NotIn', values: ['1'] }, {}, true],
  [{ key: 'a', operator: 'Exists', values: [] }, { a: '' }, true],
  [{ key: 'a', operator: 'Exists', values: [] }, { b: '' }, false],
  [{ key: 'a', operator: 'DoesNotExist', values: [] }, { b: '' }, true],
  [{ key: 'a', operator: 'DoesNotExist', values: [] }, { a: '' }, false],
])('%j on %j: %s', (requirement, labels, expected) => {
  expect(matches([requirement], labels)).toBe(expected);
});

it('holds where all requirements do, and always where there is none', () => {
  const both: Requirement[] = [
    { key: 'a', operator: 'Exists', values: [] },
    { key: 'b', operator: 'Exists', values: [] },
  ];
  expect(matches(both, { a: '', b: '' })).toBe(true);
  expect(matches(both, { a: '' })).toBe(false);
  expect(matches([], {})).toBe(true);
});
