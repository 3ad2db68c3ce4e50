// The embedded API server: Kubernetes' REST protocol over HTTPS, for the lab and for tests that need no etcd.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dump } from 'js-yaml';
import { parsePrefix, type Range } from '../../net/range.ts';
import { ApiError, badRequest, expired } from './api-error.ts';
import { type ApiObject, isObject, type Json } from './api-object.ts';
import { builtInKinds } from './built-in-kinds.ts';
import { crdStrategy } from './crd-strategy.ts';
import { discover } from './discovery.ts';
import { apiVersionOf, type Kind, resourceId } from './kinds.ts';
import { Registry, type WriteOptions } from './registry.ts';
import { bodyOf, type Target, targetOf, writeOptionsOf } from './request.ts';
import { selectorOf } from './selectors.ts';
import { ClusterAddresses } from './service-addresses.ts';
import { ServiceStrategy } from './service-strategy.ts';
import { Storage } from './storage.ts';
import { tableOf, wantsTable } from './table.ts';
import { type Certificate, makeCertificate } from './tls.ts';
import { serveWatch } from './watch.ts';

export interface ApiServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** One prefix a family, the primary first, such as `10.96.0.0/16`. */
  readonly serviceCidrs: readonly string[];
  /** How many changes a watcher may be behind before it gets 410. */
  readonly history?: number;
}

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const DEFAULT_HISTORY = 10_000;
/** A list's continue token is good for this long, as long as etcd keeps what is compacted. Milliseconds. */
const CONTINUE_LIFETIME = 300_000;

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #storage: Storage;
  readonly #registry: Registry;
  readonly #definitions = new Map<string, readonly Kind[]>();
  readonly #token = randomBytes(16).toString('hex');
  #builtIn: readonly Kind[];
  readonly #certificate: Certificate;
  readonly #watches = new Set<() => void>();
  /** The rest of paged lists, by their continue token. */
  readonly #pages = new Map<
    string,
    { readonly objects: readonly ApiObject[]; readonly version: string; readonly until: number }
  >();
  #server: Server | undefined;
  #port: number;

  constructor(options: ApiServerOptions, certificate: Certificate) {
    this.#options = options;
    this.#port = options.port;
    this.#certificate = certificate;
    this.#storage = new Storage(options.history ?? DEFAULT_HISTORY);
    this.#registry = new Registry(this.#storage);
    this.#builtIn = builtInKinds({
      service: new ServiceStrategy(new ClusterAddresses(options.serviceCidrs.map(prefixOf))),
      crd: crdStrategy((definition, kinds) => {
        this.#definitions.set(definition, kinds);
        if (kinds.length === 0) this.#dropObjects(definition);
      }),
      namespace: {
        prepare: (object) => ({
          ...object,
          spec: { finalizers: ['kubernetes'] },
          status: { phase: 'Active' },
          metadata: {
            ...object.metadata,
            labels: { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name },
          },
        }),
        deleted: ({ metadata }) => this.#emptyNamespace(metadata.name),
      },
    });
    const system: WriteOptions = {
      manager: 'fairlead-lab',
      dryRun: false,
      fieldValidation: 'Ignore',
      force: false,
      warn: () => {},
    };
    const namespaces = this.#kindOf({ group: '', version: 'v1', plural: 'namespaces' });
    for (const name of NAMESPACES)
      if (namespaces) this.#registry.create(namespaces, undefined, { metadata: { name } }, system);
  }

  get url(): string {
    const { host } = this.#options;
    return `https://${host.includes(':') ? `[${host}]` : host}:${this.#port}`;
  }

  /** YAML with the address, the authority and a token that may do everything. */
  kubeconfig(): string {
    const name = 'fairlead-lab';
    return dump({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name,
          cluster: {
            server: this.url,
            'certificate-authority-data': Buffer.from(this.#certificate.cert).toString('base64'),
          },
        },
      ],
      users: [{ name, user: { token: this.#token } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    });
  }

  /** Listens; after `stop`, again on the same port, with all objects as they were. */
  async start(): Promise<void> {
    const server = createServer(
      { ...this.#certificate },
      (request, response) => void this.#serve(request, response),
    );
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#options.host, resolve);
    });
    this.#port = (server.address() as AddressInfo).port; // a TCP server that listens has one
    this.#server = server;
  }

  /** Breaks every connection and stops listening. */
  async stop(): Promise<void> {
    this.dropWatches();
    const server = this.#server;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      if (!server) return resolve();
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Cuts every watch, as a restart or a proxy's time limit does. */
  dropWatches(): void {
    for (const stop of [...this.#watches]) stop();
  }

  /** Makes every version from before now too old to watch from. */
  forgetHistory(): void {
    this.#storage.forgetHistory();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'https://lab');
      await this.#route(request, response, url);
    } catch (error) {
      const answer =
        error instanceof ApiError
          ? error
          : new ApiError(500, 'InternalError', `internal error: ${(error as Error).stack}`);
      if (!response.headersSent) send(response, answer.code, answer.status());
      else response.destroy();
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (['/healthz', '/readyz', '/livez'].includes(url.pathname)) return void response.end('ok');
    if (request.headers.authorization !== `Bearer ${this.#token}`)
      throw new ApiError(401, 'Unauthorized', 'Unauthorized');
    const discovered = discover(url.pathname, this.#kinds());
    if (discovered) return send(response, 200, discovered);
    const target = targetOf(url.pathname);
    if (target?.plural === 'selfsubjectaccessreviews') {
      const review = await bodyOf(request);
      return send(response, 201, { ...(isObject(review) ? review : {}), status: { allowed: true } });
    }
    const kind = target && this.#kindOf(target);
    if (
      !kind ||
      !target ||
      (target.subresource !== undefined && !(target.subresource === 'status' && kind.hasStatus))
    ) {
      throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
    }
    if (request.method === 'GET' && target.name === undefined)
      return this.#collection(request, response, url, kind, target);
    const object = await this.#object(request, response, url.searchParams, kind, target);
    const shown = kind.present?.(object.value) ?? object.value;
    const table = request.method === 'GET' && wantsTable(request.headers.accept);
    send(response, object.code, table ? tableOf(kind, [shown], {}) : shown);
  }

  /** The verbs on one object, and create and deletecollection on a collection. */
  async #object(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    kind: Kind,
    target: Target,
  ) {
    const { namespace, name, subresource } = target;
    const options = writeOptionsOf(request, query, (text) =>
      response.appendHeader('warning', `299 - ${JSON.stringify(text)}`),
    );
    if (name === undefined) {
      if (request.method === 'POST')
        return { code: 201, value: this.#registry.create(kind, namespace, await bodyOf(request), options) };
      if (request.method !== 'DELETE') throw notAllowed();
      return { code: 200, value: this.#deleteCollection(kind, namespace, query) };
    }
    const place = { kind, namespace, name, subresource };
    switch (request.method) {
      case 'GET':
        return { code: 200, value: this.#registry.get(place) };
      case 'PUT':
        return { code: 200, value: this.#registry.update(place, await bodyOf(request), options) };
      case 'PATCH': {
        const contentType = (request.headers['content-type'] ?? '').split(';')[0] ?? '';
        const existed = this.#storage.get(
          resourceId(kind),
          namespace === undefined ? name : `${namespace}/${name}`,
        );
        const value = this.#registry.patch(place, contentType, (await bodyOf(request)) ?? null, options);
        return { code: existed ? 200 : 201, value };
      }
      case 'DELETE': {
        const body = await bodyOf(request);
        const preconditions = isObject(body) && isObject(body.preconditions) ? body.preconditions : {};
        const value = this.#registry.delete(place, { dryRun: options.dryRun, preconditions });
        return { code: 200, value: value.metadata.deletionTimestamp ? value : deletedStatus(kind, value) };
      }
      default:
        throw notAllowed();
    }
  }

  #collection(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    kind: Kind,
    target: Target,
  ): void {
    const query = url.searchParams;
    const { namespace } = target;
    const named = selectorOf(query);
    const show = (object: ApiObject) => kind.present?.(object) ?? object;
    const selects = (object: ApiObject) => named(show(object));
    const table = wantsTable(request.headers.accept);
    if (query.get('watch') === 'true' || query.get('watch') === '1') {
      const shown = (object: ApiObject) => (table ? tableOf(kind, [show(object)], {}) : show(object));
      const stop = serveWatch(this.#storage, { kind, namespace, query, selects, show: shown }, response);
      this.#watches.add(stop);
      response.once('close', () => this.#watches.delete(stop));
      return;
    }
    const { objects, metadata } = this.#page(query, () =>
      this.#storage
        .list(resourceId(kind))
        .filter(
          (object) => (namespace === undefined || object.metadata.namespace === namespace) && selects(object),
        ),
    );
    const items = objects.map(show);
    const list = {
      kind: `${kind.resource.kind}List`,
      apiVersion: apiVersionOf(kind.resource),
      metadata,
      items,
    };
    send(response, 200, table ? tableOf(kind, items, metadata) : list);
  }

  /** One page: the rest waits, as it was at this version, behind a token. */
  #page(
    query: URLSearchParams,
    list: () => ApiObject[],
  ): { objects: readonly ApiObject[]; metadata: object } {
    const now = Date.now();
    for (const [token, { until }] of this.#pages) if (until < now) this.#pages.delete(token);
    const token = query.get('continue') ?? '';
    const waiting = this.#pages.get(token);
    if (token !== '' && !waiting) {
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
      );
    }
    const objects = waiting?.objects ?? list();
    const version = waiting?.version ?? String(this.#storage.version);
    const limit = Number(query.get('limit')) || objects.length;
    const rest = objects.slice(limit);
    if (rest.length === 0) return { objects, metadata: { resourceVersion: version } };
    const next = randomBytes(12).toString('base64url');
    this.#pages.set(next, { objects: rest, version, until: now + CONTINUE_LIFETIME });
    return {
      objects: objects.slice(0, limit),
      metadata: { resourceVersion: version, continue: next, remainingItemCount: rest.length },
    };
  }

  #deleteCollection(kind: Kind, namespace: string | undefined, query: URLSearchParams): ApiObject {
    const selects = selectorOf(query);
    for (const object of this.#storage.list(resourceId(kind))) {
      if ((namespace !== undefined && object.metadata.namespace !== namespace) || !selects(object)) continue;
      this.#registry.delete(
        { kind, namespace: object.metadata.namespace, name: object.metadata.name },
        { dryRun: false },
      );
    }
    return { kind: 'Status', apiVersion: 'v1', status: 'Success' } as unknown as ApiObject; // a Status has no metadata to speak of
  }

  #emptyNamespace(namespace: string): void {
    for (const kind of this.#kinds()) {
      if (!kind.resource.namespaced || kind.storedAs) continue;
      for (const { metadata } of this.#storage.list(resourceId(kind))) {
        if (metadata.namespace === namespace)
          this.#registry.delete({ kind, namespace, name: metadata.name }, { dryRun: false });
      }
    }
  }

  #dropObjects(definition: string): void {
    for (const { metadata } of this.#storage.list(definition)) {
      this.#storage.delete(
        definition,
        metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`,
      );
    }
  }

  #kinds(): Kind[] {
    return [...this.#builtIn, ...[...this.#definitions.values()].flat()];
  }

  #kindOf({ group, version, plural }: Pick<Target, 'group' | 'version' | 'plural'>): Kind | undefined {
    return this.#kinds().find(
      ({ resource }) =>
        resource.group === group && resource.version === version && resource.plural === plural,
    );
  }
}

/** Makes a certificate for the host and listens. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const server = new ApiServer(options, await makeCertificate([options.host]));
  await server.start();
  return server;
}

function prefixOf(text: string): Range {
  const prefix = parsePrefix(text);
  if (prefix.kind === 'malformed') throw badRequest(`service CIDR "${text}" ${prefix.problem}`);
  return prefix.value;
}

function deletedStatus({ resource }: Kind, { metadata }: ApiObject): ApiObject {
  const details = { name: metadata.name, group: resource.group, kind: resource.plural, uid: metadata.uid };
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details,
  } as unknown as ApiObject; // a Status has no metadata to speak of
}

function notAllowed(): ApiError {
  return new ApiError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
  );
}

function send(response: ServerResponse, code: number, body: object): void {
  const payload = Buffer.from(JSON.stringify(body as unknown as Json));
  response.writeHead(code, { 'content-type': 'application/json', 'content-length': payload.length });
  response.end(payload);
}
