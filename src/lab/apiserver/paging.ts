// Lists in pages (API concepts, "Retrieving large results sets in chunks"): all pages show one version.
import { ApiError, badRequest, expired } from './api-error.ts';
import { type ApiObject, isObject } from './api-object.ts';
import { storageKey } from './registry.ts';
import type { Storage } from './storage.ts';

export interface Page {
  readonly objects: readonly ApiObject[];
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
}

/** What a continue token says: which version is listed, and the key of the last object that was shown. */
interface Mark {
  readonly version: number;
  readonly after: string;
}

/** The page that the query asks for, of the objects that `selects`. Throws ApiError 400, 410 or 504. */
export function pageOf(
  storage: Storage,
  resource: string,
  query: URLSearchParams,
  selects: (object: ApiObject) => boolean,
): Page {
  const token = query.get('continue') ?? '';
  const mark = token === '' ? { version: versionOf(storage, query), after: '' } : markOf(token);
  const objects = listed(storage, resource, mark.version, token !== '').filter(
    (object) => keyOf(object) > mark.after && selects(object),
  );
  const limit = limitOf(query) || objects.length;
  const shown = objects.slice(0, limit);
  const last = shown.at(-1);
  const resourceVersion = String(mark.version);
  if (objects.length <= limit || !last) return { objects: shown, metadata: { resourceVersion } };
  const selected = query.get('labelSelector') || query.get('fieldSelector');
  const next: Mark = { version: mark.version, after: keyOf(last) };
  const metadata = {
    resourceVersion,
    continue: Buffer.from(JSON.stringify(next)).toString('base64url'),
    // With a selector the real server does not know how many are left.
    ...(selected ? {} : { remainingItemCount: objects.length - limit }),
  };
  return { objects: shown, metadata };
}

/** Throws ApiError 504 for a version that is yet to come. */
export function checkNotAhead(storage: Storage, version: number): void {
  if (version <= storage.version) return;
  const why = `Too large resource version: ${version}, current: ${storage.version}`;
  const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }];
  throw new ApiError(504, 'Timeout', why, { causes, retryAfterSeconds: 1 });
}

/** A version that a client names. Throws ApiError 400. */
export function parseVersion(text: string): number {
  const version = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(version))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be an unsigned integer`);
  return version;
}

/** Newest, unless the query wants one version exactly. */
function versionOf(storage: Storage, query: URLSearchParams): number {
  const text = query.get('resourceVersion') || '0';
  const version = parseVersion(text);
  checkNotAhead(storage, version);
  return query.get('resourceVersionMatch') === 'Exact' && version > 0 ? version : storage.version;
}

function listed(storage: Storage, resource: string, version: number, continued: boolean): ApiObject[] {
  try {
    return storage.list(resource, version);
  } catch (error) {
    if (!continued || !(error instanceof ApiError)) throw error;
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
    );
  }
}

function markOf(token: string): Mark {
  try {
    const mark: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (isObject(mark) && typeof mark.version === 'number' && typeof mark.after === 'string')
      return { version: mark.version, after: mark.after };
  } catch {
    // Told below, as every other token that is not ours.
  }
  throw badRequest('continue key is not valid');
}

function limitOf(query: URLSearchParams): number {
  const text = query.get('limit') || '0';
  if (!/^\d+$/.test(text))
    throw badRequest(`limit: Invalid value: ${JSON.stringify(text)}: must be a whole number`);
  return Number(text);
}

function keyOf({ metadata }: ApiObject): string {
  return storageKey(metadata.namespace, metadata.name);
}
