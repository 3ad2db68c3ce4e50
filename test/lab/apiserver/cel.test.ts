import { describe, expect, it } from 'vitest';
import { areEvaluated, ruleCauses } from '../../../src/lab/apiserver/cel.ts';
import type { Schema } from '../../../src/lab/apiserver/schema.ts';

const schema: Schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      'x-kubernetes-validations': [{ rule: 'self.least <= self.most', message: 'least is above most' }],
      properties: {
        least: { type: 'integer' },
        most: { type: 'integer' },
        names: {
          type: 'array',
          items: { type: 'string', 'x-kubernetes-validations': [{ rule: "self.matches('^[a-z]+$')" }] },
        },
        byName: {
          type: 'object',
          additionalProperties: { type: 'object', 'x-kubernetes-validations': [{ rule: 'has(self.a)' }] },
        },
      },
    },
  },
};

describe('rules in CEL', () => {
  it('are asked wherever they stand in a schema, and say where they are broken', () => {
    const spec = { least: 2, most: 1, names: ['a', 'B'], byName: { x: { a: 1 }, y: {} } };
    expect(ruleCauses(schema, { spec }, '')).toEqual([
      { reason: 'FieldValueInvalid', field: 'spec', message: 'Invalid value: least is above most' },
      {
        reason: 'FieldValueInvalid',
        field: 'spec.names[1]',
        message: `Invalid value: "B": failed rule: self.matches('^[a-z]+$')`,
      },
      {
        reason: 'FieldValueInvalid',
        field: 'spec.byName.y',
        message: 'Invalid value: failed rule: has(self.a)',
      },
    ]);
    expect(ruleCauses(schema, { spec: { least: 1, most: 1 } }, '')).toEqual([]);
    expect(ruleCauses(schema, {}, '')).toEqual([]);
  });

  it('that fail to evaluate are broken', () => {
    expect(ruleCauses(schema, { spec: {} }, '')).toHaveLength(1);
  });

  it.each([
    ['self.a > 1', true],
    ["self.operator in ['In'] ? has(self.values) : true", true],
    ['self.all(x, x.size() < 3)', true],
    ['self == oldSelf', false],
    ['isIP(self)', false],
    ['self.a +', false],
    ['1 + 1', false],
  ])('%s: known %s', (rule, known) => {
    expect(areEvaluated([{ rule }])).toBe(known);
  });

  it('with fields that are not known here are not known', () => {
    expect(areEvaluated([{ rule: 'true', messageExpression: '"x"' } as { rule: string }])).toBe(false);
  });
});
