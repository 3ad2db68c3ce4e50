// Structural schemas (apiextensions.k8s.io/v1): defaults, pruning, validation, in kube-apiserver's words.
// Rules in CEL (x-kubernetes-validations) are asked elsewhere (cel.ts), of values that fit the schema.
import type { Cause } from './api-error.ts';
import { isObject, sameJson } from './api-object.ts';
import {
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
} from './field-causes.ts';
import { hasFormat } from './formats.ts';
import { joinPath, keyOf } from './list-keys.ts';

export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly maximum?: number;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-map-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message?: string }[];
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
    const at = joinPath(path, key);
    const known = schema.properties?.[key];
    if (path === '' && (key === 'metadata' || key === 'apiVersion' || key === 'kind')) pruned[key] = each;
    // A null where none may be stands for the default.
    else if (known && (each !== null || known.nullable || known.default === undefined))
      pruned[key] = prune(known, each, at, unknown);
    else if (known) continue;
    else if (isObject(schema.additionalProperties))
      pruned[key] = prune(schema.additionalProperties, each, at, unknown);
    else if (schema.additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields'])
      pruned[key] = each;
    else unknown.push(at);
  }
  for (const [key, each] of Object.entries(schema.properties ?? {})) {
    if (each.default !== undefined && !(key in pruned))
      pruned[key] = prune(each, structuredClone(each.default), '.', []);
  }
  return pruned;
}

export function validate(schema: Schema, value: unknown, field: string): Cause[] {
  const causes: Cause[] = [];
  check(schema, value, field, causes);
  return causes;
}

function check(schema: Schema, value: unknown, field: string, causes: Cause[]): void {
  const bad = (why: string) => void causes.push(fieldInvalid(field, value, `${field} in body ${why}`));
  if (!hasType(schema, value)) {
    const is = JSON.stringify(typeOf(value));
    const message = `Invalid value: ${is}: ${field} in body must be of type ${schema.type ?? 'integer,string'}: ${is}`;
    causes.push({ reason: 'FieldValueTypeInvalid', field, message });
    return;
  }
  if (value === null) return;
  if (schema.enum && !schema.enum.some((each) => sameJson(each, value)))
    causes.push(fieldNotSupported(field, value, schema.enum));
  if (typeof value === 'number') checkNumber(schema, value, bad);
  else if (typeof value === 'string') checkString(schema, value, field, bad, causes);
  else if (Array.isArray(value)) checkList(schema, value, field, causes);
  else if (isObject(value)) checkObject(schema, value, field, bad, causes);
  checkCombinations(schema, value, field, bad, causes);
}

type Bad = (why: string) => void;

function checkNumber(schema: Schema, value: number, bad: Bad): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    bad(`should be greater than ${exclusiveMinimum ? '' : 'or equal to '}${minimum}`);
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    bad(`should be less than ${exclusiveMaximum ? '' : 'or equal to '}${maximum}`);
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf))
    bad(`should be a multiple of ${multipleOf}`);
}

function checkString(schema: Schema, value: string, field: string, bad: Bad, causes: Cause[]): void {
  const length = [...value].length;
  if (schema.minLength !== undefined && length < schema.minLength)
    bad(`should be at least ${schema.minLength} chars long`);
  if (schema.maxLength !== undefined && length > schema.maxLength)
    causes.push(fieldTooLong(field, schema.maxLength));
  if (schema.pattern !== undefined && patternOf(schema.pattern)?.test(value) === false)
    bad(`should match '${schema.pattern}'`);
  if (schema.format !== undefined && !hasFormat(schema.format, value))
    bad(`must be of type ${schema.format}: ${JSON.stringify(value)}`);
}

function checkList(schema: Schema, value: readonly unknown[], field: string, causes: Cause[]): void {
  const { items, minItems, maxItems } = schema;
  if (minItems !== undefined && value.length < minItems)
    causes.push(fieldInvalid(field, value.length, `${field} in body should have at least ${minItems} items`));
  if (maxItems !== undefined && value.length > maxItems)
    causes.push(fieldTooMany(field, value.length, maxItems));
  if (items) for (const [i, each] of value.entries()) check(items, each, `${field}[${i}]`, causes);
  const type = schema['x-kubernetes-list-type'];
  if (type !== 'set' && type !== 'map') return;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const seen = new Set<string>();
  for (const [i, each] of value.entries()) {
    const key = type === 'map' && isObject(each) ? keyOf(each, keys) : each;
    const text = JSON.stringify(key);
    if (seen.has(text)) causes.push(fieldDuplicate(`${field}[${i}]`, key));
    seen.add(text);
  }
}

function checkObject(schema: Schema, value: object, field: string, bad: Bad, causes: Cause[]): void {
  for (const key of schema.required ?? []) {
    if (!(key in value)) causes.push(fieldRequired(joinPath(field, key)));
  }
  const entries = Object.entries(value);
  const { minProperties, maxProperties } = schema;
  if (minProperties !== undefined && entries.length < minProperties)
    bad(`should have at least ${minProperties} properties`);
  if (maxProperties !== undefined && entries.length > maxProperties)
    causes.push(fieldTooMany(field, entries.length, maxProperties));
  for (const [key, each] of entries) {
    const known = schema.properties?.[key];
    if (field === '' && key === 'metadata') continue;
    if (known) check(known, each, joinPath(field, key), causes);
    else if (isObject(schema.additionalProperties))
      check(schema.additionalProperties, each, joinPath(field, key), causes);
  }
}

function checkCombinations(schema: Schema, value: unknown, field: string, bad: Bad, causes: Cause[]): void {
  const fits = (each: Schema) => validate(each, value, field).length === 0;
  for (const each of schema.allOf ?? []) check(each, value, field, causes);
  if (schema.anyOf && !schema.anyOf.some(fits)) bad('must validate at least one schema (anyOf)');
  if (schema.oneOf && schema.oneOf.filter(fits).length !== 1)
    bad('must validate one and only one schema (oneOf)');
  if (schema.not && fits(schema.not)) bad('must not validate the schema (not)');
}

function hasType(schema: Schema, value: unknown): boolean {
  if (value === null) return schema.nullable === true;
  if (schema['x-kubernetes-int-or-string']) return typeof value === 'string' || Number.isInteger(value);
  const { type } = schema;
  return type === undefined || type === typeOf(value) || (type === 'number' && typeof value === 'number');
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (Number.isInteger(value)) return 'integer';
  return value === null ? 'null' : typeof value;
}

const patterns = new Map<string, RegExp | undefined>();

/** Undefined where Go's expression is none in JavaScript, `(?i)` for one: such a pattern holds always. */
export function patternOf(pattern: string): RegExp | undefined {
  if (!patterns.has(pattern)) patterns.set(pattern, compiled(pattern));
  return patterns.get(pattern);
}

function compiled(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, 'u');
  } catch {
    return undefined;
  }
}
