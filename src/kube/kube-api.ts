// The seam to the API server: the few verbs that Fairlead uses, over wire objects.
import type { KubeObject } from './objects.ts';

/** Where a kind lives in the REST tree. The type parameter ties a resource to its object's shape. */
export interface Resource<T extends KubeObject = KubeObject> {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Lists and watches see this object alone, which an account may then be given access to by name. */
  readonly only?: NamespacedName;
  /** Only carries the type; never set. */
  readonly shape?: T;
}

export interface ObjectName {
  readonly name: string;
  readonly namespace?: string;
}

export interface NamespacedName extends ObjectName {
  readonly namespace: string;
}

/** The resource with one object of it alone. */
export function only<T extends KubeObject>(resource: Resource<T>, name: NamespacedName): Resource<T> {
  return { ...resource, only: name };
}

export interface ListOptions {
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal?: AbortSignal;
}

export interface ListPage<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Present while more pages follow. */
  readonly continue?: string;
}

export interface WatchOptions {
  readonly resourceVersion: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly kind: 'added' | 'modified' | 'deleted'; readonly object: T }
  | { readonly kind: 'bookmark'; readonly resourceVersion: string }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

export type PatchType = 'merge' | 'apply';

export interface PatchOptions {
  readonly type: PatchType;
  readonly subresource?: 'status';
  /** Required for `apply`; named in managedFields for both. */
  readonly fieldManager: string;
  /** `apply` only: take fields over from other managers. */
  readonly force?: boolean;
  /** Check it, answer as if it were done, and store nothing. */
  readonly dryRun?: boolean;
}

/** The path of a resource's collection, or of one object in it. */
export function pathOf(resource: Resource, { name, namespace }: Partial<ObjectName>): string {
  const { group, version, plural, namespaced } = resource;
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const within = namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${within}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** All calls reject with KubeError: an HTTP status from the server, or code 0 for a broken connection. */
export interface KubeApi {
  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<ListPage<T>>;
  /** Yields until the server ends the watch (returns) or the connection breaks (throws). */
  watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  get<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<T>;
  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T>;
  /** Merge (RFC 7386) or server-side-apply patch; `body.metadata.resourceVersion`, if set, is a precondition. */
  patch<T extends KubeObject>(
    resource: Resource<T>,
    name: ObjectName,
    body: object,
    options: PatchOptions,
  ): Promise<T>;
  delete<T extends KubeObject>(resource: Resource<T>, name: ObjectName): Promise<void>;
}

export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  /** Milliseconds that the server asks to wait (Retry-After), with 429 and 503. */
  readonly retryAfter: number | undefined;

  /** `status`: the HTTP status, or 0 when no answer came; `reason`: metav1.Status.reason, or the system error code. */
  constructor(status: number, reason: string, message: string, retryAfter?: number) {
    super(message);
    this.name = 'KubeError';
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}
