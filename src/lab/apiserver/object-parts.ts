// The parts of an object that a write may touch, that its writer owns, and that count as a change.
import { type ApiObject, sameJson } from './api-object.ts';
import type { Kind } from './kinds.ts';

/** What of a given object its endpoint takes, and its writer owns: all but status, or on the status subresource that. */
export function writable(
  { hasStatus, schema }: Kind,
  given: ApiObject,
  subresource: string | undefined,
): ApiObject {
  const { apiVersion, kind, metadata, status, ...rest } = given;
  if (subresource !== 'status') return hasStatus ? { apiVersion, kind, metadata, ...rest } : given;
  const { labels: _, annotations: __, finalizers: ___, ownerReferences: ____, ...bare } = metadata;
  return {
    apiVersion,
    kind,
    metadata: schema ? bare : metadata,
    ...(status === undefined ? {} : { status }),
  };
}

/** Whether two objects say the same of what `metadata.generation` counts. */
export function sameContent(kind: Kind, a: ApiObject, b: ApiObject): boolean {
  return sameJson(contentOf(kind, a), contentOf(kind, b));
}

/** Whether a write changes nothing: of ownership, an apply alone may change something, and times never count. */
export function sameWrite(a: ApiObject, b: ApiObject, operation: 'Apply' | 'Update'): boolean {
  return sameJson(unmanaged(a, operation), unmanaged(b, operation));
}

function contentOf({ hasStatus }: Kind, { metadata: _, status, ...content }: ApiObject): unknown {
  return plain(hasStatus ? content : { ...content, status });
}

function unmanaged(
  { metadata: { managedFields, ...metadata }, ...rest }: ApiObject,
  operation: string,
): unknown {
  const owned = operation === 'Apply' ? (managedFields ?? []).map(({ time: _, ...entry }) => entry) : [];
  return plain({ ...rest, metadata, owned });
}

/** Without the fields that are undefined. */
function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}
