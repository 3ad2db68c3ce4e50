// Stands in for the EndpointSlice controller: Services with a selector get slices of the pods that match it.
import type { KubeApi } from '../kube/kube-api.ts';
import type { EndpointSliceObject, PodObject, ServiceObject, ServicePort } from '../kube/objects.ts';
import { ENDPOINT_SLICES } from '../kube/resources.ts';
import { keyOf, type Store } from '../kube/store.ts';
import { isReady } from './node-lifecycle.ts';

const MANAGER = 'endpointslice-controller.lab.fairlead.dev';
const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';

export interface EndpointSliceOptions {
  readonly api: KubeApi;
  readonly services: Store<ServiceObject>;
  readonly pods: Store<PodObject>;
  readonly slices: Store<EndpointSliceObject>;
  readonly onError: (error: Error) => void;
}

/** Works until `signal` aborts. The stores are followed by the caller, and hold their first lists. */
export function runEndpointSlices(options: EndpointSliceOptions, signal: AbortSignal): void {
  const { services, pods, slices, onError } = options;
  let running = false;
  let again = false;
  const sync = async () => {
    again = true;
    if (running) return;
    running = true;
    while (again && !signal.aborted) {
      again = false;
      await syncAll(options).catch(onError);
    }
    running = false;
  };
  const unsubscribe = [services.subscribe(sync), pods.subscribe(sync), slices.subscribe(sync)];
  signal.addEventListener('abort', () => {
    for (const stop of unsubscribe) stop();
  });
  sync();
}

async function syncAll({ api, services, pods, slices }: EndpointSliceOptions): Promise<void> {
  const wanted = new Map<string, EndpointSliceObject>();
  for (const service of services.values())
    for (const slice of slicesFor(service, [...pods.values()])) wanted.set(keyOf(slice), slice);
  for (const [key, slice] of wanted) {
    if (sameContent(slice, slices.get(key))) continue;
    const { name, namespace = '' } = slice.metadata;
    const options = { type: 'apply', fieldManager: MANAGER, force: true } as const;
    await api.patch(ENDPOINT_SLICES, { name, namespace }, slice, options);
  }
  for (const slice of slices.values()) {
    const { name, namespace = '', labels } = slice.metadata;
    if (labels?.[MANAGED_BY] !== MANAGER || wanted.has(keyOf(slice))) continue;
    await api.delete(ENDPOINT_SLICES, { name, namespace });
  }
}

/** One slice a family of the Service's cluster addresses. */
export function slicesFor(service: ServiceObject, pods: readonly PodObject[]): EndpointSliceObject[] {
  const { metadata, spec } = service;
  const selector = Object.entries(spec.selector ?? {});
  if (selector.length === 0) return [];
  const selected = pods.filter(
    (pod) =>
      pod.metadata.namespace === metadata.namespace &&
      selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
  );
  return (spec.ipFamilies ?? []).map(
    (family): EndpointSliceObject => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${metadata.name}-${family.toLowerCase()}`,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        labels: { [SERVICE_NAME]: metadata.name, [MANAGED_BY]: MANAGER },
      },
      addressType: family,
      endpoints: selected.flatMap((pod) => endpointOf(pod, family)),
      ports: (spec.ports ?? []).map(({ name = '', protocol = 'TCP', ...port }) => ({
        name,
        protocol,
        port: targetPort(port, selected[0]),
      })),
    }),
  );
}

function endpointOf({ metadata, spec, status }: PodObject, family: 'IPv4' | 'IPv6') {
  const address = status?.podIPs?.find(({ ip }) => ip.includes(':') === (family === 'IPv6'));
  if (!address) return [];
  const ready = isReady(status);
  const { name, namespace = '' } = metadata;
  return {
    addresses: [address.ip],
    conditions: { ready, serving: ready, terminating: false },
    ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
    targetRef: { kind: 'Pod', name, namespace },
  };
}

/** A number, or the name of a container's port; the Service's own port where nothing is said. */
function targetPort({ targetPort: target, port }: ServicePort, pod: PodObject | undefined): number {
  if (typeof target !== 'string') return target ?? port;
  const ports = pod?.spec.containers.flatMap((container) => container.ports ?? []) ?? [];
  return ports.find(({ name }) => name === target)?.containerPort ?? port;
}

function sameContent(wanted: EndpointSliceObject, known: EndpointSliceObject | undefined): boolean {
  const text = ({ endpoints, ports, addressType }: EndpointSliceObject) =>
    JSON.stringify([
      addressType,
      ports?.map(({ name, protocol, port }) => [name ?? '', protocol, port]),
      endpoints?.map(({ addresses, conditions, nodeName }) => [addresses, conditions?.ready, nodeName]),
    ]);
  return known !== undefined && text(wanted) === text(known);
}
