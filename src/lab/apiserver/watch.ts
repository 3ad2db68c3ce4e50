// Watches: changes as they come, bookmarks, and an end after the time that the client asked for.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../../clock/clock.ts';
import { ApiError, invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { fieldForbidden } from './field-causes.ts';
import { apiVersionOf, type Kind, resourceId } from './kinds.ts';
import { checkNotAhead, parseVersion } from './paging.ts';
import type { Change, Storage } from './storage.ts';

/** kube-apiserver sends one about every minute; a lab is livelier. Milliseconds. */
const BOOKMARK_INTERVAL = 10_000;
const DEFAULT_TIMEOUT_SECONDS = 1_800;
/** Bytes that may wait for a client that does not read; past them it is cut off, as the real server does. */
const BACKLOG_LIMIT = 32 * 1024 * 1024;

export interface WatchRequest {
  readonly kind: Kind;
  readonly query: URLSearchParams;
  readonly selects: (object: ApiObject) => boolean;
  /** How an object is shown in an event: as it is, or as a table. */
  readonly show: (object: ApiObject) => object;
}

export function wantsWatch(query: URLSearchParams): boolean {
  return ['true', '1'].includes(query.get('watch') ?? '');
}

/** Answers a watch until it ends; returns the way to end it early. Throws ApiError before anything was sent. */
export function serveWatch(
  storage: Storage,
  clock: Clock,
  { kind, query, selects, show }: WatchRequest,
  response: ServerResponse,
): () => void {
  const resource = resourceId(kind);
  const from = startOf(storage, query);
  const bookmarks = query.get('allowWatchBookmarks') === 'true';
  const stream = new EventStream(response);
  const tell = (change: Change) => {
    if (change.resource !== resource) return;
    const event = eventOf(change, selects);
    if (event) stream.send(event.type, show(event.object));
  };
  const bookmark = (annotations?: Readonly<Record<string, string>>) => {
    const resourceVersion = String(storage.version);
    const metadata = { resourceVersion, ...(annotations && { annotations }) };
    stream.send('BOOKMARK', { kind: kind.resource.kind, apiVersion: apiVersionOf(kind.resource), metadata });
  };

  try {
    if (from !== undefined) for (const change of storage.since(resource, from)) tell(change);
    else for (const object of storage.list(resource)) if (selects(object)) stream.send('ADDED', show(object));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    stream.send('ERROR', error.status());
    stream.end();
    return () => {};
  }
  if (bookmarks && query.get('sendInitialEvents') === 'true')
    bookmark({ 'k8s.io/initial-events-end': 'true' });
  stream.whenStopped(storage.subscribe(tell));
  if (bookmarks) stream.whenStopped(every(clock, BOOKMARK_INTERVAL, bookmark));
  const end = clock.setTimer(timeoutOf(query), () => {
    if (bookmarks) bookmark();
    stream.end();
  });
  stream.whenStopped(() => end.cancel());
  return () => stream.cut();
}

/** Events on their way to a client. Once it is stopped nothing more is sent, whatever still waits to be read. */
class EventStream {
  readonly #response: ServerResponse;
  readonly #cleanUps: (() => void)[] = [];
  #stopped = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
    response.once('close', () => this.#stop());
  }

  send(type: string, object: object): void {
    if (this.#stopped) return;
    this.#response.write(`${JSON.stringify({ type, object })}\n`);
    if (this.#response.writableLength > BACKLOG_LIMIT) this.cut();
  }

  /** Runs once: when the stream stops, or now where it has. */
  whenStopped(cleanUp: () => void): void {
    if (this.#stopped) cleanUp();
    else this.#cleanUps.push(cleanUp);
  }

  end(): void {
    this.#stop();
    this.#response.end();
  }

  cut(): void {
    this.#stop();
    this.#response.destroy();
  }

  #stop(): void {
    this.#stopped = true;
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp();
  }
}

/** Calls again and again, `interval` milliseconds apart; answers the way to stop that. */
function every(clock: Clock, interval: number, call: () => void): () => void {
  let timer: Timer;
  const schedule = () => {
    timer = clock.setTimer(interval, () => {
      call();
      schedule();
    });
  };
  schedule();
  return () => timer.cancel();
}

/** What a change is to a watcher that sees only what it selects: an object may come into sight, and leave it. */
function eventOf(
  { type, object, previous, version }: Change,
  selects: (object: ApiObject) => boolean,
): { type: string; object: ApiObject } | undefined {
  const is = type !== 'DELETED' && selects(object);
  const was = previous !== undefined && selects(previous);
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object };
  if (!was) return undefined;
  // As it was last seen, under the version at which it went.
  const metadata = { ...previous.metadata, resourceVersion: String(version) };
  return { type: 'DELETED', object: { ...previous, metadata } };
}

/** The version to start from; undefined: with all objects as they are. Throws ApiError. */
function startOf(storage: Storage, query: URLSearchParams): number | undefined {
  const version = parseVersion(query.get('resourceVersion') || '0');
  checkNotAhead(storage, version);
  const initial = query.get('sendInitialEvents');
  if (initial !== null && query.get('resourceVersionMatch') !== 'NotOlderThan')
    throw invalid('ListOptions', 'meta.k8s.io', '', [
      fieldForbidden(
        'resourceVersionMatch',
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    ]);
  if (initial === 'false' && version === 0) return storage.version;
  return initial === 'true' || version === 0 ? undefined : version;
}

function timeoutOf(query: URLSearchParams): number {
  return (Number(query.get('timeoutSeconds')) || DEFAULT_TIMEOUT_SECONDS) * 1000;
}
