// The forwarding table of one Service as values: who is addressed (frontends) and who answers (endpoints).
import { POOL_ANNOTATION } from '../api/service.ts';
import type { EndpointSliceObject, Protocol, ServiceObject } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, parseIp } from '../net/address.ts';
import { type Endpoint, usableEndpoints } from './endpoints.ts';

export interface Frontend {
  readonly address: Ip;
  /** From outside the cluster: the answer must come back through this node, so its source is masqueraded. */
  readonly external: boolean;
}

/** One port of a Service in one family. */
export interface PortTable {
  /** `namespace/name:port-name/protocol/family`: what an id belongs to. */
  readonly key: string;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number | undefined;
  readonly frontends: readonly Frontend[];
  readonly endpoints: readonly Endpoint[];
}

export interface ServiceTable {
  readonly ports: readonly PortTable[];
  /** Cluster addresses, and those from our pools: whatever else is sent to them is refused. */
  readonly addresses: readonly Ip[];
  /** Of a load balancer, whoever gave them. */
  readonly balanced: readonly Ip[];
  /** Those of them that our pools gave. */
  readonly pooled: readonly Ip[];
}

export const EMPTY_TABLE: ServiceTable = { ports: [], addresses: [], balanced: [], pooled: [] };

/** kube-proxy leaves Services with this label to another proxy, and so do we. */
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

/**
 * Not looked at: both traffic policies (each Service is served as with Cluster, which masquerades what comes from
 * outside), sessionAffinity (each connection picks anew) and loadBalancerSourceRanges (everybody is let in).
 */
export function serviceTable(
  service: ServiceObject | undefined,
  slices: Iterable<EndpointSliceObject>,
  nodeName: string,
): ServiceTable {
  if (!service || !isForwarded(service)) return EMPTY_TABLE;
  const { metadata, spec, status } = service;
  const cluster = addressesOf(spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []));
  const ingress = spec.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []) : [];
  const balanced = addressesOf(ingress.filter(({ ipMode }) => ipMode !== 'Proxy').map(({ ip }) => ip ?? ''));
  // An address that another implementation gave, or an external one, may be a machine's: refusing all of its
  // other ports would cut that machine off.
  const pooled = metadata.annotations?.[POOL_ANNOTATION] === undefined ? [] : balanced;
  const external = [...balanced, ...addressesOf(spec.externalIPs ?? [])];
  const all: Frontend[] = [
    ...cluster.map((address) => ({ address, external: false })),
    ...external.map((address) => ({ address, external: true })),
  ];
  const held = [...slices];
  const ports: PortTable[] = [];
  for (const port of spec.ports ?? []) {
    // A node port answers in the families that the Service has cluster addresses of.
    for (const family of new Set(cluster.map(familyOf))) {
      const { name = '', protocol = 'TCP', nodePort } = port;
      ports.push({
        key: `${metadata.namespace}/${metadata.name}:${name}/${protocol}/${family}`,
        family,
        protocol,
        port: port.port,
        nodePort: nodePort || undefined,
        frontends: all.filter(({ address }) => familyOf(address) === family),
        endpoints: usableEndpoints(held, port, family, nodeName),
      });
    }
  }
  return { ports, addresses: [...cluster, ...pooled], balanced, pooled };
}

function isForwarded({ metadata, spec }: ServiceObject): boolean {
  if (spec.type === 'ExternalName' || spec.clusterIP === 'None' || !spec.clusterIP) return false;
  return metadata.labels?.[PROXY_NAME] === undefined;
}

function addressesOf(texts: readonly string[]): Ip[] {
  const addresses: Ip[] = [];
  for (const text of texts) {
    const parsed = parseIp(text);
    if (parsed.kind === 'parsed') addresses.push(parsed.value);
  }
  return addresses;
}
