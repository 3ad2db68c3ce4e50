// The verbs over storage: what every kind shares on create, update, patch and delete.
import type { Clock } from '../../clock/clock.ts';
import { alreadyExists, badRequest, conflict, forbidden, invalid, notFound } from './api-error.ts';
import type { ApiObject, Json } from './api-object.ts';
import { apply, trackUpdate, type Writer } from './apply.ts';
import { decoded } from './decode.ts';
import { fieldInvalid, fieldRequired } from './field-causes.ts';
import { type Kind, presented, resourceId } from './kinds.ts';
import { checkMetadata, checkPlaceOf, freshMetadata, objectFrom, updatedMetadata } from './object-meta.ts';
import { sameContent, sameWrite, writable } from './object-parts.ts';
import { patched } from './patch-types.ts';
import type { Storage } from './storage.ts';
import { timestamp } from './timestamp.ts';

export interface Place {
  readonly kind: Kind;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly subresource?: string | undefined;
}

export interface WriteOptions {
  readonly manager: string;
  readonly dryRun: boolean;
  /** Strict, Warn or Ignore: what becomes of unknown fields. */
  readonly fieldValidation: string;
  /** Server-side apply: take fields over from other managers. */
  readonly force: boolean;
  /** Receives warnings for the client, such as unknown fields. */
  readonly warn: (text: string) => void;
}

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

export class Registry {
  readonly storage: Storage;
  readonly #clock: Clock;

  constructor(storage: Storage, clock: Clock) {
    this.storage = storage;
    this.#clock = clock;
  }

  exists({ kind, namespace, name }: Place): boolean {
    return this.storage.get(resourceId(kind), storageKey(namespace, name)) !== undefined;
  }

