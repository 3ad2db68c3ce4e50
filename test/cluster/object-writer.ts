// Brings Services and EndpointSlices that a test describes to an API server, which completes and checks them.
import { type KubeApi, KubeError, type ObjectName, type Resource } from '../../src/kube/kube-api.ts';
import type { EndpointSliceObject, KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { ENDPOINT_SLICES, SERVICES } from '../../src/kube/resources.ts';
import type { RawClient } from '../lab/apiserver/raw-client.ts';
import type { Objects } from '../proxy/objects.ts';

const MANAGER = 'test';

export class ObjectWriter {
  readonly #api: KubeApi;
  readonly #raw: RawClient;
  /** Addresses' type of each slice, which cannot be changed. */
  readonly #types = new Map<string, string>();
  /** What was last written of each object and status, as JSON: the same again is no write. */
  readonly #written = new Map<string, string>();

  constructor(api: KubeApi, raw: RawClient) {
    this.#api = api;
    this.#raw = raw;
  }

  /** Null: it goes. */
  async write({ services = {}, slices = {} }: Objects): Promise<void> {
    await Promise.all([
      ...Object.entries(services).map(([key, object]) => this.#writeService(nameOf(key), object)),
      ...Object.entries(slices).map(([key, object]) => this.#writeSlice(nameOf(key), object)),
    ]);
  }

  async #writeService(at: ObjectName, object: ServiceObject | null): Promise<void> {
    await this.#changeService(at, object);
    await this.#untilCached(at);
  }

  /**
   * Resolves when the server's cache has the Service as it is. A change of what the cache has otherwise is tried on that
   * first, and a node port that the first try took is lost to the second one.
   */
  async #untilCached({ namespace = '', name }: ObjectName): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/services/${name}`;
    const versionAt = async (query: string) =>
      (await this.#raw.get(path + query)).body.metadata.resourceVersion;
    const version = await versionAt('');
    while ((await versionAt('?resourceVersion=0')) !== version);
  }

  async #changeService(at: ObjectName, object: ServiceObject | null): Promise<void> {
    if (!object) return this.#remove(SERVICES, at);
    const { metadata, spec, status } = object;
    const { labels, annotations } = metadata;
    const { loadBalancerSourceRanges, ...anyType } = spec;
    // The server takes them for this type alone.
    const ranges =
      spec.type === 'LoadBalancer' && loadBalancerSourceRanges ? { loadBalancerSourceRanges } : {};
    const families = (spec.clusterIPs ?? []).map((address) =>
      address.includes(':') ? ('IPv6' as const) : ('IPv4' as const),
    );
    const ipFamilyPolicy = families.length > 1 ? ('RequireDualStack' as const) : ('SingleStack' as const);
    const asked = families.length > 0 ? { ipFamilies: families, ipFamilyPolicy } : {};
    await this.#apply(SERVICES, at, {
      metadata: { ...at, ...(labels && { labels }), ...(annotations && { annotations }) },
      spec: { ...anyType, ...ranges, ...asked },
    });
    if (spec.type !== 'LoadBalancer') {
      this.#written.delete(`status ${at.name}`);
      return;
    }
    const ingress = status?.loadBalancer?.ingress ?? [];
    const body = { status: { loadBalancer: { ingress } } };
    if (!this.#isNew('status', at, body)) return;
    const options = { type: 'merge', subresource: 'status', fieldManager: MANAGER } as const;
    await this.#api.patch(SERVICES, at, body, options);
  }

  async #writeSlice(at: ObjectName, object: EndpointSliceObject | null): Promise<void> {
    const known = this.#types.get(at.name);
    if (known !== undefined && known !== object?.addressType) await this.#remove(ENDPOINT_SLICES, at);
    this.#types.delete(at.name);
    if (!object) return;
    this.#types.set(at.name, object.addressType);
    const { addressType, ports, metadata, endpoints } = object;
    await this.#apply(ENDPOINT_SLICES, at, {
      metadata: { ...at, ...(metadata.labels && { labels: metadata.labels }) },
      addressType,
      ports: ports ?? [],
      endpoints: (endpoints ?? []).map(({ hints, ...endpoint }) => {
        const { forZones = [], forNodes = [] } = hints ?? {};
        if (forZones.length === 0 && forNodes.length === 0) return endpoint;
        // The server takes no empty list for a hint.
        const given = { ...(forZones.length > 0 && { forZones }), ...(forNodes.length > 0 && { forNodes }) };
        return { ...endpoint, hints: given };
      }),
    });
  }

  async #apply<T extends KubeObject>(resource: Resource<T>, at: ObjectName, object: T): Promise<void> {
    if (this.#isNew(resource.plural, at, object)) await apply(this.#api, resource, at, object);
  }

  #isNew(kind: string, { name }: ObjectName, object: object): boolean {
    const [key, text] = [`${kind} ${name}`, JSON.stringify(object)];
    if (this.#written.get(key) === text) return false;
    this.#written.set(key, text);
    return true;
  }

  async #remove(resource: Resource, at: ObjectName): Promise<void> {
    for (const kind of [resource.plural, 'status']) this.#written.delete(`${kind} ${at.name}`);
    try {
      await this.#api.delete(resource, at);
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
    }
  }
}

/** The object is like this from now on, and what it had besides is gone. */
export async function apply<T extends KubeObject>(
  api: KubeApi,
  resource: Resource<T>,
  at: ObjectName,
  object: T,
): Promise<void> {
  const { group, version, kind } = resource;
  const body = { apiVersion: group === '' ? version : `${group}/${version}`, kind, ...object };
  await api.patch(resource, at, body, { type: 'apply', fieldManager: MANAGER, force: true });
}

function nameOf(key: string): ObjectName & { readonly namespace: string } {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
}
