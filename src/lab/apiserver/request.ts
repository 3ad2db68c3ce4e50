// What a request's path and headers say: which kind, namespace, name, subresource; who writes and how.
import type { IncomingMessage } from 'node:http';
import { load } from 'js-yaml';
import { ApiError, badRequest } from './api-error.ts';
import type { Json } from './api-object.ts';
import type { WriteOptions } from './registry.ts';

export interface Target {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** Undefined where the path names no resource. */
export function targetOf(path: string): Target | undefined {
  const match = /^\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))\/(.+)$/.exec(path);
  if (!match) return undefined;
  const [, core, group = '', version = core ?? '', rest = ''] = match;
  const parts = rest.split('/').map(decodeURIComponent);
  // /namespaces/NAME/PLURAL… lies in a namespace; /namespaces/NAME and /namespaces/NAME/status are the Namespace itself.
  const inNamespace =
    parts[0] === 'namespaces' &&
    parts.length > 2 &&
    !(parts.length === 3 && ['status', 'finalize'].includes(parts[2] ?? ''));
  const [plural = '', name, subresource] = inNamespace ? parts.slice(2) : parts;
  return { group, version, plural, namespace: inNamespace ? parts[1] : undefined, name, subresource };
}

/** A body may have this many bytes, as the real server allows. */
const BODY_LIMIT = 3 * 1024 * 1024;

/** JSON or YAML; undefined where there is none. */
export async function bodyOf(request: IncomingMessage): Promise<Json | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT)
      throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${BODY_LIMIT}`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text.trim() === '') return undefined;
  try {
    return (request.headers['content-type'] ?? '').includes('yaml') ? (load(text) as Json) : JSON.parse(text); // YAML's plain values are JSON
  } catch (error) {
    throw badRequest(`the object provided is unrecognized: ${(error as Error).message}`);
  }
}

export function writeOptionsOf(
  request: IncomingMessage,
  query: URLSearchParams,
  warn: (text: string) => void,
): WriteOptions {
  const agent = (request.headers['user-agent'] ?? 'unknown').split('/')[0];
  return {
    manager: query.get('fieldManager') || agent || 'unknown',
    dryRun: query.getAll('dryRun').includes('All'),
    fieldValidation: query.get('fieldValidation') || 'Warn',
    force: query.get('force') === 'true',
    warn,
  };
}
