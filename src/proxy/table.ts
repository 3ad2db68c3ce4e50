// The forwarding table of one Service as values: who is addressed (frontends) and who answers (endpoints).
import { type Balancing, readBalancing } from '../api/load-balancing.ts';
import { POOL_ANNOTATION } from '../api/service.ts';
import type { EndpointSliceObject, Protocol, ServiceObject } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, parseIp } from '../net/address.ts';
import type { Range } from '../net/range.ts';
import { type EndpointLists, endpointLists, type NodePlace } from './endpoints.ts';
import { sourceRanges } from './source-ranges.ts';

export interface Frontend {
  readonly address: Ip;
  /** Meant for clients outside the cluster: its policy is externalTrafficPolicy. */
  readonly external: boolean;
  /** Who is let in, disjoint and ascending; undefined: everybody. */
  readonly sources: readonly Range[] | undefined;
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
  readonly endpoints: EndpointLists;
  /** internalTrafficPolicy Local: cluster addresses lead to this node's endpoints only. */
  readonly internalLocal: boolean;
  /** externalTrafficPolicy Local: so do the others, for clients outside the cluster, who keep their address. */
  readonly externalLocal: boolean;
  /** For so many seconds after its last new connection a client comes back to the same endpoint. */
  readonly affinity: number | undefined;
  readonly balancing: Balancing;
}

export interface ServiceTable {
  readonly ports: readonly PortTable[];
  /** Cluster addresses: whatever else is sent to them is refused. */
  readonly cluster: readonly Ip[];
  /** Of a load balancer, whoever gave them. */
  readonly balanced: readonly Ip[];
  /** Those of them that our pools gave: whatever else is sent to them is refused. */
  readonly pooled: readonly Ip[];
  /** Where a load balancer asks whether this node has endpoints, and how many it has. */
  readonly healthCheck: HealthCheck | undefined;
  /** What its annotations ask for in vain, and why. */
  readonly complaints: readonly string[];
}

export interface HealthCheck {
  readonly port: number;
  readonly endpoints: number;
}

export const EMPTY_TABLE: ServiceTable = {
  ports: [],
  cluster: [],
  balanced: [],
  pooled: [],
  healthCheck: undefined,
  complaints: [],
};

/** kube-proxy leaves Services with this label to another proxy, and so do we. */
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

/** Seconds; API reference, ClientIPConfig. */
const DEFAULT_AFFINITY = 10_800;

/** `own`: this node's addresses. */
export function serviceTable(
  service: ServiceObject | undefined,
  slices: Iterable<EndpointSliceObject>,
  place: NodePlace,
  own: readonly Ip[] = [],
): ServiceTable {
  if (!service || !isForwarded(service)) return EMPTY_TABLE;
  const { metadata, spec, status } = service;
  const cluster = addressesOf(spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []));
  const ingress = spec.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []) : [];
  const balanced = addressesOf(ingress.filter(({ ipMode }) => ipMode !== 'Proxy').map(({ ip }) => ip ?? ''));
  // An address that another implementation gave, or an external one, may be a machine's: refusing all of its
  // other ports would cut that machine off.
  const pooled = metadata.annotations?.[POOL_ANNOTATION] === undefined ? [] : balanced;
  const listed = spec.loadBalancerSourceRanges ?? [];
  const open = { sources: undefined };
  const all: Frontend[] = [
    ...cluster.map((address) => ({ address, external: false, ...open })),
    ...balanced.map((address) => ({ address, external: true, sources: sourceRanges(listed, address, own) })),
    ...addressesOf(spec.externalIPs ?? []).map((address) => ({ address, external: true, ...open })),
  ];
  const held = [...slices];
  const { balancing, complaints } = readBalancing(metadata.annotations);
  const policies = {
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: spec.externalTrafficPolicy === 'Local',
    affinity:
      spec.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY)
        : undefined,
  };
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
        endpoints: endpointLists(held, port, family, place, balancing),
        balancing,
        ...policies,
      });
    }
  }
  return { ports, cluster, balanced, pooled, healthCheck: healthCheckOf(spec, ports), complaints };
}

function healthCheckOf(spec: ServiceObject['spec'], ports: readonly PortTable[]): HealthCheck | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort } = spec;
  if (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local' || !healthCheckNodePort) return undefined;
  const local = ports.flatMap(({ endpoints }) => endpoints.localReady.map(({ address }) => address));
  return { port: healthCheckNodePort, endpoints: new Set(local).size };
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
