// Objects by resource and key, each change with a version of its own, and the recent changes for watchers.
import { ApiError } from './api-error.ts';
import type { ApiObject } from './api-object.ts';

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly object: ApiObject;
  /** What a modified or deleted object was before: selectors may have matched that alone. */
  readonly previous?: ApiObject;
  readonly version: number;
}

export type ChangeListener = (change: Change) => void;

export class Storage {
  #version = 1;
  readonly #resources = new Map<string, Map<string, ApiObject>>();
  readonly #historyLimit: number;
  #history: Change[] = [];
  /** Versions up to this one can no longer be watched from. */
  #forgotten = 0;
  readonly #listeners = new Set<ChangeListener>();

  /** `historyLimit`: how many changes a watcher may be behind. */
  constructor(historyLimit: number) {
    this.#historyLimit = historyLimit;
  }

  get version(): number {
    return this.#version;
  }

  get(resource: string, key: string): ApiObject | undefined {
    return this.#resources.get(resource)?.get(key);
  }

  /** In key order, as etcd keeps them. */
  list(resource: string): ApiObject[] {
    const objects = this.#resources.get(resource) ?? new Map<string, ApiObject>();
    return [...objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  put(resource: string, key: string, object: ApiObject): ApiObject {
    const objects = this.#resources.get(resource) ?? new Map<string, ApiObject>();
    this.#resources.set(resource, objects);
    const previous = objects.get(key);
    const version = ++this.#version;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    objects.set(key, stored);
    this.#commit({
      type: previous ? 'MODIFIED' : 'ADDED',
      resource,
      object: stored,
      version,
      ...(previous ? { previous } : {}),
    });
    return stored;
  }

  delete(resource: string, key: string): ApiObject | undefined {
    const previous = this.get(resource, key);
    if (!previous) return undefined;
    this.#resources.get(resource)?.delete(key);
    const version = ++this.#version;
    const object = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(version) } };
    this.#commit({ type: 'DELETED', resource, object, previous, version });
    return object;
  }

  /** Changes of a resource after `version`. Throws ApiError 410 when they are no longer known. */
  since(resource: string, version: number): Change[] {
    if (version < this.#forgotten) {
      throw new ApiError(410, 'Expired', `too old resource version: ${version} (${this.#forgotten + 1})`);
    }
    return this.#history.filter((change) => change.version > version && change.resource === resource);
  }

  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** As a compaction does: nobody can watch from the past any more. */
  forgetHistory(): void {
    this.#history = [];
    this.#forgotten = this.#version;
  }

  #commit(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > 2 * this.#historyLimit) {
      this.#history = this.#history.slice(-this.#historyLimit);
      this.#forgotten = (this.#history[0]?.version ?? 1) - 1;
    }
    for (const listener of [...this.#listeners]) listener(change);
  }
}
