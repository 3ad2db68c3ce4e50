// Objects by resource and key, each change with a version of its own, and the recent changes for watchers.
import { expired } from './api-error.ts';
import type { ApiObject } from './api-object.ts';

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly resource: string;
  readonly key: string;
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
  /** Versions below this one can be neither watched from nor listed. */
  #forgotten = 0;
  readonly #listeners = new Set<ChangeListener>();

  /** `historyLimit`: how many changes, at least, a watcher may be behind; twice as many are held at most. */
  constructor(historyLimit: number) {
    this.#historyLimit = historyLimit;
  }

  get version(): number {
    return this.#version;
  }

  get(resource: string, key: string): ApiObject | undefined {
    return this.#resources.get(resource)?.get(key);
  }

  /** In key order, as etcd keeps them; as they were at `version`. Throws ApiError 410 when that is forgotten. */
  list(resource: string, version = this.#version): ApiObject[] {
    const now = this.#resources.get(resource) ?? new Map<string, ApiObject>();
    const objects = version < this.#version ? this.#unwound(resource, now, version) : now;
    return [...objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  put(resource: string, key: string, object: ApiObject): ApiObject {
    const objects = this.#resources.get(resource) ?? new Map<string, ApiObject>();
    this.#resources.set(resource, objects);
    const previous = objects.get(key);
    const version = ++this.#version;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    objects.set(key, stored);
    const change = { resource, key, object: stored, version };
    this.#commit(previous ? { ...change, type: 'MODIFIED', previous } : { ...change, type: 'ADDED' });
    return stored;
  }

  delete(resource: string, key: string): ApiObject | undefined {
    const previous = this.get(resource, key);
    if (!previous) return undefined;
    this.#resources.get(resource)?.delete(key);
    const version = ++this.#version;
    const object = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(version) } };
    this.#commit({ type: 'DELETED', resource, key, object, previous, version });
    return object;
  }

  /** Changes of a resource after `version`. Throws ApiError 410 when they are no longer known. */
  since(resource: string, version: number): Change[] {
    if (version < this.#forgotten) {
      throw expired(`too old resource version: ${version} (${this.#forgotten})`);
    }
    return this.#history.filter((change) => change.version > version && change.resource === resource);
  }

  /** Whether any object of any kind lies in the namespace. */
  holdsAnyIn(namespace: string): boolean {
    for (const objects of this.#resources.values())
      for (const key of objects.keys()) if (key.startsWith(`${namespace}/`)) return true;
    return false;
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

  #unwound(resource: string, now: ReadonlyMap<string, ApiObject>, version: number): Map<string, ApiObject> {
    const objects = new Map(now);
    for (const { key, previous } of this.since(resource, version).reverse()) {
      if (previous) objects.set(key, previous);
      else objects.delete(key);
    }
    return objects;
  }

  #commit(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > 2 * this.#historyLimit) {
      const dropped = this.#history.length - this.#historyLimit;
      this.#forgotten = this.#history[dropped - 1]?.version ?? this.#forgotten;
      this.#history = this.#history.slice(dropped);
    }
    for (const listener of [...this.#listeners]) listener(change);
  }
}
