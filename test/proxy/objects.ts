// Services and EndpointSlices as an API server shows them, in few words.
import type { EndpointSliceObject, ServiceObject } from '../../src/kube/objects.ts';

/** By `namespace/name`; null: there is none any more. */
export interface Objects {
  readonly services?: Readonly<Record<string, ServiceObject | null>>;
  readonly slices?: Readonly<Record<string, EndpointSliceObject | null>>;
}

type Spec = ServiceObject['spec'];

/** Class IPs and what else is not given are as the API server defaults them. */
export function service(
  name: string,
  spec: Spec,
  {
    ingress = [],
    labels = {},
    pooled = true,
    annotations = {},
  }: {
    ingress?: readonly { ip?: string; hostname?: string; ipMode?: string }[];
    labels?: Record<string, string>;
    pooled?: boolean;
    annotations?: Record<string, string>;
  } = {},
): ServiceObject {
  const [clusterIP] = spec.clusterIPs ?? [];
  return {
    metadata: {
      name,
      namespace: 'default',
      labels,
      annotations: {
        ...annotations,
        ...(pooled && ingress.length > 0 ? { 'fairlead.dev/ip-allocated-from-pool': 'pool' } : {}),
      },
    },
    spec: { type: 'ClusterIP', ...(clusterIP === undefined ? {} : { clusterIP }), ...spec },
    status: { loadBalancer: { ingress } },
  };
}

export interface EndpointText {
  readonly address: string;
  /** Node that it runs on; null: none of the cluster's. */
  readonly node?: string | null;
  readonly zone?: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly forZones?: readonly string[];
  readonly forNodes?: readonly string[];
}

/** A slice of the Service called `of`; the family is that of the first endpoint, IPv4 without any. */
export function slice(
  of: string,
  endpoints: readonly EndpointText[],
  ports: NonNullable<EndpointSliceObject['ports']>,
): EndpointSliceObject {
  return {
    metadata: { name: `${of}-slice`, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    addressType: endpoints[0]?.address.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: endpoints.map(
      ({ address, node = 'node', zone, forZones = [], forNodes = [], ...conditions }) => ({
        addresses: [address],
        ...(node === null ? {} : { nodeName: node }),
        ...(zone === undefined ? {} : { zone }),
        conditions,
        hints: {
          forZones: forZones.map((name) => ({ name })),
          forNodes: forNodes.map((name) => ({ name })),
        },
      }),
    ),
    ports,
  };
}
