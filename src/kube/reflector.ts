// Keeps a Store equal to what the API server holds: list, watch, and whatever it takes to recover.
import { type Clock, type Random, sleep } from '../clock/clock.ts';
import type { Logger } from '../observe/logger.ts';
import { type KubeApi, KubeError, type Resource } from './kube-api.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject } from './objects.ts';
import { keyOf, type Store } from './store.ts';

/** Objects a page. */
const PAGE = 500;
/** A watch is asked for this long, in seconds: a silent connection is noticed soon after. */
const WATCH_SECONDS = { least: 30, most: 60 };
/** Milliseconds between tries: the first, and the most. Short, so that what comes back is noticed within seconds. */
const BACKOFF = { first: 100, most: 5_000 };

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
  readonly #options: ReflectorOptions<T>;
  readonly #resolveSynced: () => void;
  #failures = 0;
  /** The last problem that was logged; the same one is not logged again. */
  #said = '';

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#resolveSynced = resolve;
  }

  /** Works until `signal` aborts; no error ends it. */
  async run(signal: AbortSignal): Promise<void> {
    let version: string | undefined;
    while (!signal.aborted) {
      try {
        version ??= await this.#list(signal);
        version = await this.#watch(version, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isExpired(error)) version = undefined;
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
    this.#recovered();
    return version;
  }

  /** Watches once and returns the version to go on from; throws what broke it. */
  async #watch(from: string, signal: AbortSignal): Promise<string> {
    const { api, resource, store, clock, random, metrics } = this.#options;
    const timeoutSeconds = Math.round(
      WATCH_SECONDS.least + random() * (WATCH_SECONDS.most - WATCH_SECONDS.least),
    );
    let version = from;
    let heard = false;
    const began = clock.now();
    metrics.watches.inc({ resource: resource.plural });
    try {
      for await (const event of api.watch(resource, { resourceVersion: version, timeoutSeconds, signal })) {
        if (event.kind === 'error') throw new KubeError(event.code, 'WatchError', event.message);
        heard = true;
        this.#recovered();
        if (event.kind === 'bookmark') {
          version = event.resourceVersion;
          continue;
        }
        if (event.kind === 'deleted') store.delete(keyOf(event.object));
        else store.set(slim(event.object));
        version = event.object.metadata.resourceVersion ?? version;
      }
      // A server (or a proxy before it) that ends watches as soon as they start must not be asked without pause.
      if (!heard && clock.now() - began < 1000)
        throw new KubeError(0, 'Closed', 'the watch ended as soon as it began');
      return version;
    } catch (error) {
      // What was heard before the break need not be heard again.
      if (isExpired(error)) throw error;
      await this.#recover(error, signal);
      return version;
    }
  }

  #recovered(): void {
    if (this.#said !== '')
      this.#options.log.info({ resource: this.#options.resource.plural }, 'the API server answers again');
    this.#said = '';
    this.#failures = 0;
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { clock, random, metrics, resource } = this.#options;
    const status = error instanceof KubeError ? error.status : 0;
    metrics.errors.inc({ resource: resource.plural, status: String(status) });
    if (status !== 410) this.#say(error, status);
    const backoff = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#failures++);
    const asked = error instanceof KubeError ? (error.retryAfter ?? 0) : 0;
    await sleep(clock, Math.max(asked, backoff * (0.5 + random() / 2)), signal);
  }

  #say(error: unknown, status: number): void {
    const { log, resource } = this.#options;
    const { message } = error as Error; // only Errors are thrown here
    const kind = `${resource.plural}.${resource.group}`;
    const about =
      status === 404 ? 'not installed' : status === 401 || status === 403 ? 'denied' : 'unreachable';
    if (this.#said === about) return;
    this.#said = about;
    if (about === 'not installed') {
      log.warn(
        { resource: kind },
        'this kind is not installed in the cluster yet; apply deploy/crds (waiting for it)',
      );
    } else if (about === 'denied') {
      log.error(
        { resource: kind, verbs: 'list, watch', error: message },
        'the API server denies access; grant these verbs',
      );
    } else {
      log.warn({ resource: kind, error: message }, 'the API server does not answer; will try again');
    }
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof KubeError && error.status === 410;
}

/** Without managedFields, which are half of an object's size and nothing to us. */
function slim<T extends KubeObject>(object: T): T {
  delete (object.metadata as { managedFields?: unknown }).managedFields; // ours alone: it was just parsed
  return object;
}
