// The objects of one kind as last heard from the API server, and who wants to hear of changes.
import type { KubeObject } from './objects.ts';

/** `undefined`: the object is gone. */
export type StoreListener<T> = (key: string, object: T | undefined) => void;

/** `namespace/name`, or `name` where there is no namespace. */
export function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<StoreListener<T>>();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Hears every change from now on, after the store holds it. Returns the way out. */
  subscribe(listener: StoreListener<T>): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  set(object: T): void {
    const key = keyOf(object);
    const known = this.#objects.get(key);
    if (known && isSame(known, object)) return;
    this.#objects.set(key, object);
    this.#tell(key, object);
  }

  delete(key: string): void {
    if (this.#objects.delete(key)) this.#tell(key, undefined);
  }

  /** Takes a whole list: tells what is new, changed or gone, and nothing else. */
  replace(objects: readonly T[]): void {
    const keys = new Set(objects.map(keyOf));
    for (const key of [...this.#objects.keys()]) if (!keys.has(key)) this.delete(key);
    for (const object of objects) this.set(object);
  }

  #tell(key: string, object: T | undefined): void {
    for (const listener of this.#listeners) listener(key, object);
  }
}

function isSame({ metadata: a }: KubeObject, { metadata: b }: KubeObject): boolean {
  return a.uid === b.uid && a.resourceVersion !== undefined && a.resourceVersion === b.resourceVersion;
}
