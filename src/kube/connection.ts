// KubeApi over HTTP: requests as the API server's REST protocol has them, with bounded waiting everywhere.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { type Credentials, loadCredentials } from './credentials.ts';
import {
  type KubeApi,
  KubeError,
  type ListOptions,
  type ListPage,
  type ObjectName,
  type PatchOptions,
  pathOf,
  type Resource,
  type WatchEvent,
  type WatchOptions,
} from './kube-api.ts';
import type { KubeObject } from './objects.ts';

/** A list of 500 objects may take a loaded server seconds; longer, and the connection is as good as dead. */
const ANSWER_TIMEOUT = 30_000;
/** The server ends a watch after timeoutSeconds; this long after it we do. Milliseconds. */
const WATCH_GRACE = 5_000;

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: object;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the headers of the answer. */
  readonly timeout?: number;
}

/** Reads the credentials and returns the API. Throws KubeconfigError; connects only when it is called. */
export async function connectKube(kubeconfig: string | undefined): Promise<KubeApi> {
  return new Connection(await loadCredentials(kubeconfig));
}

class Connection implements KubeApi {
  readonly #credentials: Credentials;

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<ListPage<T>> {
    const { signal, ...query } = options;
    const list = await this.#json<ListBody<T>>({
      method: 'GET',
      path: pathOf(resource, {}),
      query: { ...query },
      signal,
    });
    const { resourceVersion, continue: next } = list.metadata;
    return { items: list.items ?? [], resourceVersion, ...(next ? { continue: next } : {}) };
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>> {
    const { signal, ...rest } = options;
    const query = { ...rest, watch: true, allowWatchBookmarks: true };
    const overdue = AbortSignal.timeout(options.timeoutSeconds * 1000 + WATCH_GRACE);
    const response = await this.#send({
      method: 'GET',
      path: pathOf(resource, {}),
      query,
      signal: AbortSignal.any([signal, overdue]),
    });
    try {
      for await (const line of lines(response)) yield watchEvent<T>(line);
    } catch (error) {
      if (overdue.aborted)
        throw new KubeError(0, 'Silent', 'the watch outlived its time; the connection is dead');
      throw broken(error);
    } finally {
      response.destroy();
    }
  }

  get<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<T> {
    return this.#json({ method: 'GET', path: pathOf(resource, name) });
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const { namespace } = object.metadata;
    const path = pathOf(resource, namespace === undefined ? {} : { namespace });
    return this.#json({ method: 'POST', path, body: object, contentType: 'application/json' });
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    body: object,
    options: PatchOptions,
  ): Promise<T> {
    const { type, subresource, fieldManager, force } = options;
    return this.#json({
      method: 'PATCH',
      path: `${pathOf(resource, name)}${subresource === undefined ? '' : `/${subresource}`}`,
      query: { fieldManager, force },
      body,
      contentType: type === 'merge' ? 'application/merge-patch+json' : 'application/apply-patch+yaml',
    });
  }

  async delete<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<void> {
    await this.#json({ method: 'DELETE', path: pathOf(resource, name) });
  }

  async #json<T>(call: Call): Promise<T> {
    const response = await this.#send(call);
    const text = await textOf(response);
    try {
      return JSON.parse(text) as T; // the API server answers with what the path names
    } catch {
      throw new KubeError(
        0,
        'Truncated',
        `${call.method} ${call.path}: the answer is no JSON (${text.length} characters)`,
      );
    }
  }

  /** Resolves with a successful answer, its body unread. */
  async #send(call: Call): Promise<IncomingMessage> {
    const { server, requestOptions } = this.#credentials;
    const { method, path, query = {}, body, contentType, signal, timeout = ANSWER_TIMEOUT } = call;
    const options = await requestOptions();
    const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
    for (const [key, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(key, String(value));
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = {
      ...options.headers,
      accept: 'application/json',
      'user-agent': 'fairlead',
      ...(payload ? { 'content-type': contentType, 'content-length': payload.length } : {}),
    };
    const request = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(url, { ...options, method, headers, ...(signal ? { signal } : {}) });
      const waiting = setTimeout(() => {
        outgoing.destroy(new KubeError(0, 'Timeout', `${method} ${path}: no answer within ${timeout} ms`));
      }, timeout);
      outgoing.once('socket', probePeer);
      outgoing.once('error', (error) => {
        clearTimeout(waiting);
        reject(broken(error));
      });
      outgoing.once('response', (incoming) => {
        clearTimeout(waiting);
        resolve(incoming);
      });
      outgoing.end(payload);
    });
    if ((response.statusCode ?? 0) >= 400) throw await statusError(response, `${method} ${path}`);
    return response;
  }
}

interface ListBody<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

/** A host that vanished is noticed by TCP after 10 s + 3 probes, not after the two hours of the kernel's default. */
function probePeer(socket: Socket): void {
  socket.setKeepAlive(true, 10_000);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  response.setTimeout(ANSWER_TIMEOUT, () =>
    response.destroy(new KubeError(0, 'Timeout', 'the answer stalled')),
  );
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch (error) {
    throw broken(error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The body's lines as they complete; a last line without its end is dropped with the connection that cut it. */
async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      from = end + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
}

const EVENT_KINDS = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const;

function watchEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  const { type, object } = JSON.parse(line); // a broken line throws, and the watch starts over
  if (type === 'BOOKMARK') return { kind: 'bookmark', resourceVersion: object.metadata.resourceVersion };
  if (type === 'ERROR') return { kind: 'error', code: object.code ?? 0, message: object.message ?? '' };
  const kind = EVENT_KINDS[type as keyof typeof EVENT_KINDS]; // undefined for a type that we do not know
  if (!kind) throw new KubeError(0, 'UnknownEvent', `the watch sent an event of type "${type}"`);
  return { kind, object };
}

async function statusError(response: IncomingMessage, call: string): Promise<KubeError> {
  const code = response.statusCode ?? 0;
  const text = await textOf(response).catch(() => '');
  const seconds = Number(response.headers['retry-after']);
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  let status: { reason?: string; message?: string } = {};
  try {
    status = JSON.parse(text) ?? {};
  } catch {
    // A proxy in between answers in its own words.
  }
  return new KubeError(
    code,
    status.reason ?? `HTTP${code}`,
    `${call}: ${status.message ?? text.slice(0, 200)}`,
    retryAfter,
  );
}

function broken(error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  const { code, name, message } = error as NodeJS.ErrnoException; // streams and sockets throw Errors
  return new KubeError(0, code ?? name, message);
}