  get(place: Place): ApiObject {
    return presented(place.kind, this.#live(place));
  }

  create(kind: Kind, namespace: string | undefined, body: unknown, options: WriteOptions): ApiObject {
    const given = objectFrom(kind, body);
    this.#checkNamespace(kind, namespace, given);
    const metadata = freshMetadata(kind, given.metadata, namespace, this.#clock.wallTime());
    return this.#insert(kind, { ...given, metadata }, given, options);
  }

  update(place: Place, body: unknown, options: WriteOptions): ApiObject {
    const { kind, name, namespace } = place;
    const given = objectFrom(kind, body);
    checkPlaceOf(given, namespace, name);
    if (kind.createsOnUpdate && !place.subresource && !this.exists(place) && !given.metadata.resourceVersion)
      return this.create(kind, namespace, { ...given, metadata: { ...given.metadata, name } }, options);
    const live = this.#live(place);
    if (!kind.unconditionalUpdate && !given.metadata.resourceVersion) {
      const { plural, group } = kind.resource;
      const why = 'must be specified for an update';
      throw invalid(plural, group, name, [fieldInvalid('metadata.resourceVersion', 0, why)]);
    }
    return this.#write(place, live, given, options, 'Update');
  }

  patch(place: Place, contentType: string, body: Json, options: WriteOptions): ApiObject {
    if (contentType === 'application/apply-patch+yaml') return this.#apply(place, body, options);
    const { kind } = place;
    const stored = this.#live(place);
    const target = presented(kind, stored) as unknown as Json; // an ApiObject is JSON
    const given = objectFrom(kind, patched(kind, contentType, target, body));
    checkPlaceOf(given, place.namespace, place.name);
    const { kind: kindName, group } = kind.resource;
    const { uid } = given.metadata;
    if (uid !== stored.metadata.uid)
      throw invalid(kindName, group, place.name, [fieldInvalid('metadata.uid', uid, 'field is immutable')]);
    return this.#write(place, stored, given, options, 'Update');
  }

  /** Marks for deletion while finalizers are there; removes otherwise. Answers the object as it was marked or removed. */
  delete(place: Place, { dryRun, uid, resourceVersion }: DeleteOptions): ApiObject {
    const { kind, name } = place;
    const live = this.#live(place);
    const { group, plural } = kind.resource;
    const { metadata } = live;
    const differs = (field: string, wanted: string, is: string) =>
      conflict(
        plural,
        group,
        name,
        `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${is}`,
      );
    if (uid && uid !== metadata.uid) throw differs('UID', uid, metadata.uid);
    if (resourceVersion && resourceVersion !== metadata.resourceVersion)
      throw differs('ResourceVersion', resourceVersion, metadata.resourceVersion);
    const pending = kind.strategy.deleting?.(live);
    if (dryRun) return presented(kind, live);
    if (!pending && (metadata.finalizers ?? []).length === 0)
      return presented(kind, this.#remove(place, live));
    if (metadata.deletionTimestamp) return presented(kind, live);
    const marked = {
      ...(pending ?? live),
      metadata: {
        ...metadata,
        deletionTimestamp: timestamp(this.#clock.wallTime()),
        deletionGracePeriodSeconds: 0,
        ...(metadata.generation === undefined ? {} : { generation: metadata.generation + 1 }),
      },
    };
    return presented(kind, this.#put(place, marked, live));
  }

  /** Removes a namespace that is on its way out once nothing is in it. */
  finishNamespace(kind: Kind, name: string): void {
    const namespace = this.storage.get('namespaces', name);
    const waits = (namespace?.metadata.finalizers ?? []).length > 0 || this.storage.holdsAnyIn(name);
    if (namespace?.metadata.deletionTimestamp && !waits) this.#remove({ kind, name }, namespace);
  }

  #live({ kind, namespace, name }: Place): ApiObject {
    const object = this.storage.get(resourceId(kind), storageKey(namespace, name));
    if (!object) throw notFound(kind.resource.plural, kind.resource.group, name);
    return object;
  }

  #remove({ kind, namespace, name }: Place, live: ApiObject): ApiObject {
    const removed = this.storage.delete(resourceId(kind), storageKey(namespace, name)) ?? live;
    kind.strategy.deleted?.(live);
    return removed;
  }

  #put({ kind, namespace, name }: Place, object: ApiObject, previous: ApiObject | undefined): ApiObject {
    const stored = this.storage.put(resourceId(kind), storageKey(namespace, name), object);
    kind.strategy.stored?.(stored, previous);
    return stored;
  }

  #insert(kind: Kind, fresh: ApiObject, given: ApiObject, options: WriteOptions): ApiObject {
    const { metadata } = fresh;
    const { group, plural } = kind.resource;
    checkMetadata(kind, metadata, undefined);
    const place = { kind, namespace: metadata.namespace, name: metadata.name };
    if (this.exists(place)) throw alreadyExists(plural, group, metadata.name);
    const { status: _, ...withoutStatus } = fresh;
    const own = kind.hasStatus && kind.schema ? { ...withoutStatus, metadata } : fresh;
    const prepared = this.#prepare(kind, own as ApiObject, undefined, options); // what rest leaves of an ApiObject
    const managed = metadata.managedFields
      ? prepared
      : trackUpdate(
          undefined,
          writable(kind, given, undefined),
          prepared,
          writerOf(options, 'Update'),
          kind.listTypes,
          this.#clock.wallTime(),
        );
    const object = kind.alias ? kind.alias.absorb(managed) : managed;
    return presented(kind, options.dryRun ? object : this.#put(place, object, undefined));
  }

  #apply(place: Place, body: Json, options: WriteOptions): ApiObject {
    const { kind, namespace, name, subresource } = place;
    const { group, plural } = kind.resource;
    const applied = writable(kind, objectFrom(kind, body), subresource);
    checkPlaceOf(applied, namespace, name);
    if (applied.metadata.managedFields) throw badRequest('metadata.managedFields must be nil');
    if (options.manager === '')
      throw invalid('PatchOptions', 'meta.k8s.io', '', [
        fieldRequired('fieldManager', 'is required for apply patch'),
      ]);
    const writer = writerOf(options, 'Apply', subresource);
    const now = this.#clock.wallTime();
    if (this.exists(place)) {
      const live = this.#live(place);
      const merged = apply(presented(kind, live), applied, writer, options.force, kind.listTypes, now);
      const { resourceVersion, uid } = applied.metadata;
      const asked = { ...(resourceVersion ? { resourceVersion } : {}), ...(uid ? { uid } : {}) };
      return this.#write(
        place,
        live,
        { ...merged, metadata: { ...merged.metadata, ...asked } },
        options,
        'Apply',
      );
    }
    if (subresource) throw notFound(plural, group, name);
    this.#checkNamespace(kind, namespace, applied);
    const { apiVersion, kind: kindName } = applied;
    // A version is no precondition where there is no object.
    const wanted = { ...applied.metadata, name, resourceVersion: '' };
    const metadata = freshMetadata(kind, wanted, namespace, now);
    const bare = { apiVersion, kind: kindName, metadata: { ...metadata, managedFields: [] } };
    const owned = apply(bare, applied, writer, true, kind.listTypes, now);
    return this.#insert(kind, owned, applied, options);
  }

