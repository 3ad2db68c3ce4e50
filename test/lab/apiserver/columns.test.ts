import { describe, expect, it } from 'vitest';
import type { ApiObject } from '../../../src/lab/apiserver/api-object.ts';
import { age, pathColumn } from '../../../src/lab/apiserver/columns.ts';

const NOW = new Date('2026-01-01T00:00:00Z');

describe('an age', () => {
  it.each([
    [-5, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [190, '3m10s'],
    [599, '9m59s'],
    [600, '10m'],
    [10_799, '179m'],
    [10_800, '3h'],
    [11_100, '3h5m'],
    [28_800, '8h'],
    [172_799, '47h'],
    [172_800, '2d'],
    [176_400, '2d1h'],
    [691_200, '8d'],
    [86_400 * 729, '729d'],
    [86_400 * 730, '2y'],
    [86_400 * 800, '2y70d'],
    [86_400 * 365 * 8, '8y'],
  ])('of %d seconds is %s', (seconds, expected) => {
    expect(age(new Date(NOW.getTime() - seconds * 1000).toISOString(), NOW)).toBe(expected);
  });
});

describe('a column', () => {
  const object = {
    apiVersion: 'v1',
    kind: 'Thing',
    metadata: {
      name: 'x',
      annotations: { 'fairlead.dev/pool': 'lan' },
      creationTimestamp: '2025-12-31T23:59:00Z',
    },
    spec: {
      count: 0,
      list: ['a', 'b'],
      objects: [
        { name: 'p', port: 1 },
        { name: 'q', port: 2 },
      ],
    },
    status: {
      conditions: [
        { type: 'Valid', status: 'True' },
        { type: 'Other', status: 'False' },
      ],
    },
  } as unknown as ApiObject; // as far as the columns look

  it.each<[string, string, unknown]>([
    ['.metadata.name', 'string', 'x'],
    ['.spec.count', 'integer', 0],
    ['.spec.list', 'string', '["a","b"]'],
    ['.spec.list[0]', 'string', 'a'],
    ['.spec.list[*]', 'string', 'a,b'],
    ['.spec.objects[*].port', 'string', '1,2'],
    ['.status.conditions[?(@.type=="Valid")].status', 'string', 'True'],
    ["['metadata']['name']", 'string', 'x'],
    ['.metadata.annotations.fairlead\\.dev/pool', 'string', 'lan'],
    ['.metadata.creationTimestamp', 'date', '60s'],
    ['.spec.nothing.here', 'string', undefined],
  ])('by the path %s shows %s', (path, type, expected) => {
    expect(pathColumn('C', type, path).value(object, NOW)).toEqual(expected);
  });
});
