// The verbs over storage: what every kind shares on create, update, patch and delete.
import { randomBytes, randomUUID } from 'node:crypto';
import { ApiError, alreadyExists, badRequest, conflict, invalid, notFound } from './api-error.ts';
import { type ApiObject, isObject, type Json, sameJson } from './api-object.ts';
import { apply, builtInListKeys, type ListKeys, trackUpdate, type Writer } from './apply.ts';
import { apiVersionOf, type Kind, resourceId } from './kinds.ts';
import { jsonPatch, mergePatch, strategicPatch } from './patch.ts';
import type { Schema } from './schema.ts';
import type { Storage } from './storage.ts';

export interface Place {
  readonly kind: Kind;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly subresource?: string | undefined;
}

export interface WriteOptions {
  readonly manager: string;
  readonly dryRun: boolean;
  readonly fieldValidation: string;
  readonly force: boolean;
  /** Receives warnings for the client, such as unknown fields. */
  readonly warn: (text: string) => void;
}

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export class Registry {
  readonly storage: Storage;
  readonly kinds = new Map<string, Kind>();

  constructor(storage: Storage) {
    this.storage = storage;
  }

  get({ kind, namespace, name }: Place): ApiObject {
    const object = this.storage.get(resourceId(kind), storageKey(namespace, name));
    if (!object) throw notFound(kind.resource.plural, kind.resource.group, name);
    return object;
  }

  create(kind: Kind, namespace: string | undefined, body: unknown, options: WriteOptions): ApiObject {
    const given = this.#checked(kind, body);
    const { group, plural } = kind.resource;
    const generated = given.metadata.generateName
      ? `${given.metadata.generateName}${randomBytes(4).toString('hex').slice(0, 5)}`
      : undefined;
    const name = given.metadata.name ?? generated;
    if (!name)
      throw invalid(kind.resource.kind, group, '', [
        {
          reason: 'FieldValueRequired',
          field: 'metadata.name',
          message: 'Required value: name or generateName is required',
        },
      ]);
    const place = { kind, namespace, name };
    this.#checkPlace(place, given);
    const key = storageKey(namespace, name);
    if (this.storage.get(resourceId(kind), key)) throw alreadyExists(plural, group, name);
    const { resourceVersion: _, deletionTimestamp: __, ...metadata } = given.metadata;
    const fresh: ApiObject = {
      ...given,
      metadata: {
        ...metadata,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        uid: randomUUID(),
        creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
        generation: 1,
        resourceVersion: '',
      },
    };
    if (kind.hasStatus && kind.schema) delete fresh.status;
    const prepared = this.#prepare(kind, fresh, undefined, options);
    const object = trackUpdate(undefined, prepared, writerOf(options, 'Update', undefined), listKeysOf(kind));
    if (options.dryRun) {
      kind.strategy.deleted?.(object);
      return object;
    }
    return this.storage.put(resourceId(kind), key, object);
  }

  update(place: Place, body: unknown, options: WriteOptions): ApiObject {
    const live = this.get(place);
    const given = this.#checked(place.kind, body);
    this.#checkPlace(place, given);
    return this.#write(place, live, given, options, 'Update');
  }

  patch(place: Place, contentType: string, body: Json, options: WriteOptions): ApiObject {
    if (contentType === 'application/apply-patch+yaml') return this.#apply(place, body, options);
    const live = this.get(place);
    const target = live as unknown as Json; // an ApiObject is JSON
    const patched =
      contentType === 'application/json-patch+json'
        ? jsonPatch(target, body)
        : contentType === 'application/strategic-merge-patch+json' && !place.kind.schema
          ? strategicPatch(target, body)
          : contentType === 'application/merge-patch+json'
            ? mergePatch(target, body)
            : undefined;
    if (patched === undefined)
      throw new ApiError(
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format - ${contentType}`,
      );
    // A patch that does not name a version is for whatever version there is.
    const object = this.#checked(place.kind, patched);
    return this.#write(place, live, object, options, 'Update');
  }

  /** Marks for deletion while finalizers are there; removes otherwise. */
  delete(
    place: Place,
    options: { dryRun: boolean; preconditions?: { uid?: string; resourceVersion?: string } },
  ): ApiObject {
    const live = this.get(place);
    const { uid, resourceVersion } = options.preconditions ?? {};
    const { group, plural } = place.kind.resource;
    if (
      (uid && uid !== live.metadata.uid) ||
      (resourceVersion && resourceVersion !== live.metadata.resourceVersion)
    ) {
      throw conflict(plural, group, place.name);
    }
    if (options.dryRun) return live;
    if ((live.metadata.finalizers ?? []).length > 0) {
      if (live.metadata.deletionTimestamp) return live;
      const deletionTimestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
      const marked = {
        ...live,
        metadata: { ...live.metadata, deletionTimestamp, deletionGracePeriodSeconds: 0 },
      };
      return this.storage.put(resourceId(place.kind), storageKey(place.namespace, place.name), marked);
    }
    return this.#remove(place, live);
  }

  #remove({ kind, namespace, name }: Place, live: ApiObject): ApiObject {
    kind.strategy.deleted?.(live);
    return this.storage.delete(resourceId(kind), storageKey(namespace, name)) ?? live;
  }

  #apply(place: Place, body: Json, options: WriteOptions): ApiObject {
    const applied = this.#checked(place.kind, body);
    const live = this.storage.get(resourceId(place.kind), storageKey(place.namespace, place.name));
    const writer = writerOf(options, 'Apply', place.subresource);
    if (!live) {
      if (place.subresource)
        throw notFound(place.kind.resource.plural, place.kind.resource.group, place.name);
      const {
        metadata: { managedFields: _, ...metadata },
        ...rest
      } = applied;
      const created = this.create(
        place.kind,
        place.namespace,
        { ...rest, metadata: { ...metadata, name: place.name } },
        { ...options, dryRun: true },
      );
      const bare = { ...created, metadata: { ...created.metadata, managedFields: [] } };
      const owned = apply(
        bare,
        { ...applied, metadata: { ...applied.metadata, name: place.name } },
        writer,
        true,
        listKeysOf(place.kind),
      );
      const prepared = this.#prepare(place.kind, owned, undefined, options);
      if (options.dryRun) return prepared;
      return this.storage.put(resourceId(place.kind), storageKey(place.namespace, place.name), prepared);
    }
    const merged = apply(live, applied, writer, options.force, listKeysOf(place.kind));
    return this.#write(place, live, merged, options, 'Apply');
  }

  #write(
    place: Place,
    live: ApiObject,
    given: ApiObject,
    options: WriteOptions,
    operation: 'Apply' | 'Update',
  ): ApiObject {
    const { kind, subresource } = place;
    const { group, plural } = kind.resource;
    const asked = given.metadata.resourceVersion;
    if (asked && asked !== live.metadata.resourceVersion) throw conflict(plural, group, place.name);
    if (given.metadata.uid && given.metadata.uid !== live.metadata.uid)
      throw conflict(plural, group, place.name);
    const metadata = { ...given.metadata, ...fixedMetadata(live) };
    let object: ApiObject;
    if (subresource === 'status') {
      object = { ...live, status: given.status, metadata };
      object = kind.schema
        ? this.#prepare(kind, object, live, options)
        : (kind.strategy.prepareStatus?.(object, live) ?? object);
    } else {
      object = { ...given, metadata };
      if (kind.hasStatus) object.status = live.status;
      object = this.#prepare(kind, object, live, options);
      const { metadata: _, status: __, ...content } = object;
      const { metadata: ___, status: ____, ...before } = live;
      if (!sameJson(withoutUndefined(content), withoutUndefined(before)))
        object.metadata.generation = (live.metadata.generation ?? 1) + 1;
    }
    if (operation === 'Update')
      object = trackUpdate(live, object, writerOf(options, operation, subresource), listKeysOf(kind));
    if (options.dryRun) return object;
    // A write that changes nothing makes no version (ownership's times aside).
    if (sameJson(unmanaged(object), unmanaged(live))) return live;
    if (object.metadata.deletionTimestamp && (object.metadata.finalizers ?? []).length === 0)
      return this.#remove(place, object);
    return this.storage.put(resourceId(kind), storageKey(place.namespace, place.name), object);
  }

  #prepare(
    kind: Kind,
    object: ApiObject,
    previous: ApiObject | undefined,
    { fieldValidation, warn }: WriteOptions,
  ): ApiObject {
    const unknown: string[] = [];
    const prepared = kind.strategy.prepare?.(object, previous, unknown) ?? object;
    if (unknown.length > 0 && fieldValidation === 'Strict') {
      const list = unknown.map((field) => `unknown field "${field}"`).join(', ');
      throw badRequest(
        `${kind.resource.kind} in version "${kind.resource.version}" cannot be handled as a ${kind.resource.kind}: strict decoding error: ${list}`,
      );
    }
    if (fieldValidation !== 'Ignore') for (const field of unknown) warn(`unknown field "${field}"`);
    return prepared;
  }

  #checked(kind: Kind, body: unknown): ApiObject {
    if (!isObject(body)) throw badRequest('the request body is no object');
    const apiVersion = apiVersionOf(kind.resource);
    const { kind: given = kind.resource.kind, apiVersion: version = apiVersion } = body;
    if (given !== kind.resource.kind || version !== apiVersion) {
      throw badRequest(
        `the object provided is unrecognized (must be of type ${kind.resource.kind}, ${apiVersion}, not ${given}, ${version})`,
      );
    }
    const metadata = isObject(body.metadata) ? body.metadata : {};
    return {
      ...body,
      apiVersion,
      kind: kind.resource.kind,
      metadata: metadata as unknown as ApiObject['metadata'],
    }; // completed by whoever stores it
  }

  #checkPlace({ kind, namespace, name }: Place, { metadata }: ApiObject): void {
    const { group, plural, kind: kindName } = kind.resource;
    if (metadata.name && metadata.name !== name)
      throw badRequest(
        `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
      );
    if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    if (!NAME.test(name)) {
      throw invalid(kindName, group, name, [
        {
          reason: 'FieldValueInvalid',
          field: 'metadata.name',
          message: `Invalid value: ${JSON.stringify(name)}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
        },
      ]);
    }
    if (namespace !== undefined && !this.storage.get('namespaces', namespace))
      throw notFound('namespaces', '', namespace);
    if (kind.resource.namespaced && namespace === undefined)
      throw badRequest(`an empty namespace may not be set during creation of ${plural}`);
  }
}

export function storageKey(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function writerOf(
  { manager }: WriteOptions,
  operation: 'Apply' | 'Update',
  subresource: string | undefined,
): Writer {
  return { manager, operation, subresource };
}

/** What a client cannot change. */
function fixedMetadata({
  metadata,
}: ApiObject): Pick<ApiObject['metadata'], 'uid' | 'name' | 'creationTimestamp' | 'resourceVersion'> {
  const { uid, name, namespace, creationTimestamp, generation, deletionTimestamp, resourceVersion } =
    metadata;
  return JSON.parse(
    JSON.stringify({
      uid,
      name,
      namespace,
      creationTimestamp,
      generation,
      deletionTimestamp,
      resourceVersion,
    }),
  );
}

function unmanaged({ metadata: { managedFields: _, ...metadata }, ...rest }: ApiObject): unknown {
  return withoutUndefined({ ...rest, metadata });
}

function withoutUndefined(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Lists of custom resources have their keys in the schema, by the field's name. */
function listKeysOf({ schema }: Kind): ListKeys {
  if (!schema) return builtInListKeys;
  const keys = new Map<string, readonly string[]>();
  collectKeys(schema, '', keys);
  return (field) => keys.get(field);
}

function collectKeys(schema: Schema, field: string, keys: Map<string, readonly string[]>): void {
  const listKeys = schema['x-kubernetes-list-map-keys'];
  if (schema['x-kubernetes-list-type'] === 'map' && listKeys) keys.set(field, listKeys);
  for (const [name, each] of Object.entries(schema.properties ?? {})) collectKeys(each, name, keys);
  if (schema.items) collectKeys(schema.items, field, keys);
}
