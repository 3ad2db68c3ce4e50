// What the server knows of a kind: where it lives, how it is shown, what it does on a write.
import type { Resource } from '../../kube/kube-api.ts';
import type { ApiObject } from './api-object.ts';
import type { Column } from './columns.ts';
import type { ListTypes } from './list-keys.ts';
import type { Schema } from './schema.ts';

/** What a kind does besides being stored. */
export interface Strategy {
  /**
   * The object as it will be stored; `previous` is undefined on a create. Fields that the kind does not know are
   * added to `unknownFields`. Changes nothing else, for the write may yet be a trial. Throws ApiError.
   */
  prepare?(object: ApiObject, previous: ApiObject | undefined, unknownFields: string[]): ApiObject;
  /** The same for a write to the status subresource. */
  prepareStatus?(object: ApiObject, previous: ApiObject, unknownFields: string[]): ApiObject;
  /** After the write: take and give back what the object holds. */
  stored?(object: ApiObject, previous: ApiObject | undefined): void;
  /** In place of removal at once: what to mark first. Undefined: nothing. */
  deleting?(object: ApiObject): ApiObject | undefined;
  deleted?(object: ApiObject): void;
}

export interface Kind {
  readonly resource: Resource;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** `kubectl get all` asks for these. */
  readonly categories: readonly string[];
  readonly hasStatus: boolean;
  /** Whether `metadata.generation` counts changes of the spec. */
  readonly hasGeneration: boolean;
  /** Whether an update may leave the version out. */
  readonly unconditionalUpdate: boolean;
  /** Whether an update of what does not exist creates it. */
  readonly createsOnUpdate: boolean;
  /** Whether a delete answers the object; else a Status. */
  readonly returnsDeleted: boolean;
  /** Field selectors beside metadata.name and metadata.namespace. */
  readonly selectableFields: readonly string[];
  readonly listTypes: ListTypes;
  readonly columns: readonly Column[];
  readonly strategy: Strategy;
  /** A custom resource's. */
  readonly schema?: Schema;
  /** A built-in kind's, where the server knows them: others are refused or dropped. */
  readonly fields?: Schema;
  /** Set where the objects are another resource's, read and written in this kind's own form. */
  readonly alias?: Alias;
}

export interface Alias {
  /** Storage's name for the other resource. */
  readonly of: string;
  readonly present: (stored: ApiObject) => ApiObject;
  readonly absorb: (given: ApiObject) => ApiObject;
}

/** Storage's name for a resource. */
export function resourceId({ resource: { group, plural }, alias }: Pick<Kind, 'resource' | 'alias'>): string {
  return alias?.of ?? (group === '' ? plural : `${plural}.${group}`);
}

/** The object in the kind's own form. */
export function presented({ alias, resource }: Kind, stored: ApiObject): ApiObject {
  if (alias) return alias.present(stored);
  // A custom resource of several versions is stored once and shown in the version that was asked for.
  const apiVersion = apiVersionOf(resource);
  return stored.apiVersion === apiVersion ? stored : { ...stored, apiVersion };
}

export function apiVersionOf({ group, version }: Pick<Resource, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`;
}
