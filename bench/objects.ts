// Services and EndpointSlices for benchmarks: each with two endpoints.
import type { EndpointSliceObject, Protocol, ServiceObject } from '../src/kube/objects.ts';

export const keyOf = (i: number) => `default/web-${i}`;

export function service(i: number, protocol: Protocol = 'TCP'): ServiceObject {
  return {
    metadata: { name: `web-${i}`, namespace: 'default' },
    spec: {
      type: 'ClusterIP',
      clusterIP: `10.96.${i >> 8}.${i & 255}`,
      clusterIPs: [`10.96.${i >> 8}.${i & 255}`],
      ports: [{ port: 80, protocol, targetPort: 8080 }],
    },
  };
}

/** `version`: another one has another second endpoint. */
export function slice(i: number, version: number, protocol: Protocol = 'TCP'): EndpointSliceObject {
  const pod = (net: number) => ({
    addresses: [`10.${net}.${i >> 8}.${i & 255}`],
    conditions: { ready: true },
    nodeName: net === 244 ? 'node' : 'node2',
  });
  return {
    metadata: {
      name: `web-${i}-1`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': `web-${i}` },
    },
    addressType: 'IPv4',
    ports: [{ port: 8080, protocol }],
    endpoints: [pod(244), pod(245 + (version % 8))],
  };
}
