// Sets of fields as managedFields hold them (FieldsV1): which of an object's fields are meant, and their values.
import { type FieldTree, isObject, type Json, type JsonObject, sameJson } from './api-object.ts';
import { joinPath, keyOf, type ListTypes } from './list-keys.ts';

/** All fields below `value`: `f:` a field, `k:` an element by its keys, `v:` an element of a set, `.` the element itself. */
export function treeOf(value: Json, path: string, types: ListTypes): FieldTree {
  if (isObject(value)) {
    if (types(path).kind === 'atomic map') return {};
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [`f:${name}`, treeOf(each, joinPath(path, name), types)]),
    );
  }
  if (!Array.isArray(value)) return {};
  const type = types(path);
  if (type.kind === 'atomic') return {};
  const steps = value.map((each) => [
    stepOf(each, path, types),
    type.kind === 'map' ? { '.': {}, ...treeOf(each, path, types) } : {},
  ]);
  return Object.fromEntries(steps);
}

/** How an element of the list at `path` is named. */
function stepOf(element: Json, path: string, types: ListTypes): string {
  const type = types(path);
  return type.kind === 'map' && isObject(element)
    ? `k:${JSON.stringify(keyOf(element, type.keys))}`
    : `v:${JSON.stringify(element)}`;
}

export function isEmpty(tree: FieldTree): boolean {
  return Object.keys(tree).length === 0;
}

/** Whether the field itself is meant, beside what is below it: a leaf is, and what has a `.`. */
function isMember(tree: FieldTree): boolean {
  return isEmpty(tree) || '.' in tree;
}

/** A field that is meant itself or not, with what is meant below it; undefined: nothing at all. */
function node(member: boolean, below: FieldTree): FieldTree | undefined {
  if (isEmpty(below)) return member ? {} : undefined;
  return member ? { '.': {}, ...below } : below;
}

/** The steps below, without the `.`. */
function steps(tree: FieldTree): [string, FieldTree][] {
  return Object.entries(tree).filter(([step]) => step !== '.');
}

/** What both mean. */
export function intersect(a: FieldTree, b: FieldTree): FieldTree {
  return combined(steps(a), (step, below) => {
    const other = b[step];
    return other && node(isMember(below) && isMember(other), intersect(below, other));
  });
}

/** What `a` means and `b` does not. */
export function subtract(a: FieldTree, b: FieldTree): FieldTree {
  return combined(steps(a), (step, below) => {
    const other = b[step];
    return other ? node(isMember(below) && !isMember(other), subtract(below, other)) : below;
  });
}

export function union(a: FieldTree, b: FieldTree): FieldTree {
  const added = combined(steps(b), (step, below) => {
    const own = a[step];
    return own ? node(isMember(own) || isMember(below), union(own, below)) : below;
  });
  const { '.': _, ...own } = a;
  return { ...own, ...added };
}

function combined(
  entries: readonly [string, FieldTree][],
  combine: (step: string, below: FieldTree) => FieldTree | undefined,
): FieldTree {
  const result: FieldTree = {};
  for (const [step, below] of entries) {
    const tree = combine(step, below);
    if (tree) result[step] = tree;
  }
  return result;
}

/** Each leaf as the server writes paths in conflicts: `.spec.ports[port=80,protocol="TCP"].targetPort`. */
export function leaves(tree: FieldTree, path = ''): string[] {
  return Object.entries(tree).flatMap(([step, below]) => {
    const at = step === '.' ? path : path + written(step);
    return isEmpty(below) ? [at] : leaves(below, at);
  });
}

function written(step: string): string {
  const text = step.slice(2);
  if (step.startsWith('f:')) return `.${text}`;
  if (step.startsWith('v:')) return `[=${text}]`;
  const keys: Record<string, unknown> = JSON.parse(text);
  return `[${Object.entries(keys)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(',')}]`;
}

/** The fields of `tree` whose values differ in the two objects. */
export function differing(tree: FieldTree, a: unknown, b: unknown, types: ListTypes, path = ''): FieldTree {
  return combined(steps(tree), (step, below) => {
    const [left, right] = [at(a, step, path, types), at(b, step, path, types)];
    if (sameJson(left, right)) return undefined;
    const next = nextPath(path, step);
    // Of what has parts of its own, only its being there is a value.
    const itself = isMember(below) && !(hasParts(left, next, types) && hasParts(right, next, types));
    return node(itself, differing(below, left, right, types, next));
  });
}

function nextPath(path: string, step: string): string {
  return step.startsWith('f:') ? joinPath(path, step.slice(2)) : path;
}

function hasParts(value: Json | undefined, path: string, types: ListTypes): boolean {
  const { kind } = types(path);
  return isObject(value) ? kind !== 'atomic map' : Array.isArray(value) && kind !== 'atomic';
}

function at(value: unknown, step: string, path: string, types: ListTypes): Json | undefined {
  if (step.startsWith('f:')) return isObject(value) ? value[step.slice(2)] : undefined;
  return Array.isArray(value) ? value.find((each) => stepOf(each, path, types) === step) : undefined;
}

/**
 * The value without the fields of `tree`. An element of a list that is meant itself goes whole; an object or list that
 * has parts goes when none is left.
 */
export function removeFields(value: Json, tree: FieldTree, types: ListTypes, path = ''): Json {
  if (Array.isArray(value)) {
    return value.flatMap((each) => {
      const below = tree[stepOf(each, path, types)];
      if (!below) return [each];
      return isMember(below) ? [] : [removeFields(each, below, types, path)];
    });
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [name, each] of Object.entries(value)) {
    const below = tree[`f:${name}`];
    const next = joinPath(path, name);
    if (!below) result[name] = each;
    else if (hasParts(each, next, types)) {
      const rest = removeFields(each, below, types, next);
      if (!isMember(below) || Object.keys(rest as object).length > 0) result[name] = rest;
    } else if (!isMember(below)) result[name] = each;
  }
  return result;
}

/** `applied` put over `live`: objects, map lists and sets are merged, everything else replaced. */
export function overlay(live: Json | undefined, applied: Json, path: string, types: ListTypes): Json {
  if (isObject(applied)) {
    if (types(path).kind === 'atomic map') return applied;
    const result: JsonObject = isObject(live) ? { ...live } : {};
    for (const [name, each] of Object.entries(applied))
      result[name] = overlay(result[name], each, joinPath(path, name), types);
    return result;
  }
  if (!Array.isArray(applied) || !Array.isArray(live) || types(path).kind === 'atomic') return applied;
  const result = [...live];
  for (const each of applied) {
    const index = result.findIndex((known) => stepOf(known, path, types) === stepOf(each, path, types));
    if (index >= 0) result[index] = overlay(result[index], each, path, types);
    else result.push(each);
  }
  return result;
}