  #write(
    place: Place,
    live: ApiObject,
    given: ApiObject,
    options: WriteOptions,
    operation: 'Apply' | 'Update',
  ): ApiObject {
    const { kind, name, subresource } = place;
    const { group, plural } = kind.resource;
    const { resourceVersion, uid } = given.metadata;
    if (uid && uid !== live.metadata.uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid}`;
      throw conflict(plural, group, name, why);
    }
    if (resourceVersion && resourceVersion !== live.metadata.resourceVersion)
      throw conflict(plural, group, name);
    const onStatus = subresource === 'status';
    // A custom resource's status subresource leaves all metadata as it is; the built-in kinds' do not.
    const keepsMetadata = onStatus && kind.schema !== undefined;
    const metadata = keepsMetadata
      ? {
          ...live.metadata,
          ...(given.metadata.managedFields ? { managedFields: given.metadata.managedFields } : {}),
        }
      : updatedMetadata(given.metadata, live.metadata);
    checkMetadata(kind, metadata, live.metadata);
    const shown = presented(kind, live);
    const status = onStatus || !kind.hasStatus ? given.status : shown.status;
    const { status: _, ...content } = onStatus ? shown : given;
    const asked = { ...content, metadata, ...(status === undefined ? {} : { status }) } as ApiObject; // all but status
    let object = this.#prepare(kind, asked, shown, options, onStatus);
    if (kind.hasGeneration && !sameContent(kind, object, shown))
      object = {
        ...object,
        metadata: { ...object.metadata, generation: (live.metadata.generation ?? 0) + 1 },
      };
    if (operation === 'Update') {
      const writer = writerOf(options, operation, subresource);
      object = trackUpdate(shown, asked, object, writer, kind.listTypes, this.#clock.wallTime());
    }
    // A write that changes nothing makes no version (the times of ownership aside).
    if (sameWrite(object, shown, operation)) return shown;
    if (options.dryRun) return object;
    const stored = kind.alias ? kind.alias.absorb(object) : object;
    if (metadata.deletionTimestamp && (metadata.finalizers ?? []).length === 0 && !kind.strategy.deleting)
      return presented(kind, this.#remove(place, stored));
    return presented(kind, this.#put(place, stored, live));
  }

  #prepare(
    kind: Kind,
    object: ApiObject,
    previous: ApiObject | undefined,
    { fieldValidation, warn }: WriteOptions,
    onStatus = false,
  ): ApiObject {
    const unknown: string[] = [];
    const { strategy, fields } = kind;
    const json = object as unknown as Json; // as every ApiObject is
    const given = fields ? (decoded(kind, fields, json, '', unknown) as unknown as ApiObject) : object;
    const prepared =
      onStatus && previous
        ? strategy.prepareStatus?.(given, previous, unknown)
        : strategy.prepare?.(given, previous, unknown);
    if (unknown.length > 0 && fieldValidation === 'Strict') {
      const { kind: name, version } = kind.resource;
      const list = unknown.map((field) => `unknown field "${field}"`).join(', ');
      throw badRequest(
        `${name} in version "${version}" cannot be handled as a ${name}: strict decoding error: ${list}`,
      );
    }
    if (fieldValidation !== 'Ignore') for (const field of unknown) warn(`unknown field "${field}"`);
    return prepared ?? given;
  }

  #checkNamespace({ resource }: Kind, namespace: string | undefined, { metadata }: ApiObject): void {
    const { namespaced, plural, group } = resource;
    if (!namespaced) return;
    if (namespace === undefined) throw badRequest('an empty namespace may not be set during creation');
    checkPlaceOf({ apiVersion: '', kind: '', metadata: { ...metadata, name: '' } }, namespace, '');
    const found = this.storage.get('namespaces', namespace);
    if (!found) throw notFound('namespaces', '', namespace);
    if (found.metadata.deletionTimestamp) {
      const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
      throw forbidden(plural, group, metadata.name ?? '', why);
    }
  }
}

export function storageKey(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function writerOf({ manager }: WriteOptions, operation: Writer['operation'], subresource?: string): Writer {
  return { manager, operation, subresource };
}
