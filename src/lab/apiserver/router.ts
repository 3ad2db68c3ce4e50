// From a request to the verb on an object or a collection, and back to an answer.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../clock/clock.ts';
import { ApiError } from './api-error.ts';
import { type ApiObject, isObject } from './api-object.ts';
import type { Cluster } from './cluster.ts';
import { discover } from './discovery.ts';
import { apiVersionOf, type Kind, presented, resourceId } from './kinds.ts';
import { EMPTY_OPENAPI_V2, OPENAPI_V2_ACCEPT, OPENAPI_V2_TYPE, openApi } from './openapi.ts';
import { pageOf } from './paging.ts';
import type { Place } from './registry.ts';
import { bodyOf, deleteOptionsOf, type Target, targetOf, writeOptionsOf } from './request.ts';
import { send, warn } from './respond.ts';
import { selectorOf } from './selectors.ts';
import { tableOf, wantsTable } from './table.ts';
import { serveWatch, wantsWatch } from './watch.ts';

/** A request for a resource, taken apart. */
interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly kind: Kind;
  readonly target: Target;
}

export class Router {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #watches = new Set<() => void>();

  constructor(cluster: Cluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /** Cuts every watch. */
  dropWatches(): void {
    for (const drop of [...this.#watches]) drop();
  }

  /** Answers, or throws ApiError. */
  async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'https://lab');
    if (pathname === '/openapi/v2' && request.headers.accept?.includes(OPENAPI_V2_ACCEPT))
      return void response.setHeader('content-type', OPENAPI_V2_TYPE).end(EMPTY_OPENAPI_V2);
    const { kinds } = this.#cluster;
    const discovered = discover(pathname, kinds) ?? openApi(pathname, kinds);
    if (discovered) return send(response, 200, discovered);
    const target = targetOf(pathname);
    // Whoever has the token may do everything.
    if (target?.plural === 'selfsubjectaccessreviews') {
      const review = await bodyOf(request);
      return send(response, 201, { ...(isObject(review) ? review : {}), status: { allowed: true } });
    }
    const kind = target && this.#cluster.find(target);
    if (!target || !kind || !serves(kind, target))
      throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
    const call = { request, response, query, kind, target };
    const { name, namespace, subresource } = target;
    if (name === undefined) return this.#onCollection(call);
    return this.#onObject(call, { kind, namespace, name, subresource });
  }

  async #onObject({ request, response, query, kind }: Call, place: Place): Promise<void> {
    const { registry } = this.#cluster;
    const options = writeOptionsOf(request, query, (text) => warn(response, text));
    const existed = registry.exists(place);
    switch (request.method) {
      case 'GET':
        return this.#show(request, response, kind, registry.get(place));
      case 'PUT': {
        const object = registry.update(place, await bodyOf(request), options);
        return send(response, existed ? 200 : 201, object);
      }
      case 'PATCH': {
        const contentType = request.headers['content-type']?.split(';')[0]?.trim() ?? '';
        const object = registry.patch(place, contentType, (await bodyOf(request)) ?? null, options);
        return send(response, existed ? 200 : 201, object);
      }
      case 'DELETE': {
        const object = registry.delete(place, deleteOptionsOf(query, await bodyOf(request)));
        const whole = kind.returnsDeleted || object.metadata.deletionTimestamp !== undefined;
        return send(response, 200, whole ? object : deletedStatus(kind, object));
      }
      default:
        throw notAllowed();
    }
  }

  async #onCollection(call: Call): Promise<void> {
    const { request, response, query, kind, target } = call;
    const { registry } = this.#cluster;
    switch (request.method) {
      case 'GET':
        return wantsWatch(query) ? this.#watch(call) : this.#list(call);
      case 'POST': {
        const options = writeOptionsOf(request, query, (text) => warn(response, text));
        const object = registry.create(kind, target.namespace, await bodyOf(request), options);
        return send(response, 201, object);
      }
      case 'DELETE': {
        const { dryRun } = deleteOptionsOf(query, await bodyOf(request));
        const { objects, metadata } = this.#page(call);
        const items = objects.map(({ metadata: { namespace, name } }) =>
          registry.delete({ kind, namespace, name }, { dryRun }),
        );
        return send(response, 200, listOf(kind, metadata, items));
      }
      default:
        throw notAllowed();
    }
  }

  #list(call: Call): void {
    const { request, response, kind } = call;
    const { objects, metadata } = this.#page(call);
    const items = objects.map((object) => presented(kind, object));
    const table = wantsTable(request.headers.accept);
    send(
      response,
      200,
      table ? tableOf(kind, items, metadata, this.#clock.wallTime()) : listOf(kind, metadata, items),
    );
  }

  #page(call: Call) {
    return pageOf(this.#cluster.storage, resourceId(call.kind), call.query, selects(call));
  }

  #watch(call: Call): void {
    const { request, response, query, kind } = call;
    const table = wantsTable(request.headers.accept);
    const show = (object: ApiObject) => {
      const own = presented(kind, object);
      return table ? tableOf(kind, [own], {}, this.#clock.wallTime()) : own;
    };
    const watch = { kind, query, selects: selects(call), show };
    const drop = serveWatch(this.#cluster.storage, this.#clock, watch, response);
    this.#watches.add(drop);
    response.once('close', () => this.#watches.delete(drop));
  }

  #show(request: IncomingMessage, response: ServerResponse, kind: Kind, object: ApiObject): void {
    const table = wantsTable(request.headers.accept);
    send(response, 200, table ? tableOf(kind, [object], {}, this.#clock.wallTime()) : object);
  }
}

/** Whether such a path leads anywhere. */
function serves({ resource, hasStatus }: Kind, { namespace, name, subresource }: Target): boolean {
  if (subresource !== undefined && !(subresource === 'status' && hasStatus)) return false;
  return resource.namespaced ? name === undefined || namespace !== undefined : namespace === undefined;
}

/** Which stored objects the path and the selectors mean. */
function selects({ kind, target: { namespace }, query }: Call): (object: ApiObject) => boolean {
  const selector = selectorOf(kind, query);
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) && selector(presented(kind, object));
}

/** The list says for the objects of a built-in kind what they are; custom resources say it each. */
function listOf({ resource, schema }: Kind, metadata: object, objects: readonly ApiObject[]): object {
  const items = schema ? objects : objects.map(({ kind: _, apiVersion: __, ...object }) => object);
  return { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata, items };
}

function deletedStatus({ resource }: Kind, { metadata }: ApiObject): object {
  const { group, plural } = resource;
  const details = {
    name: metadata.name,
    ...(group === '' ? {} : { group }),
    kind: plural,
    uid: metadata.uid,
  };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

function notAllowed(): ApiError {
  return new ApiError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
  );
}
