// Structural schemas of custom resources (apiextensions.k8s.io/v1): defaults, pruning, validation.
// CEL rules (x-kubernetes-validations) are not evaluated.
import type { Cause } from './api-error.ts';
import { isObject } from './api-object.ts';

export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

/** A copy with defaults filled in and unknown fields gone; their paths are added to `unknown`. */
export function prune(schema: Schema, value: unknown, path: string, unknown: string[]): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? value.map((each, i) => prune(items, each, `${path}[${i}]`, unknown)) : value;
  }
  if (!isObject(value)) return value;
  const pruned: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) {
    const at = path === '' ? key : `${path}.${key}`;
    const known = schema.properties?.[key];
    if (path === '' && (key === 'metadata' || key === 'apiVersion' || key === 'kind')) pruned[key] = each;
    else if (known && (each !== null || known.nullable)) pruned[key] = prune(known, each, at, unknown);
    else if (known) continue;
    else if (isObject(schema.additionalProperties))
      pruned[key] = prune(schema.additionalProperties, each, at, unknown);
    else if (schema.additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields'])
      pruned[key] = each;
    else unknown.push(at);
  }
  for (const [key, { default: fallback }] of Object.entries(schema.properties ?? {})) {
    if (fallback !== undefined && !(key in pruned)) pruned[key] = structuredClone(fallback);
  }
  return pruned;
}

export function validate(schema: Schema, value: unknown, field: string): Cause[] {
  const causes: Cause[] = [];
  check(schema, value, field, causes);
  return causes;
}

function check(schema: Schema, value: unknown, field: string, causes: Cause[]): void {
  const bad = (message: string) => {
    causes.push({
      reason: 'FieldValueInvalid',
      field,
      message: `Invalid value: ${JSON.stringify(value)}: ${field} in body ${message}`,
    });
  };
  if (!hasType(schema, value)) {
    bad(`must be of type ${schema.type}: ${JSON.stringify(typeOf(value))}`);
    return;
  }
  if (schema.enum && !schema.enum.includes(value)) {
    const supported = schema.enum.map((each) => JSON.stringify(each)).join(', ');
    const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`;
    causes.push({ reason: 'FieldValueNotSupported', field, message });
  }
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum)
      bad(`should be greater than or equal to ${schema.minimum}`);
    if (schema.maximum !== undefined && value > schema.maximum)
      bad(`should be less than or equal to ${schema.maximum}`);
  } else if (typeof value === 'string') {
    if (schema.minLength !== undefined && value.length < schema.minLength)
      bad(`should be at least ${schema.minLength} chars long`);
    if (schema.maxLength !== undefined && value.length > schema.maxLength)
      bad(`should be at most ${schema.maxLength} chars long`);
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
      bad(`should match '${schema.pattern}'`);
    if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) bad('must be of type date-time');
  } else if (Array.isArray(value)) {
    if (schema.minItems !== undefined && value.length < schema.minItems)
      bad(`should have at least ${schema.minItems} items`);
    if (schema.maxItems !== undefined && value.length > schema.maxItems)
      bad(`should have at most ${schema.maxItems} items`);
    const { items } = schema;
    if (items) for (const [i, each] of value.entries()) check(items, each, `${field}[${i}]`, causes);
  } else if (isObject(value)) {
    checkObject(schema, value, field, causes);
  }
}

function checkObject(schema: Schema, value: object, field: string, causes: Cause[]): void {
  for (const key of schema.required ?? []) {
    if (!(key in value))
      causes.push({ reason: 'FieldValueRequired', field: join(field, key), message: 'Required value' });
  }
  for (const [key, each] of Object.entries(value)) {
    const known = schema.properties?.[key];
    if (known && !(field === '' && key === 'metadata')) check(known, each, join(field, key), causes);
    else if (!known && isObject(schema.additionalProperties))
      check(schema.additionalProperties, each, join(field, key), causes);
  }
}

function join(field: string, key: string): string {
  return field === '' ? key : `${field}.${key}`;
}

function hasType(schema: Schema, value: unknown): boolean {
  if (value === null) return schema.nullable === true;
  if (schema['x-kubernetes-int-or-string']) return typeof value === 'string' || Number.isInteger(value);
  return (
    schema.type === undefined ||
    schema.type === typeOf(value) ||
    (schema.type === 'number' && typeof value === 'number')
  );
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (Number.isInteger(value)) return 'integer';
  return value === null ? 'null' : typeof value;
}
