// Watches: changes as they come, bookmarks, and an end after the time that the client asked for.
import type { ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { apiVersionOf, type Kind, resourceId } from './kinds.ts';
import type { Predicate } from './selectors.ts';
import type { Change, Storage } from './storage.ts';

/** kube-apiserver sends one about every minute; a lab is livelier. Milliseconds. */
const BOOKMARK_INTERVAL = 10_000;
const DEFAULT_TIMEOUT_SECONDS = 1_800;

export interface WatchRequest {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly query: URLSearchParams;
  readonly selects: Predicate;
  /** How an object is shown in an event: as it is, or as a table. */
  readonly show: (object: ApiObject) => unknown;
}

/** Answers a watch until it ends; returns the way to end it early. Throws ApiError before anything was sent. */
export function serveWatch(storage: Storage, request: WatchRequest, response: ServerResponse): () => void {
  const { kind, namespace, query, selects, show } = request;
  const resource = resourceId(kind);
  const version = query.get('resourceVersion') ?? '';
  const mine = (object: ApiObject) =>
    (namespace === undefined || object.metadata.namespace === namespace) && selects(object);
  const send = (type: string, object: unknown) =>
    void response.write(`${JSON.stringify({ type, object })}\n`);
  const bookmark = (annotations?: Record<string, string>) => {
    const metadata = {
      resourceVersion: String(storage.version),
      creationTimestamp: null,
      ...(annotations ? { annotations } : {}),
    };
    send('BOOKMARK', { kind: kind.resource.kind, apiVersion: apiVersionOf(kind.resource), metadata });
  };
  const tell = (change: Change) => {
    if (change.resource !== resource) return;
    const [is, was] = [mine(change.object), change.previous ? mine(change.previous) : false];
    if (change.type === 'DELETED' ? was : was && !is) send('DELETED', show(change.object));
    else if (is && change.type !== 'DELETED') send(was ? 'MODIFIED' : 'ADDED', show(change.object));
  };

  response.setHeader('content-type', 'application/json');
  const initial = query.get('sendInitialEvents') === 'true';
  if (initial || version === '' || version === '0') {
    for (const object of storage.list(resource)) if (mine(object)) send('ADDED', show(object));
    if (initial) bookmark({ 'k8s.io/initial-events-end': 'true' });
  } else {
    try {
      for (const change of storage.since(resource, Number(version))) tell(change);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      send('ERROR', error.status());
      response.end();
      return () => {};
    }
  }
  response.flushHeaders();

  const unsubscribe = storage.subscribe(tell);
  const bookmarks =
    query.get('allowWatchBookmarks') === 'true' ? setInterval(bookmark, BOOKMARK_INTERVAL) : undefined;
  const seconds = Number(query.get('timeoutSeconds')) || DEFAULT_TIMEOUT_SECONDS;
  const timeout = setTimeout(() => {
    if (bookmarks) bookmark();
    response.end();
  }, seconds * 1000);
  const stop = () => {
    unsubscribe();
    clearInterval(bookmarks);
    clearTimeout(timeout);
  };
  response.once('close', stop);
  return () => {
    stop();
    response.destroy();
  };
}
