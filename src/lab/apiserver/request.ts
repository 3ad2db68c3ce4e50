// What a request's path and headers say: which kind, namespace, name, subresource; who writes and how.
import type { IncomingMessage } from 'node:http';
import { load } from 'js-yaml';
import { ApiError, badRequest } from './api-error.ts';
import { isObject, type Json } from './api-object.ts';
import { fromProtobuf } from './protobuf.ts';
import type { DeleteOptions, WriteOptions } from './registry.ts';

export interface Target {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** Undefined where the path names no resource. Throws ApiError 400 where it is malformed. */
export function targetOf(path: string): Target | undefined {
  const match = /^\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))\/(.+)$/.exec(path);
  if (!match) return undefined;
  const [, core, group = '', version = core ?? '', rest = ''] = match;
  const parts = rest.split('/').map(decoded);
  // /namespaces/NAME/PLURAL… lies in a namespace; /namespaces/NAME and /namespaces/NAME/status are the Namespace itself.
  const inNamespace =
    parts[0] === 'namespaces' &&
    parts.length > 2 &&
    !(parts.length === 3 && ['status', 'finalize'].includes(parts[2] ?? ''));
  const [plural = '', name, subresource] = inNamespace ? parts.slice(2) : parts;
  return { group, version, plural, namespace: inNamespace ? parts[1] : undefined, name, subresource };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badRequest(`the path holds a malformed escape: ${text}`);
  }
}

/** A body may have this many bytes, as the real server allows. */
const BODY_LIMIT = 3 * 1024 * 1024;

/** JSON, YAML or protobuf; undefined where there is none. Throws ApiError. */
export async function bodyOf(request: IncomingMessage): Promise<Json | undefined> {
  const contentType = request.headers['content-type'] ?? '';
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT)
      throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${BODY_LIMIT}`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if (body.length > 0 && contentType.includes('protobuf')) return fromProtobuf(body);
  const text = body.toString('utf8');
  if (text.trim() === '') return undefined;
  try {
    return contentType.includes('yaml') ? (load(text) as Json) : JSON.parse(text); // YAML's plain values are JSON
  } catch (error) {
    throw badRequest(`the object provided is unrecognized: ${(error as Error).message}`);
  }
}

export function writeOptionsOf(
  request: IncomingMessage,
  query: URLSearchParams,
  warn: (text: string) => void,
): WriteOptions {
  // Only an apply must name its manager.
  const applies = request.headers['content-type']?.includes('apply-patch') ?? false;
  const agent = request.headers['user-agent']?.split('/')[0] || 'unknown';
  return {
    manager: query.get('fieldManager') || (applies ? '' : agent),
    dryRun: query.getAll('dryRun').includes('All'),
    fieldValidation: query.get('fieldValidation') || 'Warn',
    force: query.get('force') === 'true',
    warn,
  };
}

/** Preconditions come in the body, the rest there or in the query (meta/v1 DeleteOptions). */
export function deleteOptionsOf(query: URLSearchParams, body: Json | undefined): DeleteOptions {
  const given = isObject(body) ? body : {};
  const { uid, resourceVersion } = isObject(given.preconditions) ? given.preconditions : {};
  const dryRun = [...query.getAll('dryRun'), ...(Array.isArray(given.dryRun) ? given.dryRun : [])];
  return {
    dryRun: dryRun.includes('All'),
    uid: typeof uid === 'string' ? uid : undefined,
    resourceVersion: typeof resourceVersion === 'string' ? resourceVersion : undefined,
  };
}
