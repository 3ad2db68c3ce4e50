// Which lists are more than one value: maps of elements told apart by keys, and sets; and which objects are but one.
// By kind and path.
import type { Schema } from './schema.ts';

export type ListType =
  | { readonly kind: 'map'; readonly keys: readonly string[] }
  | { readonly kind: 'set' }
  /** Owned and replaced whole; lists are, unless they are said to be otherwise. */
  | { readonly kind: 'atomic' }
  /** The same for an object. */
  | { readonly kind: 'atomic map' };

/** What the list at `path` is, list indexes left out: `spec.ports`, `spec.containers.env`. */
export type ListTypes = (path: string) => ListType;

const ATOMIC: ListType = { kind: 'atomic' };
const ATOMIC_MAP: ListType = { kind: 'atomic map' };
const SET: ListType = { kind: 'set' };
const map = (...keys: string[]): ListType => ({ kind: 'map', keys });

/** Of every kind (apimachinery, meta/v1 types.go: +listType). */
const COMMON: Readonly<Record<string, ListType>> = {
  'metadata.finalizers': SET,
  'metadata.ownerReferences': map('uid'),
};

/** The built-in kinds' (k8s.io/api types.go: +listType, +listMapKey). The first key is also the strategic merge key. */
const BUILT_IN: Readonly<Record<string, Readonly<Record<string, ListType>>>> = {
  Service: {
    'spec.selector': ATOMIC_MAP,
    'spec.ports': map('port', 'protocol'),
    'status.conditions': map('type'),
  },
  Node: {
    'status.conditions': map('type'),
    'status.addresses': map('type'),
    'spec.podCIDRs': SET,
    'spec.taints': map('key'), // a strategic merge key only: server-side apply would replace the list
  },
  Pod: {
    'spec.containers': map('name'),
    'spec.containers.ports': map('containerPort', 'protocol'),
    'spec.containers.env': map('name'),
    'spec.containers.volumeMounts': map('mountPath'),
    'spec.initContainers': map('name'),
    'spec.volumes': map('name'),
    'spec.imagePullSecrets': map('name'),
    'status.conditions': map('type'),
    'status.podIPs': map('ip'),
  },
  Namespace: { 'status.conditions': map('type') },
  ServiceAccount: { secrets: map('name') },
  CustomResourceDefinition: { 'status.conditions': map('type') },
};

/** Defaults of keys that a client may leave out. */
const KEY_DEFAULTS: Readonly<Record<string, string>> = { protocol: 'TCP' };

export function builtInListTypes(kind: string): ListTypes {
  const own = BUILT_IN[kind] ?? {};
  return (path) => own[path] ?? COMMON[path] ?? ATOMIC;
}

/** By `x-kubernetes-list-type` and `x-kubernetes-list-map-keys` of a custom resource's schema. */
export function schemaListTypes(schema: Schema): ListTypes {
  const types = new Map<string, ListType>(Object.entries(COMMON));
  collect(schema, '', types);
  return (path) => types.get(path) ?? ATOMIC;
}

/** The values that tell an element of a map list from the others. */
export function keyOf(
  element: Readonly<Record<string, unknown>>,
  keys: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, element[key] ?? KEY_DEFAULTS[key] ?? null]));
}

export function joinPath(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function collect(schema: Schema, path: string, types: Map<string, ListType>): void {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (schema['x-kubernetes-list-type'] === 'map' && keys) types.set(path, { kind: 'map', keys });
  if (schema['x-kubernetes-list-type'] === 'set') types.set(path, SET);
  if (schema['x-kubernetes-map-type'] === 'atomic') types.set(path, ATOMIC_MAP);
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    collect(each, joinPath(path, name), types);
  if (schema.items) collect(schema.items, path, types);
}
