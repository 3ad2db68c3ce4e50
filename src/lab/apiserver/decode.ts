// What a server in Go makes of JSON for a type of its own: null is nothing, and what does not fit is no such object.
import { badRequest } from './api-error.ts';
import { isObject, type Json } from './api-object.ts';
import type { Kind } from './kinds.ts';
import { prune, type Schema, validate } from './schema.ts';

/**
 * The value at `path` of an object without fields that are none of its kind's; their paths are added to `unknown`.
 * Throws ApiError 400.
 */
export function decoded(
  { resource }: Kind,
  fields: Schema,
  value: Json,
  path: string,
  unknown: string[],
): Json {
  const pruned = prune(fields, withoutNulls(value), path, unknown) as Json; // JSON in, JSON out
  const [first] = validate(fields, pruned, path);
  if (first) {
    const { kind, version } = resource;
    throw badRequest(
      `${kind} in version "${version}" cannot be handled as a ${kind}: ${first.field}: ${first.message}`,
    );
  }
  return pruned;
}

function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const present = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
  return Object.fromEntries(present.map(([name, each]) => [name, withoutNulls(each)]));
}
