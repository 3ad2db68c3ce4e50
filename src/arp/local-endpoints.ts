// On which nodes each Service has endpoints that take traffic: those may announce it under externalTrafficPolicy Local.
import type { EndpointSliceObject } from '../kube/objects.ts';

/** The label that ties a slice to its Service (discovery.k8s.io/v1). */
const SERVICE_NAME = 'kubernetes.io/service-name';
const NONE: ReadonlySet<string> = new Set();

/** Nodes of the endpoints in one slice. */
interface Placed {
  readonly service: string;
  readonly ready: ReadonlySet<string>;
  /** Of endpoints that terminate and still serve: they count where nothing is ready (KEP-1669). */
  readonly draining: ReadonlySet<string>;
}

export class LocalEndpoints {
  readonly #slices = new Map<string, Placed>();
  /** Keys of the slices of each Service. */
  readonly #ofService = new Map<string, Set<string>>();

  /** A slice as it is now, undefined when it is gone; whether the nodes of its Service are others than before. */
  set(key: string, slice: EndpointSliceObject | undefined): boolean {
    const before = this.#slices.get(key);
    const placed = slice && placedIn(slice);
    if (before) this.#forget(key, before);
    if (placed) {
      this.#slices.set(key, placed);
      this.#ofService.set(placed.service, (this.#ofService.get(placed.service) ?? new Set()).add(key));
    }
    return (
      before?.service !== placed?.service ||
      !same(before?.ready, placed?.ready) ||
      !same(before?.draining, placed?.draining)
    );
  }

  /** `service`: namespace/name. */
  nodesOf(service: string): ReadonlySet<string> {
    const slices = [...(this.#ofService.get(service) ?? [])].flatMap((key) => this.#slices.get(key) ?? []);
    const ready = new Set(slices.flatMap((slice) => [...slice.ready]));
    return ready.size > 0 ? ready : new Set(slices.flatMap((slice) => [...slice.draining]));
  }

  #forget(key: string, { service }: Placed): void {
    this.#slices.delete(key);
    const keys = this.#ofService.get(service);
    keys?.delete(key);
    if (keys?.size === 0) this.#ofService.delete(service);
  }
}

function placedIn({ metadata, endpoints }: EndpointSliceObject): Placed | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  if (!name) return undefined;
  const ready = new Set<string>();
  const draining = new Set<string>();
  for (const { nodeName, conditions } of endpoints ?? []) {
    if (nodeName === undefined) continue;
    // An absent condition means true for `ready` (discovery.k8s.io/v1).
    if (conditions?.ready ?? true) ready.add(nodeName);
    else if (conditions?.serving && conditions.terminating) draining.add(nodeName);
  }
  return { service: `${metadata.namespace}/${name}`, ready, draining };
}

function same(a: ReadonlySet<string> = NONE, b: ReadonlySet<string> = NONE): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each));
}
