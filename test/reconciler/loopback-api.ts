// A KubeApi whose writes come back through the stores, as a watch brings them, and may be made to fail.
import {
  type KubeApi,
  KubeError,
  type ObjectName,
  type PatchOptions,
  type Resource,
} from '../../src/kube/kube-api.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { keyOf, type Store } from '../../src/kube/store.ts';

interface Write {
  readonly key: string;
  readonly body: object;
}

export class LoopbackApi implements KubeApi {
  readonly writes: Write[] = [];
  readonly created: KubeObject[] = [];
  /** Asked before each patch; what it throws or awaits holds for it. */
  before: (key: string) => void | Promise<void> = () => {};
  /** Asked when a patch is done; what it throws is heard in place of the answer. */
  after: (key: string) => void | Promise<void> = () => {};
  readonly #stores = new Map<string, Store<KubeObject>>();

  follow<T extends KubeObject>(resource: Resource<T>, store: Store<T>): void {
    // The store takes back what came out of it, changed by a patch: of the same kind.
    this.#stores.set(resource.plural, store as unknown as Store<KubeObject>);
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    body: object,
    { type, subresource }: PatchOptions,
  ): Promise<T> {
    const key = keyOf({ metadata: name });
    if (type !== 'merge' || subresource !== 'status')
      throw new Error(`no ${type} patch of ${subresource} here`);
    await this.before(key);
    const store = this.#stores.get(resource.plural);
    const object = store?.get(key);
    if (!store || !object) throw new KubeError(404, 'NotFound', `${key} not found`);
    const { resourceVersion } = object.metadata;
    const { metadata } = body as Partial<KubeObject>;
    if (metadata?.resourceVersion !== undefined && metadata.resourceVersion !== resourceVersion)
      throw new KubeError(409, 'Conflict', `${key} has changed`);
    this.writes.push({ key, body });
    const merged = merge(object, body) as T; // of the kind that it was
    const written = {
      ...merged,
      metadata: { ...merged.metadata, resourceVersion: `${Number(resourceVersion) + 1}` },
    };
    const { deletionTimestamp, finalizers = [] } = merged.metadata;
    if (deletionTimestamp !== undefined && finalizers.length === 0) store.delete(key);
    else store.set(written);
    await this.after(key);
    return written;
  }

  async create<T extends KubeObject>(_: Resource<T>, object: T): Promise<T> {
    this.created.push(object);
    return object;
  }

  async get<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<T> {
    const key = keyOf({ metadata: name });
    const object = this.#stores.get(resource.plural)?.get(key);
    if (!object) throw new KubeError(404, 'NotFound', `${key} not found`);
    return object as T; // its store holds nothing else
  }

  list = unused;
  watch = unused;
  delete = unused;
}

function unused(): never {
  throw new Error('not used by what is under test');
}

/** RFC 7386 */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = { ...(typeof target === 'object' ? target : {}) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}
