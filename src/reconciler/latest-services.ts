// Services as they are after our own last writes. The watch brings those later: who decides by the store alone may
// take what was written for not there, and hand on an address that a status shows.
import type { ServiceObject } from '../kube/objects.ts';
import { keyOf, type Store } from '../kube/store.ts';

interface Written {
  readonly latest: ServiceObject;
  /** Versions that we wrote before it, and the watch has yet to bring. */
  readonly earlier: readonly (string | undefined)[];
}

export class LatestServices {
  readonly #store: Store<ServiceObject>;
  readonly #written = new Map<string, Written>();
  readonly #unsure = new Set<string>();

  constructor(store: Store<ServiceObject>) {
    this.#store = store;
    store.subscribe((key, service) => {
      const { earlier = [] } = this.#written.get(key) ?? {};
      if (!service || !earlier.includes(service.metadata.resourceVersion)) this.#written.delete(key);
    });
  }

  get(key: string): ServiceObject | undefined {
    return this.#written.get(key)?.latest ?? this.#store.get(key);
  }

  /** Whether a write may have been done of which we know nothing: what this store has is to be proven by another. */
  isUnsure(key: string): boolean {
    return this.#unsure.has(key);
  }

  /** A write that named the version of `before` was answered with `after`. */
  wrote(before: ServiceObject, after: ServiceObject): void {
    const key = keyOf(before);
    this.#unsure.delete(key);
    // Otherwise the watch was faster, and has brought this write at least.
    if (this.get(key)?.metadata.resourceVersion !== before.metadata.resourceVersion) return;
    const known = this.#written.get(key);
    const earlier = known ? [...known.earlier, known.latest.metadata.resourceVersion] : [];
    this.#written.set(key, { latest: after, earlier });
  }

  /** A write was sent, and no answer came that says that it was not done. */
  unanswered(key: string): void {
    this.#unsure.add(key);
  }
}
