// EndpointSlices by the Service that they are of.
import type { EndpointSliceObject } from './objects.ts';
import type { Store } from './store.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';

export class SlicesByService {
  readonly #slices = new Map<string, Map<string, EndpointSliceObject>>();
  readonly #serviceOf = new Map<string, string>();

  /** Follows the store; `listener` hears `namespace/name` of the Service whose slices changed. */
  constructor(store: Store<EndpointSliceObject>, listener: (service: string) => void) {
    store.subscribe((key, slice) => {
      const before = this.#serviceOf.get(key);
      const name = slice?.metadata.labels?.[SERVICE_NAME];
      const service = slice && name ? `${slice.metadata.namespace}/${name}` : undefined;
      if (before !== undefined && before !== service) this.#forget(before, key);
      if (service !== undefined && slice) {
        const known = this.#slices.get(service) ?? new Map<string, EndpointSliceObject>();
        this.#slices.set(service, known.set(key, slice));
        this.#serviceOf.set(key, service);
      }
      for (const each of new Set([before, service])) if (each !== undefined) listener(each);
    });
  }

  get(service: string): readonly EndpointSliceObject[] {
    return [...(this.#slices.get(service)?.values() ?? [])];
  }

  #forget(service: string, key: string): void {
    const known = this.#slices.get(service);
    known?.delete(key);
    if (known?.size === 0) this.#slices.delete(service);
    this.#serviceOf.delete(key);
  }
}
