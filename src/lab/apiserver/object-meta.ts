// What every kind's metadata must be, and what of it only the server sets (apimachinery, validation.ValidateObjectMeta).
import { randomInt, randomUUID } from 'node:crypto';
import { badRequest, type Cause, invalid } from './api-error.ts';
import { type ApiObject, isObject, type Metadata } from './api-object.ts';
import { METADATA_FIELDS } from './built-in-fields.ts';
import { decoded } from './decode.ts';
import { fieldForbidden, fieldInvalid, fieldRequired } from './field-causes.ts';
import { apiVersionOf, type Kind } from './kinds.ts';
import { timestamp } from './timestamp.ts';

const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
/** apimachinery: TotalAnnotationSizeLimitB. Bytes. */
const ANNOTATIONS_LIMIT = 256 * 1024;

/** The body as an object of this kind. Throws ApiError 400 where it is of another, or metadata is malformed. */
export function objectFrom(kind: Kind, body: unknown): ApiObject {
  if (!isObject(body))
    throw badRequest('the object provided is unrecognized (must be a JSON or YAML object)');
  const apiVersion = apiVersionOf(kind.resource);
  for (const field of ['kind', 'apiVersion'] as const) {
    if (kind.schema === undefined || body[field] !== undefined) continue;
    const [type, name] = [kind.resource.kind, field === 'kind' ? 'Kind' : 'apiVersion'];
    throw badRequest(
      `the object provided is unrecognized (must be of type ${type}): Object '${name}' is missing in '${JSON.stringify(body)}'`,
    );
  }
  const { kind: given = kind.resource.kind, apiVersion: version = apiVersion } = body;
  if (given !== kind.resource.kind)
    throw badRequest(`${given} in version "${version}" cannot be handled as a ${kind.resource.kind}`);
  if (version !== apiVersion) {
    throw badRequest(
      `the API version in the data (${version}) does not match the expected API version (${apiVersion})`,
    );
  }
  const metadata = decoded(kind, METADATA_FIELDS, body.metadata ?? {}, 'metadata', []);
  return {
    ...body,
    apiVersion,
    kind: kind.resource.kind,
    metadata: metadata as unknown as Metadata, // completed by whoever stores it
  };
}

/** Throws ApiError 400 where the body names another object than the URL does. */
export function checkPlaceOf({ metadata }: ApiObject, namespace: string | undefined, name: string): void {
  if (metadata.name && metadata.name !== name)
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
}

/** Metadata of a new object. `namespace` is undefined for kinds that lie in none. */
export function freshMetadata(
  kind: Kind,
  given: Metadata,
  namespace: string | undefined,
  now: Date,
): Metadata {
  if (given.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  const { resourceVersion: _, deletionTimestamp: __, generation: ___, namespace: ____, ...metadata } = given;
  const name = given.name || (given.generateName ? given.generateName + suffix() : '');
  return {
    ...metadata,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: randomUUID(),
    resourceVersion: '',
    ...(kind.hasGeneration ? { generation: 1 } : {}),
    creationTimestamp: timestamp(now),
  };
}

/** What a client cannot change comes from the live object. */
export function updatedMetadata(given: Metadata, live: Metadata): Metadata {
  const { generation, deletionTimestamp, deletionGracePeriodSeconds, namespace, generateName } = live;
  const {
    generation: _,
    deletionTimestamp: __,
    deletionGracePeriodSeconds: ___,
    namespace: ____,
    ...metadata
  } = given;
  return {
    ...metadata,
    name: live.name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(generateName === undefined ? {} : { generateName }),
    uid: live.uid,
    resourceVersion: live.resourceVersion,
    creationTimestamp: live.creationTimestamp,
    ...(generation === undefined ? {} : { generation }),
    ...(deletionTimestamp === undefined
      ? {}
      : { deletionTimestamp, deletionGracePeriodSeconds: deletionGracePeriodSeconds ?? 0 }),
  };
}

/** Throws ApiError 422 with all that is wrong. */
export function checkMetadata({ resource }: Kind, metadata: Metadata, live: Metadata | undefined): void {
  const { name, labels = {}, annotations = {}, finalizers = [] } = metadata;
  const causes: Cause[] = [];
  if (name === '') causes.push(fieldRequired('metadata.name', 'name or generateName is required'));
  else if (!SUBDOMAIN.test(name)) {
    const why =
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    causes.push(fieldInvalid('metadata.name', name, why));
  }
  for (const [key, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(key))
      causes.push(
        fieldInvalid(
          'metadata.labels',
          key,
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
    if (!LABEL_VALUE.test(value))
      causes.push(
        fieldInvalid(
          'metadata.labels',
          value,
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
  }
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
    if (!LABEL_KEY.test(key.toLowerCase()))
      causes.push(
        fieldInvalid(
          'metadata.annotations',
          key,
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
  }
  if (size > ANNOTATIONS_LIMIT)
    causes.push({
      reason: 'FieldValueTooLong',
      field: 'metadata.annotations',
      message: `Too long: may not be more than ${ANNOTATIONS_LIMIT} bytes`,
    });
  const added = live?.deletionTimestamp ? finalizers.filter((each) => !live.finalizers?.includes(each)) : [];
  if (added.length > 0) {
    const list = added.map((each) => JSON.stringify(each)).join(', ');
    const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
    causes.push(fieldForbidden('metadata.finalizers', why));
  }
  if (causes.length > 0) throw invalid(resource.kind, resource.group, name, causes);
}

/** As apimachinery's names: five letters and digits without vowels. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;

function suffix(): string {
  return Array.from({ length: SUFFIX_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}
