import { describe, expect, it } from 'vitest';
import { prune, type Schema, validate } from '../../../src/lab/apiserver/schema.ts';

function problems(schema: Schema, value: unknown): string[] {
  return validate(schema, value, 'f').map(({ field, message }) => `${field}: ${message}`);
}

describe('validation', () => {
  it.each<[string, Schema, unknown[], unknown[]]>([
    ['type', { type: 'string' }, ['', 'a'], [1, null, {}, []]],
    ['integer', { type: 'integer' }, [1, -1, 2 ** 40], [1.5, '1']],
    ['number', { type: 'number' }, [1, 1.5], ['1']],
    ['nullable', { type: 'string', nullable: true }, [null, 'a'], [1]],
    ['int-or-string', { 'x-kubernetes-int-or-string': true }, [1, '1'], [1.5, true, {}]],
    ['enum', { type: 'string', enum: ['a', 'b'] }, ['a'], ['c']],
    ['minimum', { type: 'integer', minimum: 1 }, [1, 2], [0]],
    ['exclusive minimum', { type: 'integer', minimum: 1, exclusiveMinimum: true }, [2], [1]],
    ['maximum', { type: 'integer', maximum: 3 }, [3], [4]],
    ['exclusive maximum', { type: 'integer', maximum: 3, exclusiveMaximum: true }, [2], [3]],
    ['multiple', { type: 'integer', multipleOf: 5 }, [10, 0], [7]],
    ['length', { type: 'string', minLength: 1, maxLength: 2 }, ['a', 'äö'], ['', 'abc']],
    ['pattern', { type: 'string', pattern: '^a+$' }, ['aa'], ['b']],
    [
      'items',
      { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 },
      [[1], [1, 2]],
      [[], [1, 2, 3], ['a']],
    ],
    [
      'set',
      { type: 'array', items: { type: 'integer' }, 'x-kubernetes-list-type': 'set' },
      [[1, 2]],
      [[1, 1]],
    ],
    ['properties', { type: 'object', required: ['a'], maxProperties: 1 }, [{ a: 1 }], [{}, { a: 1, b: 1 }]],
    ['min properties', { type: 'object', minProperties: 1 }, [{ a: 1 }], [{}]],
    ['additional', { type: 'object', additionalProperties: { type: 'string' } }, [{ a: 'x' }], [{ a: 1 }]],
    ['allOf', { type: 'integer', allOf: [{ minimum: 1 }, { maximum: 2 }] }, [1], [0, 3]],
    ['anyOf', { type: 'integer', anyOf: [{ maximum: 1 }, { minimum: 3 }] }, [1, 3], [2]],
    ['oneOf', { type: 'integer', oneOf: [{ minimum: 1 }, { maximum: 5 }] }, [0, 6], [3]],
    ['not', { type: 'integer', not: { minimum: 3 } }, [2], [3]],
    [
      'date-time',
      { type: 'string', format: 'date-time' },
      ['2026-01-01T00:00:00Z'],
      ['2026-01-01', 'noon', '2026-13-01T00:00:00Z'],
    ],
    ['ipv4', { type: 'string', format: 'ipv4' }, ['192.0.2.1'], ['2001:db8::1', '192.0.2']],
    ['ipv6', { type: 'string', format: 'ipv6' }, ['2001:db8::1'], ['192.0.2.1']],
    [
      'cidr',
      { type: 'string', format: 'cidr' },
      ['192.0.2.0/24', '2001:db8::/64'],
      ['192.0.2.0', '192.0.2.0/33'],
    ],
    ['a format that nobody knows', { type: 'string', format: 'colour' }, ['anything'], []],
  ])('of %s', (_, schema, good, bad) => {
    for (const value of good) expect(problems(schema, value)).toEqual([]);
    for (const value of bad) expect(problems(schema, value)).not.toEqual([]);
  });

  it('names the field at any depth', () => {
    const schema: Schema = {
      type: 'object',
      properties: { a: { type: 'array', items: { type: 'object', properties: { b: { type: 'integer' } } } } },
    };
    expect(problems(schema, { a: [{ b: 1 }, { b: 'x' }] })).toEqual([
      'f.a[1].b: Invalid value: "string": f.a[1].b in body must be of type integer: "string"',
    ]);
  });
});

describe('pruning', () => {
  const schema: Schema = {
    type: 'object',
    properties: {
      known: { type: 'integer', default: 7 },
      deep: { type: 'object', properties: { inner: { type: 'string', default: 'x' } } },
      filled: { type: 'object', default: {}, properties: { inner: { type: 'string', default: 'y' } } },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      map: {
        type: 'object',
        additionalProperties: { type: 'object', properties: { a: { type: 'string' } } },
      },
      list: { type: 'array', items: { type: 'object', properties: { a: { type: 'string', default: 'z' } } } },
    },
  };

  it('takes what the schema does not know, and says where', () => {
    const unknown: string[] = [];
    const value = {
      other: 1,
      deep: { odd: 1 },
      free: { any: { thing: 1 } },
      map: { k: { a: '1', b: 2 } },
      list: [{ a: '1' }, { c: 1 }],
    };
    expect(prune(schema, value, '', unknown)).toEqual({
      known: 7,
      deep: { inner: 'x' },
      filled: { inner: 'y' },
      free: { any: { thing: 1 } },
      map: { k: { a: '1' } },
      list: [{ a: '1' }, { a: 'z' }],
    });
    expect(unknown).toEqual(['other', 'deep.odd', 'map.k.b', 'list[1].c']);
  });

  it('fills no parent that has no default of its own', () => {
    expect(prune(schema, {}, '', [])).toEqual({ known: 7, filled: { inner: 'y' } });
  });
});
