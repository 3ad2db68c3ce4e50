// Patches: JSON merge (RFC 7386), JSON (RFC 6902), and Kubernetes' strategic merge for the lists that it knows.
import { badRequest, invalid } from './api-error.ts';
import { isObject, type Json, type JsonObject, sameJson } from './api-object.ts';

/** RFC 7386 */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** By which fields the elements of a list are told apart; by field name, as the built-in kinds have them. */
export const LIST_KEYS: Readonly<Record<string, readonly string[]>> = {
  conditions: ['type'],
  ports: ['port', 'protocol'],
  containers: ['name'],
  env: ['name'],
  addresses: ['type'],
  taints: ['key'],
  ownerReferences: ['uid'],
};

/** Strategic merge: as a merge patch, but elements of known lists are merged by their first key; `$patch: delete` removes. */
export function strategicPatch(target: Json | undefined, patch: Json, field = ''): Json {
  if (Array.isArray(patch)) return mergeList(Array.isArray(target) ? target : [], patch, field);
  if (!isObject(patch)) return patch;
  if (patch.$patch === 'replace') return without(patch, '$patch');
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    if (value === null) delete result[key];
    else if (key === 'finalizers') result[key] = union(result[key], value);
    else result[key] = strategicPatch(result[key], value, key);
  }
  for (const [key, value] of Object.entries(patch)) {
    const field = key.startsWith('$deleteFromPrimitiveList/') ? key.slice(key.indexOf('/') + 1) : undefined;
    const list = field === undefined ? undefined : result[field];
    if (field !== undefined && Array.isArray(list) && Array.isArray(value))
      result[field] = list.filter((each) => !value.includes(each));
  }
  return result;
}

function mergeList(target: readonly Json[], patch: readonly Json[], field: string): Json[] {
  const key = LIST_KEYS[field]?.[0];
  if (key === undefined || !patch.every(isObject)) return [...patch];
  let result = [...target];
  for (const element of patch) {
    if (!isObject(element)) continue;
    const at = result.findIndex((each) => isObject(each) && sameJson(each[key], element[key]));
    if (element.$patch === 'delete') result = result.filter((_, i) => i !== at);
    else if (element.$patch === 'replace')
      return patch.filter((each) => isObject(each) && each.$patch === undefined);
    else if (at >= 0) result[at] = strategicPatch(result[at], element);
    else result.push(element);
  }
  return result;
}

function union(a: Json | undefined, b: Json): Json {
  return Array.isArray(a) && Array.isArray(b) ? [...new Set([...a, ...b])] : b;
}

function without(object: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== key));
}

/** RFC 6902: add, remove, replace, test, move, copy. */
export function jsonPatch(target: Json, operations: unknown): Json {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is a list of operations');
  return operations.reduce<Json>(
    (value, operation) =>
      applyOperation(value, operation as { op: string; path: string; from?: string; value?: Json }), // checked by `op` and `path` below
    structuredClone(target),
  );
}

function applyOperation(
  root: Json,
  { op, path, from, value }: { op: string; path: string; from?: string; value?: Json },
): Json {
  const steps = pointer(path ?? '');
  switch (op) {
    case 'add':
      return change(root, steps, value ?? null, true);
    case 'replace':
      read(root, steps);
      return change(root, steps, value ?? null, false);
    case 'remove':
      return change(root, steps, undefined, false);
    case 'test':
      if (!sameJson(read(root, steps), value))
        throw invalid('', '', '', [{ reason: 'FieldValueInvalid', field: path, message: 'test failed' }]);
      return root;
    case 'copy':
      return change(root, steps, structuredClone(read(root, pointer(from ?? ''))), true);
    case 'move': {
      const moved = read(root, pointer(from ?? ''));
      return change(change(root, pointer(from ?? ''), undefined, false), steps, moved, true);
    }
    default:
      throw badRequest(`unknown JSON patch operation "${op}"`);
  }
}

function pointer(path: string): string[] {
  if (path !== '' && !path.startsWith('/'))
    throw badRequest(`JSON pointer "${path}" does not start with "/"`);
  return path
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function read(root: Json, steps: readonly string[]): Json {
  let at: Json | undefined = root;
  for (const step of steps) at = Array.isArray(at) ? at[Number(step)] : isObject(at) ? at[step] : undefined;
  if (at === undefined)
    throw invalid('', '', '', [
      { reason: 'FieldValueInvalid', field: steps.join('.'), message: 'the path does not exist' },
    ]);
  return at;
}

/** A copy with the value at `steps` set, inserted (lists, when `insert`) or, where `value` is undefined, removed. */
function change(root: Json, steps: readonly string[], value: Json | undefined, insert: boolean): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return value ?? null;
  if (Array.isArray(root)) {
    const index = step === '-' ? root.length : Number(step);
    const list = [...root];
    if (rest.length > 0) list[index] = change(read(root, [step]), rest, value, insert);
    else if (value === undefined) list.splice(index, 1);
    else list.splice(index, insert ? 0 : 1, value);
    return list;
  }
  if (!isObject(root))
    throw invalid('', '', '', [
      { reason: 'FieldValueInvalid', field: step, message: 'the path does not exist' },
    ]);
  if (rest.length === 0 && value === undefined) {
    read(root, [step]);
    return without(root, step);
  }
  return {
    ...root,
    [step]: rest.length > 0 ? change(read(root, [step]), rest, value, insert) : (value ?? null),
  };
}
