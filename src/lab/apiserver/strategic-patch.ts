// Kubernetes' strategic merge patch, which `kubectl patch`, `edit` and `apply` send for built-in kinds.
import { badRequest } from './api-error.ts';
import { isObject, type Json, type JsonObject, sameJson } from './api-object.ts';
import { joinPath, type ListType, type ListTypes } from './list-keys.ts';

/** Strategic merge: as a merge patch, but elements of map lists are merged by their first key; `$patch: delete` removes. */
export function strategicPatch(target: Json | undefined, patch: Json, types: ListTypes, path = ''): Json {
  if (Array.isArray(patch)) return mergeList(Array.isArray(target) ? target : [], patch, types, path);
  if (!isObject(patch)) return patch;
  if (patch.$patch === 'replace') {
    const { $patch: _, ...rest } = patch;
    return rest;
  }
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    if (value === null) delete result[key];
    else result[key] = strategicPatch(result[key], value, types, joinPath(path, key));
  }
  for (const [key, value] of Object.entries(patch)) {
    const [directive, field = ''] = key.split('/');
    const list = result[field];
    if (!Array.isArray(list) || !Array.isArray(value)) continue;
    if (directive === '$deleteFromPrimitiveList')
      result[field] = list.filter((each) => !value.includes(each));
    if (directive === '$setElementOrder') result[field] = ordered(list, value, types(joinPath(path, field)));
  }
  return result;
}

function mergeList(target: readonly Json[], patch: readonly Json[], types: ListTypes, path: string): Json[] {
  const type = types(path);
  if (type.kind === 'set') return [...new Set([...target, ...patch])];
  const key = type.kind === 'map' ? type.keys[0] : undefined;
  if (key === undefined) return [...patch];
  if (patch.some((each) => isObject(each) && each.$patch === 'replace'))
    return patch.filter((each) => isObject(each) && each.$patch === undefined);
  let result = [...target];
  for (const element of patch) {
    if (!isObject(element)) throw badRequest(`an element of ${path} is no object`);
    const wanted = element[key];
    if (wanted === undefined)
      throw badRequest(`map: ${JSON.stringify(element)} does not contain declared merge key: ${key}`);
    const index = result.findIndex((each) => isObject(each) && sameJson(each[key], wanted));
    if (element.$patch === 'delete') result = result.filter((_, i) => i !== index);
    else if (index >= 0) result[index] = strategicPatch(result[index], element, types, path);
    else result.push(strategicPatch(undefined, element, types, path));
  }
  return result;
}

/** The elements that `order` names in its order, in the places that they have among the others. */
function ordered(list: readonly Json[], order: readonly Json[], type: ListType): Json[] {
  const key = type.kind === 'map' ? type.keys[0] : undefined;
  const nameOf = (each: Json | undefined) => (key !== undefined && isObject(each) ? each[key] : each);
  const rankOf = (each: Json) => order.findIndex((named) => sameJson(nameOf(named), nameOf(each)));
  const named = list.filter((each) => rankOf(each) >= 0).sort((a, b) => rankOf(a) - rankOf(b));
  return list.map((each) => (rankOf(each) >= 0 ? (named.shift() ?? each) : each));
}
