// A pod that waits for the load balancer of a Service to find it healthy, and the slice that says where it is.
import type { KubeApi } from '../../src/kube/kube-api.ts';
import type { EndpointSliceObject, PodObject } from '../../src/kube/objects.ts';
import { ENDPOINT_SLICES, PODS } from '../../src/kube/resources.ts';

const STATUS = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;

/** Its containers are ready. */
export async function createGatedPod(api: KubeApi, service: string, name: string, ip: string): Promise<void> {
  const pod: PodObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      readinessGates: [{ conditionType: `target-health.fairlead.dev/${service}` }],
      containers: [{ name: 'web', image: 'example.com/web' }],
    },
  };
  await api.create(PODS, pod);
  const conditions = [{ type: 'ContainersReady', status: 'True' }];
  const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions };
  await api.patch(PODS, { name, namespace: 'default' }, { status }, STATUS);
  const slice: EndpointSliceObject = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-gated`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: 'IPv4',
    endpoints: [
      {
        addresses: [ip],
        conditions: { ready: false, serving: false, terminating: false },
        targetRef: { kind: 'Pod', name, namespace: 'default' },
      },
    ],
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
  };
  await api.create(ENDPOINT_SLICES, slice);
}

/** Whether the pod's gate is open. */
export async function isGateOpen(api: KubeApi, service: string, name: string): Promise<boolean> {
  const { status } = await api.get(PODS, { name, namespace: 'default' });
  const gate = status?.conditions?.find(({ type }) => type === `target-health.fairlead.dev/${service}`);
  return gate?.status === 'True';
}
