// KubeApi over HTTP: requests as the API server's REST protocol has them, with bounded waiting everywhere.
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import { broken, lines, statusError, textOf, watchEvent } from './answer.ts';
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

/** Milliseconds. */
export interface ConnectionLimits {
  /** Until the headers of an answer, between two pieces of it, and until the credentials are there. */
  readonly answer: number;
  /** The server ends a watch after timeoutSeconds; this long after it we do. */
  readonly watchGrace: number;
}

/** A list of 500 objects may take a loaded server seconds; longer, and the connection is as good as dead. */
const LIMITS: ConnectionLimits = { answer: 30_000, watchGrace: 5_000 };

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: object;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Asked right before each write leaves. */
export type MayWrite = () => boolean;

/** Reads the credentials and returns the API. Throws KubeconfigError; connects only when it is called. */
export async function connectKube(
  kubeconfig: string | undefined,
  limits = LIMITS,
  mayWrite: MayWrite = () => true,
): Promise<KubeApi> {
  return new Connection(await loadCredentials(kubeconfig), limits, mayWrite);
}

class Connection implements KubeApi {
  readonly #credentials: Credentials;
  readonly #limits: ConnectionLimits;
  readonly #mayWrite: MayWrite;

  constructor(credentials: Credentials, limits: ConnectionLimits, mayWrite: MayWrite) {
    this.#credentials = credentials;
    this.#limits = limits;
    this.#mayWrite = mayWrite;
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<ListPage<T>> {
    const { signal, ...query } = options;
    const path = collectionOf(resource);
    const list = await this.#json<ListBody<T>>({
      method: 'GET',
      path,
      query: { ...selected(resource), ...query },
      signal,
    });
    const { resourceVersion, continue: next } = list?.metadata ?? {};
    if (resourceVersion === undefined)
      throw new KubeError(0, 'NoList', `GET ${path}: the answer is no list; is this the API server?`);
    return { items: list?.items ?? [], resourceVersion, ...(next ? { continue: next } : {}) };
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>> {
    const { signal, ...rest } = options;
    const query = { ...selected(resource), ...rest, watch: true, allowWatchBookmarks: true };
    const overdue = AbortSignal.timeout(options.timeoutSeconds * 1000 + this.#limits.watchGrace);
    const response = await this.#send({
      method: 'GET',
      path: collectionOf(resource),
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
    const { type, subresource, fieldManager, force, dryRun } = options;
    return this.#json({
      method: 'PATCH',
      path: `${pathOf(resource, name)}${subresource === undefined ? '' : `/${subresource}`}`,
      query: { fieldManager, force, dryRun: dryRun ? 'All' : undefined },
      body,
      contentType: type === 'merge' ? 'application/merge-patch+json' : 'application/apply-patch+yaml',
    });
  }

  async delete<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<void> {
    await this.#json({ method: 'DELETE', path: pathOf(resource, name) });
  }

  async #json<T>(call: Call): Promise<T> {
    const response = await this.#send(call);
    const text = await textOf(response, this.#limits.answer);
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
    const { server } = this.#credentials;
    const { method, path, query = {}, body, contentType, signal } = call;
    const options = await this.#requestOptions();
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
    const timeout = this.#limits.answer;
    const exchange = () =>
      new Promise<IncomingMessage | undefined>((resolve, reject) => {
        if (method !== 'GET' && !this.#mayWrite()) {
          reject(new KubeError(0, 'NotLeading', `${method} ${path}: this process leads no more`));
          return;
        }
        const outgoing = request(url, { ...options, method, headers, ...(signal ? { signal } : {}) });
        const waiting = setTimeout(() => {
          outgoing.destroy(new KubeError(0, 'Timeout', `${method} ${path}: no answer within ${timeout} ms`));
          if (options.agent instanceof Agent) dropIdle(options.agent);
        }, timeout);
        outgoing.once('socket', probePeer);
        outgoing.once('error', (error: NodeJS.ErrnoException) => {
          clearTimeout(waiting);
          const stale = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
          if (stale) resolve(undefined);
          else reject(broken(error));
        });
        outgoing.once('response', (incoming) => {
          clearTimeout(waiting);
          resolve(incoming);
        });
        outgoing.end(payload);
      });
    // A connection from the pool may have been closed by the server meanwhile; each one leaves the pool with its
    // failure. All that we write names its object, so that a second try cannot do it twice.
    let response: IncomingMessage | undefined;
    while (!response) response = await exchange();
    if (response.statusCode === 401) this.#credentials.rejected();
    if ((response.statusCode ?? 0) >= 400)
      throw await statusError(response, `${method} ${path}`, this.#limits.answer);
    return response;
  }

  /** A plugin or a file behind the credentials fails as the connection does, and may hang no longer. */
  async #requestOptions(): Promise<RequestOptions> {
    const late = Promise.withResolvers<never>();
    const { answer } = this.#limits;
    const waiting = setTimeout(
      () => late.reject(new Error(`the credential plugin gave no answer within ${answer} ms`)),
      answer,
    );
    try {
      return await Promise.race([this.#credentials.requestOptions(), late.promise]);
    } catch (error) {
      throw new KubeError(0, 'Credentials', (error as Error).message); // only Errors are thrown there
    } finally {
      clearTimeout(waiting);
    }
  }
}

/** Partial: what a proxy in between answers may be anything. */
type ListBody<T> = {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
} | null;

/**
 * A host that vanished behind a silent watch is noticed by TCP after 10 s and 10 probes a second apart
 * (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), not after two hours. A host whose kernel answers while
 * its server hangs is noticed when the watch outlives its time: HTTP/1.1 has no ping.
 */
function probePeer(socket: Socket): void {
  socket.setKeepAlive(true, 10_000, 1_000, 10);
}

/** Connections that idle in the pool have most likely died with the one that gave no answer. */
function dropIdle(agent: Agent): void {
  for (const sockets of Object.values(agent.freeSockets))
    for (const socket of sockets ?? []) socket.destroy();
}

function collectionOf({ only, ...resource }: Resource): string {
  return pathOf(resource, only ? { namespace: only.namespace } : {});
}

function selected({ only }: Resource): { readonly fieldSelector?: string } {
  return only ? { fieldSelector: `metadata.name=${only.name}` } : {};
}
