// Server-side apply: who owns which field, conflicts, and fields that their owner no longer applies.
import { ApiError, type Cause } from './api-error.ts';
import type { ApiObject, FieldTree, Json, ManagedFields } from './api-object.ts';
import {
  differing,
  intersect,
  isEmpty,
  leaves,
  overlay,
  removeFields,
  subtract,
  treeOf,
  union,
} from './field-tree.ts';
import type { ListTypes } from './list-keys.ts';
import { timestamp } from './timestamp.ts';

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
  'deletionGracePeriodSeconds',
  'managedFields',
  'generateName',
  'selfLink',
]);

/** The live object with `applied` put over it, and its ownership. Throws ApiError 409 that lists the conflicts. */
export function apply(
  live: ApiObject,
  applied: ApiObject,
  writer: Writer,
  force: boolean,
  types: ListTypes,
  now: Date,
): ApiObject {
  const mine = fieldsOf(applied, types);
  const managed = live.metadata.managedFields ?? [];
  const before = managed.find((each) => isBy(each, writer))?.fieldsV1 ?? {};
  const others = managed.filter((each) => !isBy(each, writer));
  const contested = others
    .map((entry) => ({ entry, fields: differing(intersect(entry.fieldsV1, mine), live, applied, types) }))
    .filter(({ fields }) => !isEmpty(fields));
  if (contested.length > 0 && !force) throw conflicts(contested);

  // What this manager applied before, applies no longer, and nobody else owns is removed.
  const dropped = subtract(before, mine);
  const orphaned = others.reduce((fields, entry) => subtract(fields, entry.fieldsV1), dropped);
  const { apiVersion, kind, metadata, ...fields } = applied;
  const { labels, annotations, finalizers, ownerReferences } = metadata;
  const owned = JSON.parse(
    JSON.stringify({ ...fields, metadata: { labels, annotations, finalizers, ownerReferences } }),
  );
  const base = removeFields(live as unknown as Json, orphaned, types); // an ApiObject is JSON
  const merged = overlay(base, owned, '', types) as unknown as ApiObject; // an ApiObject with fields laid over it
  const kept = others
    .map((entry) => ({
      ...entry,
      fieldsV1: subtract(entry.fieldsV1, contested.find((each) => each.entry === entry)?.fields ?? {}),
    }))
    .filter((entry) => !isEmpty(entry.fieldsV1));
  return withManaged({ ...merged, apiVersion, kind }, [...kept, entryFor(writer, applied, mine, now)]);
}

/** Ownership after a plain write: what changed is the writer's now, but not what the server itself made of it. */
export function trackUpdate(
  before: ApiObject | undefined,
  given: ApiObject,
  after: ApiObject,
  writer: Writer,
  types: ListTypes,
  now: Date,
): ApiObject {
  const all = fieldsOf(after, types);
  const asked = intersect(fieldsOf(given, types), all);
  const changed = before ? differing(asked, before, after, types) : asked;
  const managed = (before?.metadata.managedFields ?? [])
    .map((each) => ({ ...each, fieldsV1: intersect(each.fieldsV1, all) }))
    .filter((each) => !isEmpty(each.fieldsV1));
  if (isEmpty(changed)) return withManaged(after, managed);
  const others = managed
    .filter((each) => !isBy(each, writer))
    .map((each) => ({ ...each, fieldsV1: subtract(each.fieldsV1, changed) }))
    .filter((each) => !isEmpty(each.fieldsV1));
  const mine = managed.find((each) => isBy(each, writer))?.fieldsV1 ?? {};
  return withManaged(after, [...others, entryFor(writer, after, union(mine, changed), now)]);
}

function withManaged(object: ApiObject, managedFields: ManagedFields[]): ApiObject {
  return { ...object, metadata: { ...object.metadata, managedFields } };
}

function isBy(entry: ManagedFields, { manager, operation, subresource }: Writer): boolean {
  return entry.manager === manager && entry.operation === operation && entry.subresource === subresource;
}

function entryFor(
  { manager, operation, subresource }: Writer,
  { apiVersion }: ApiObject,
  fieldsV1: FieldTree,
  now: Date,
): ManagedFields {
  return {
    manager,
    operation,
    apiVersion,
    time: timestamp(now),
    fieldsType: 'FieldsV1',
    fieldsV1,
    ...(subresource ? { subresource } : {}),
  };
}

/** In the words of structured-merge-diff's and fieldmanager's conflict errors. */
function conflicts(contested: readonly { entry: ManagedFields; fields: FieldTree }[]): ApiError {
  const found = contested.flatMap(({ entry, fields }) =>
    leaves(fields).map((field) => ({ field, manager: managerText(entry) })),
  );
  const causes: Cause[] = found.map(({ field, manager }) => ({
    reason: 'FieldManagerConflict',
    field,
    message: `conflict with ${manager}`,
  }));
  const managers = [...new Set(found.map(({ manager }) => manager))];
  const fieldsBy = (manager: string) =>
    found.filter((each) => each.manager === manager).map(({ field }) => field);
  const [first = ''] = managers;
  const single = found.length === 1;
  const text = single
    ? `conflict with ${first}: ${found[0]?.field}`
    : managers
        .map(
          (manager) =>
            `conflicts with ${manager}:\n${fieldsBy(manager)
              .map((field) => `- ${field}`)
              .join('\n')}`,
        )
        .join('\n');
  const noun = single ? 'conflict' : 'conflicts';
  return new ApiError(409, 'Conflict', `Apply failed with ${found.length} ${noun}: ${text}`, { causes });
}

function managerText({ manager, operation, subresource, apiVersion }: ManagedFields): string {
  if (operation === 'Apply') return JSON.stringify(manager);
  const within = subresource ? ` with subresource ${JSON.stringify(subresource)}` : '';
  return `${JSON.stringify(manager)}${within} using ${apiVersion}`;
}

function fieldsOf(object: ApiObject, types: ListTypes): FieldTree {
  const tree: FieldTree = {};
  for (const [name, value] of Object.entries(object)) {
    if (UNOWNED.has(name) || value === undefined) continue;
    if (name !== 'metadata') {
      tree[`f:${name}`] = treeOf(value, name, types);
      continue;
    }
    const owned = Object.entries(value).filter(
      ([field, each]) => !UNOWNED_METADATA.has(field) && each !== undefined,
    );
    if (owned.length > 0)
      tree['f:metadata'] = Object.fromEntries(
        owned.map(([field, each]) => [`f:${field}`, treeOf(each as Json, `metadata.${field}`, types)]),
      ); // metadata is JSON
  }
  return tree;
}
