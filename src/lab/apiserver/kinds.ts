// The kinds that the server knows: where each lives, how it is shown, what it does on a write.
import type { Resource } from '../../kube/kube-api.ts';
import type { ApiObject } from './api-object.ts';
import type { Schema } from './schema.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly priority: number;
  readonly value: (object: ApiObject) => unknown;
}

/** What a kind does besides being stored. `previous` is undefined on a create. Throws ApiError. */
export interface Strategy {
  prepare?(object: ApiObject, previous: ApiObject | undefined, unknownFields: string[]): ApiObject;
  prepareStatus?(object: ApiObject, previous: ApiObject): ApiObject;
  deleted?(object: ApiObject): void;
}

export interface Kind {
  readonly resource: Resource;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly hasStatus: boolean;
  readonly columns: readonly Column[];
  readonly strategy: Strategy;
  readonly schema?: Schema;
  /** Set where the objects are another resource's, shown in this kind's own form. */
  readonly storedAs?: string;
  readonly present?: (object: ApiObject) => ApiObject;
}

/** Storage's name for a resource. */
export function resourceId({ resource: { group, plural }, storedAs }: Kind): string {
  return storedAs ?? (group === '' ? plural : `${plural}.${group}`);
}

export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

/** A column that shows what a simple path such as `.spec.type` or `.status.conditions[?(@.type=="Ready")].status` names. */
export function pathColumn(name: string, type: string, path: string, priority = 0): Column {
  const steps = [
    ...path.matchAll(/\.([A-Za-z0-9_-]+)|\['?([^'\]?]+)'?\]|\[\?\(@\.(\w+)\s*==\s*["']([^"']*)["']\)\]/g),
  ];
  const value = (object: ApiObject) => {
    let at: unknown = object;
    for (const [, field, index, key, wanted] of steps) {
      const within = at as Record<string, unknown> | undefined; // JSON, walked by names that may be absent
      if (key !== undefined) at = Array.isArray(at) ? at.find((each) => each?.[key] === wanted) : undefined;
      else at = within?.[field ?? index ?? ''];
      if (at === undefined || at === null) return undefined;
    }
    if (type === 'date') return age(String(at));
    return typeof at === 'object' ? JSON.stringify(at) : at;
  };
  return { name, type, priority, value };
}

export const NAME_COLUMN: Column = {
  name: 'Name',
  type: 'string',
  priority: 0,
  value: ({ metadata }) => metadata.name,
};
export const AGE_COLUMN: Column = {
  name: 'Age',
  type: 'date',
  priority: 0,
  value: ({ metadata }) => age(metadata.creationTimestamp),
};

/** As kubectl writes it: 5s, 3m, 2h, 4d. */
export function age(timestamp: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(timestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
