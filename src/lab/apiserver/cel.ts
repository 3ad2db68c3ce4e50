// Rules in CEL (x-kubernetes-validations): those that speak of `self` with the standard functions. Kubernetes' own
// functions, transitions (`oldSelf`) and computed messages are not known here; whoever defines such a rule is told.
import { Environment } from '@marcbachmann/cel-js';
import type { Cause } from './api-error.ts';
import { isObject } from './api-object.ts';
import { fieldInvalid } from './field-causes.ts';
import { joinPath } from './list-keys.ts';
import type { Schema } from './schema.ts';

type Rule = NonNullable<Schema['x-kubernetes-validations']>[number];

type Compiled = (context: { readonly self: unknown }) => unknown;

const environment = new Environment().registerVariable('self', 'dyn');
const compiled = new Map<string, Compiled | undefined>();
const KNOWN = ['rule', 'message'];

/** Whether each rule is one that `ruleCauses` asks. */
export function areEvaluated(rules: readonly Rule[]): boolean {
  return rules.every(
    (rule) => Object.keys(rule).every((key) => KNOWN.includes(key)) && compile(rule.rule) !== undefined,
  );
}

/** What a value breaks of its schema's rules, in kube-apiserver's words. The value fits the rest of the schema. */
export function ruleCauses(schema: Schema, value: unknown, field: string): Cause[] {
  if (value === null || value === undefined) return [];
  const { properties, items, additionalProperties } = schema;
  const own = (schema['x-kubernetes-validations'] ?? [])
    .filter(({ rule }) => !holds(rule, value))
    .map(({ rule, message = `failed rule: ${rule}` }) => ruleCause(field, value, message));
  if (Array.isArray(value))
    return [...own, ...(items ? value.flatMap((each, i) => ruleCauses(items, each, `${field}[${i}]`)) : [])];
  if (!isObject(value)) return own;
  const within = Object.entries(value).flatMap(([key, each]) => {
    const known = properties?.[key] ?? (isObject(additionalProperties) ? additionalProperties : undefined);
    return known ? ruleCauses(known, each, joinPath(field, key)) : [];
  });
  return [...own, ...within];
}

/** What is no scalar is not repeated. */
function ruleCause(field: string, value: unknown, message: string): Cause {
  if (typeof value !== 'object') return fieldInvalid(field, value, message);
  return { reason: 'FieldValueInvalid', field, message: `Invalid value: ${message}` };
}

/** A rule that fails to evaluate counts as broken, as on the real server. One that is not known holds. */
function holds(rule: string, value: unknown): boolean {
  const evaluate = compile(rule);
  if (!evaluate) return true;
  try {
    return evaluate({ self: inCel(value) }) === true;
  } catch {
    return false;
  }
}

function compile(rule: string): Compiled | undefined {
  if (!compiled.has(rule)) compiled.set(rule, parse(rule));
  return compiled.get(rule);
}

function parse(rule: string): Compiled | undefined {
  try {
    const parsed = environment.parse(rule);
    const { valid, type } = parsed.check();
    return valid && type === 'bool' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** CEL's integers are bigints in this library. */
function inCel(value: unknown): unknown {
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(inCel);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inCel(each)]));
}
