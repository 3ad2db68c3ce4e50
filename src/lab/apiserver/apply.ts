// Server-side apply: who owns which field, conflicts, and fields that their owner no longer applies.
import { ApiError, type Cause } from './api-error.ts';
import {
  type ApiObject,
  type FieldTree,
  isObject,
  type Json,
  type JsonObject,
  type ManagedFields,
  sameJson,
} from './api-object.ts';
import { LIST_KEYS } from './patch.ts';

/** Keys of the elements of the list named `field`; undefined: the list is one value. */
export type ListKeys = (field: string) => readonly string[] | undefined;

export interface Writer {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly subresource: string | undefined;
}

/** Never owned: the server's own. */
const UNOWNED = new Set(['apiVersion', 'kind']);
const UNOWNED_METADATA = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'managedFields',
  'generateName',
  'selfLink',
]);

export function builtInListKeys(field: string): readonly string[] | undefined {
  return LIST_KEYS[field];
}

/** The live object with `applied` put over it, and its ownership. Throws ApiError 409 that lists the conflicts. */
export function apply(
  live: ApiObject,
  applied: ApiObject,
  writer: Writer,
  force: boolean,
  keys: ListKeys,
): ApiObject {
  const mine = fieldsOf(applied, keys);
  const managed = live.metadata.managedFields ?? [];
  const before = managed.find((each) => isBy(each, writer))?.fieldsV1 ?? {};
  const others = managed.filter((each) => !isBy(each, writer));
  const contested = others
    .map((entry) => ({ entry, fields: differing(intersect(entry.fieldsV1, mine), live, applied, keys) }))
    .filter(({ fields }) => Object.keys(fields).length > 0);
  if (contested.length > 0 && !force) throw conflicts(contested);

  const dropped = subtract(before, mine);
  const orphaned = others.reduce((fields, entry) => subtract(fields, entry.fieldsV1), dropped);
  const merged = overlay(
    removeFields(live as unknown as Json, orphaned, keys),
    applied as unknown as Json,
    '',
    keys,
  ); // ApiObject is JSON
  const kept = others
    .map((entry) => ({
      ...entry,
      fieldsV1: subtract(entry.fieldsV1, contested.find((each) => each.entry === entry)?.fields ?? {}),
    }))
    .filter((entry) => Object.keys(entry.fieldsV1).length > 0);
  const object = merged as unknown as ApiObject; // an ApiObject with another's fields laid over it
  return withManaged({ ...object, metadata: { ...live.metadata, ...objectMetadata(merged) } }, [
    ...kept,
    entryFor(writer, live, mine),
  ]);
}

/** Ownership after a plain write: what changed is the writer's now. */
export function trackUpdate(
  before: ApiObject | undefined,
  after: ApiObject,
  writer: Writer,
  keys: ListKeys,
): ApiObject {
  const all = fieldsOf(after, keys);
  const changed = before ? differing(all, before, after, keys) : all;
  const managed = before?.metadata.managedFields ?? [];
  if (Object.keys(changed).length === 0) return withManaged(after, managed);
  const others = managed
    .filter((each) => !isBy(each, writer))
    .map((each) => ({ ...each, fieldsV1: intersect(subtract(each.fieldsV1, changed), all) }))
    .filter((each) => Object.keys(each.fieldsV1).length > 0);
  const mine = managed.find((each) => isBy(each, writer))?.fieldsV1 ?? {};
  return withManaged(after, [...others, entryFor(writer, after, union(intersect(mine, all), changed))]);
}

function withManaged(object: ApiObject, managedFields: ManagedFields[]): ApiObject {
  return { ...object, metadata: { ...object.metadata, managedFields } };
}

function objectMetadata(value: Json): JsonObject {
  const metadata = isObject(value) ? value.metadata : undefined;
  return isObject(metadata)
    ? {
        labels: metadata.labels ?? {},
        annotations: metadata.annotations ?? {},
        finalizers: metadata.finalizers ?? [],
      }
    : {};
}

function isBy(entry: ManagedFields, { manager, operation, subresource }: Writer): boolean {
  return entry.manager === manager && entry.operation === operation && entry.subresource === subresource;
}

function entryFor(
  { manager, operation, subresource }: Writer,
  { apiVersion }: ApiObject,
  fieldsV1: FieldTree,
): ManagedFields {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    manager,
    operation,
    apiVersion,
    time,
    fieldsType: 'FieldsV1',
    fieldsV1,
    ...(subresource ? { subresource } : {}),
  };
}

function conflicts(contested: readonly { entry: ManagedFields; fields: FieldTree }[]): ApiError {
  const causes: Cause[] = contested.flatMap(({ entry, fields }) =>
    leaves(fields).map((field) => ({
      reason: 'FieldManagerConflict',
      field,
      message: `conflict with "${entry.manager}"`,
    })),
  );
  const noun = causes.length === 1 ? 'conflict' : 'conflicts';
  const list = causes.map(({ field, message }) => `${message}: ${field}`).join('\n- ');
  return new ApiError(409, 'Conflict', `Apply failed with ${causes.length} ${noun}: ${list}`, { causes });
}

// ---- field trees ----

