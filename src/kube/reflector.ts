// Keeps a Store equal to what the API server holds: list, watch, and whatever it takes to recover.
import { type Clock, type Random, sleep } from '../clock/clock.ts';
import type { Logger } from '../observe/logger.ts';
import { type Complaint, complaintOf } from './complaint.ts';
import { type KubeApi, KubeError, type Resource, type WatchEvent } from './kube-api.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject } from './objects.ts';
import { keyOf, type Store } from './store.ts';

/** Objects a page. */
const PAGE = 500;
/** A watch is asked for this long, in seconds: a server that hangs without closing is noticed soon after. */
const WATCH_SECONDS = { least: 30, most: 60 };
/** Milliseconds between tries: the first, and the most. Short, so that what comes back is noticed within seconds. */
const BACKOFF = { first: 100, most: 5_000 };
/** A watch that ends sooner was no watch: tries are not to follow each other without pause. Milliseconds. */
const SHORTEST_WATCH = 1_000;
/** The longest Retry-After that is heeded, in milliseconds. */
const LONGEST_WAIT = 30_000;

export interface ReflectorOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly resource: Resource<T>;
  readonly store: Store<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: KubeMetrics;
}

export class Reflector<T extends KubeObject> {
  /** Resolves when the store has held a whole list for the first time. */
  readonly synced: Promise<void>;
  /** Resolves then too, or when the server said that there is no such kind, and so no object of it. */
  readonly settled: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #resolveSynced: () => void;
  readonly #resolveSettled: () => void;
  /** How far the store has come: a watch goes on from here. Without it, a list is due. */
  #version: string | undefined;
  #failures = 0;
  /** The last problem that was logged; the same one is not logged again. */
  #said: Complaint['about'] | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#resolveSynced = resolve;
    const settling = Promise.withResolvers<void>();
    this.settled = Promise.race([promise, settling.promise]);
    this.#resolveSettled = settling.resolve;
  }

  /** Works until `signal` aborts; no error ends it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#list(signal);
        await this.#watch(this.#version, signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error, signal);
      }
    }
  }

  /** Lists page by page and returns the version that a watch goes on from. */
  async #list(signal: AbortSignal): Promise<string> {
    const { api, resource, store, metrics } = this.#options;
    const objects: T[] = [];
    let next: string | undefined;
    let version: string;
    do {
      // No resourceVersion: the most recent state, so that nothing older than what we knew comes back.
      const page = await api.list(resource, {
        limit: PAGE,
        signal,
        ...(next === undefined ? {} : { continue: next }),
      });
      for (const object of page.items) objects.push(slim(object));
      version = page.resourceVersion;
      next = page.continue;
    } while (next !== undefined);
    metrics.lists.inc({ resource: resource.plural });
    store.replace(objects);
    this.#resolveSynced();
    this.#answered();
    return version;
  }

  /** Watches once. Returns when the server ended it in good order, throws what broke it. */
  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { api, resource, clock, random, metrics } = this.#options;
    const timeoutSeconds = Math.round(
      WATCH_SECONDS.least + random() * (WATCH_SECONDS.most - WATCH_SECONDS.least),
    );
    const began = clock.now();
    metrics.watches.inc({ resource: resource.plural });
    for await (const event of api.watch(resource, { resourceVersion: from, timeoutSeconds, signal })) {
      this.#take(event);
      this.#answered();
      if (clock.now() - began >= SHORTEST_WATCH) this.#failures = 0;
    }
    if (signal.aborted) return;
    if (clock.now() - began < SHORTEST_WATCH)
      throw new KubeError(0, 'Closed', 'the watch ended as soon as it began');
    this.#answered();
    this.#failures = 0;
  }

  #take(event: WatchEvent<T>): void {
    const { store } = this.#options;
    switch (event.kind) {
      case 'error':
        throw new KubeError(event.code, 'WatchError', event.message);
      case 'bookmark':
        this.#version = event.resourceVersion;
        return;
      case 'deleted':
        store.delete(keyOf(event.object));
        break;
      default:
        store.set(slim(event.object));
    }
    this.#version = event.object.metadata.resourceVersion ?? this.#version;
  }

  #answered(): void {
    if (this.#said !== undefined)
      this.#options.log.info({ resource: this.#options.resource.plural }, 'the API server answers again');
    this.#said = undefined;
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, random, log, metrics, resource } = this.#options;
    const { status, retryAfter = 0 } = error instanceof KubeError ? error : { status: 0 };
    metrics.errors.inc({ resource: resource.plural, status: String(status) });
    const complaint = complaintOf(error);
    if (complaint && complaint.about !== this.#said) {
      const kind = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
      const { version } = resource;
      log[complaint.level]({ resource: kind, version, error: (error as Error).message }, complaint.message);
      this.#said = complaint.about;
    }
    if (status === 404) this.#resolveSettled();
    if (VERSION_LOST.has(status)) this.#version = undefined;
    const backoff = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#failures++);
    const pause = Math.max(Math.min(retryAfter, LONGEST_WAIT), backoff * (0.5 + random() / 2));
    await sleep(clock, pause, signal);
  }
}

/**
 * HTTP statuses after which a watch cannot go on from where it was: 410, the version is compacted; 400 and 504, it
 * is from another history, such as before etcd was restored; 404, the kind went and may return with other objects.
 */
const VERSION_LOST = new Set([400, 404, 410, 504]);

/** Without managedFields, which are half of an object's size and nothing to us. */
function slim<T extends KubeObject>(object: T): T {
  delete (object.metadata as { managedFields?: unknown }).managedFields; // ours alone: it was just parsed
  return object;
}
