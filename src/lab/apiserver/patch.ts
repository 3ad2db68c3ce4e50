// Patches by the RFCs: JSON merge (7386) and JSON (6902).
import { ApiError, badRequest } from './api-error.ts';
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

function without(object: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== key));
}

/** RFC 6902: add, remove, replace, test, move, copy. */
export function jsonPatch(target: Json, operations: unknown): Json {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is a list of operations');
  return operations.reduce<Json>((value, operation: unknown) => {
    if (!isObject(operation)) throw badRequest('an operation of a JSON patch is an object');
    return applyOperation(value, operation as unknown as Operation); // its fields are checked where they are used
  }, structuredClone(target));
}

interface Operation {
  readonly op: string;
  readonly path?: string;
  readonly from?: string;
  readonly value?: Json;
}

function applyOperation(root: Json, { op, path, from, value }: Operation): Json {
  const steps = pointer(path);
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
        throw unprocessable(`testing value ${path} failed: test failed`);
      return root;
    case 'copy':
      return change(root, steps, structuredClone(read(root, pointer(from))), true);
    case 'move': {
      const moved = read(root, pointer(from));
      return change(change(root, pointer(from), undefined, false), steps, moved, true);
    }
    default:
      throw badRequest(`unknown JSON patch operation "${op}"`);
  }
}

function pointer(path: unknown = ''): string[] {
  if (typeof path !== 'string' || (path !== '' && !path.startsWith('/')))
    throw badRequest(`JSON pointer "${path}" does not start with "/"`);
  return path
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function read(root: Json, steps: readonly string[]): Json {
  let at: Json | undefined = root;
  for (const step of steps) at = Array.isArray(at) ? at[Number(step)] : isObject(at) ? at[step] : undefined;
  if (at === undefined) throw unprocessable(`path /${steps.join('/')} does not exist: missing value`);
  return at;
}

/** A copy with the value at `steps` set, inserted (lists, when `insert`) or, where `value` is undefined, removed. */
function change(root: Json, steps: readonly string[], value: Json | undefined, insert: boolean): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return value ?? null;
  if (Array.isArray(root)) {
    const index = step === '-' ? root.length : Number(step);
    const last = insert && rest.length === 0 ? root.length : root.length - 1;
    if (!Number.isInteger(index) || index < 0 || index > last)
      throw unprocessable(`invalid index ${step}: out of bounds`);
    const list = [...root];
    if (rest.length > 0) list[index] = change(read(root, [step]), rest, value, insert);
    else if (value === undefined) list.splice(index, 1);
    else list.splice(index, insert ? 0 : 1, value);
    return list;
  }
  if (!isObject(root)) throw unprocessable(`path /${steps.join('/')} does not exist: missing value`);
  if (rest.length === 0 && value === undefined) {
    read(root, [step]);
    return without(root, step);
  }
  return {
    ...root,
    [step]: rest.length > 0 ? change(read(root, [step]), rest, value, insert) : (value ?? null),
  };
}

function unprocessable(message: string): ApiError {
  return new ApiError(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${message}`,
  );
}