function fieldsOf(object: ApiObject, keys: ListKeys): FieldTree {
  const tree: FieldTree = {};
  for (const [name, value] of Object.entries(object)) {
    if (UNOWNED.has(name) || value === undefined) continue;
    if (name !== 'metadata') {
      tree[`f:${name}`] = treeOf(value, name, keys);
      continue;
    }
    const owned = Object.entries(value).filter(
      ([field, each]) => !UNOWNED_METADATA.has(field) && each !== undefined,
    );
    if (owned.length > 0)
      tree['f:metadata'] = Object.fromEntries(
        owned.map(([field, each]) => [`f:${field}`, treeOf(each as Json, field, keys)]),
      ); // metadata is JSON
  }
  return tree;
}

function treeOf(value: Json, field: string, keys: ListKeys): FieldTree {
  if (isObject(value))
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [`f:${name}`, treeOf(each, name, keys)]),
    );
  const by = Array.isArray(value) ? keys(field) : undefined;
  if (!Array.isArray(value) || !by || !value.every(isObject)) return {};
  return Object.fromEntries(value.map((each) => [stepOf(each, by), { '.': {}, ...treeOf(each, '', keys) }]));
}

function stepOf(element: Json, by: readonly string[]): string {
  const pairs = by.map((key) => [
    key,
    isObject(element) ? (element[key] ?? (key === 'protocol' ? 'TCP' : null)) : null,
  ]);
  return `k:${JSON.stringify(Object.fromEntries(pairs))}`;
}

function isLeaf(tree: FieldTree): boolean {
  return Object.keys(tree).length === 0;
}

/** What both name; a leaf on either side stands for all below it. */
function intersect(a: FieldTree, b: FieldTree): FieldTree {
  const result: FieldTree = {};
  for (const [step, below] of Object.entries(a)) {
    const other = b[step];
    if (!other) continue;
    if (isLeaf(below) || isLeaf(other)) result[step] = isLeaf(below) ? other : below;
    else {
      const both = intersect(below, other);
      if (!isLeaf(both)) result[step] = both;
    }
  }
  return result;
}

function subtract(a: FieldTree, b: FieldTree): FieldTree {
  const result: FieldTree = {};
  for (const [step, below] of Object.entries(a)) {
    const other = b[step];
    if (!other) result[step] = below;
    else if (!isLeaf(below) && !isLeaf(other)) {
      const rest = subtract(below, other);
      if (!isLeaf(rest)) result[step] = rest;
    }
  }
  return result;
}

function union(a: FieldTree, b: FieldTree): FieldTree {
  const result: FieldTree = { ...a };
  for (const [step, below] of Object.entries(b)) result[step] = union(result[step] ?? {}, below);
  return result;
}

function leaves(tree: FieldTree, path = ''): string[] {
  return Object.entries(tree).flatMap(([step, below]) => {
    const at =
      step === '.' ? path : step.startsWith('k:') ? `${path}[${step.slice(2)}]` : `${path}.${step.slice(2)}`;
    return isLeaf(below) ? [at] : leaves(below, at);
  });
}

// ---- values by field trees ----

/** The fields of `tree` whose values differ in the two objects. */
function differing(tree: FieldTree, a: unknown, b: unknown, keys: ListKeys, field = ''): FieldTree {
  const result: FieldTree = {};
  for (const [step, below] of Object.entries(tree)) {
    if (step === '.') continue;
    const [left, right] = [at(a, step, field, keys), at(b, step, field, keys)];
    if (sameJson(left, right)) continue;
    const rest = isLeaf(below) ? below : differing(below, left, right, keys, step.slice(2));
    if (isLeaf(below) || !isLeaf(rest)) result[step] = rest;
  }
  return result;
}

function at(value: unknown, step: string, field: string, keys: ListKeys): Json | undefined {
  if (step.startsWith('f:')) return isObject(value) ? value[step.slice(2)] : undefined;
  const by = keys(field);
  return Array.isArray(value) && by ? value.find((each) => stepOf(each, by) === step) : undefined;
}

function removeFields(value: Json, tree: FieldTree, keys: ListKeys, field = ''): Json {
  if (Array.isArray(value)) {
    const by = keys(field);
    if (!by) return value;
    return value.flatMap((each) => {
      const below = tree[stepOf(each, by)];
      if (!below) return [each];
      return '.' in below ? [] : [removeFields(each, below, keys)];
    });
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [name, each] of Object.entries(value)) {
    const below = tree[`f:${name}`];
    if (!below) result[name] = each;
    else if (!isLeaf(below)) result[name] = removeFields(each, below, keys, name);
  }
  return result;
}

function overlay(live: Json | undefined, applied: Json, field: string, keys: ListKeys): Json {
  if (isObject(applied)) {
    const result: JsonObject = isObject(live) ? { ...live } : {};
    for (const [name, each] of Object.entries(applied))
      result[name] = overlay(result[name], each, name, keys);
    return result;
  }
  const by = Array.isArray(applied) ? keys(field) : undefined;
  if (!Array.isArray(applied) || !by || !Array.isArray(live)) return applied;
  const result = [...live];
  for (const each of applied) {
    const index = result.findIndex((known) => stepOf(known, by) === stepOf(each, by));
    if (index >= 0) result[index] = overlay(result[index], each, '', keys);
    else result.push(each);
  }
  return result;
}
