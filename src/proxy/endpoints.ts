// Which endpoints serve a Service's port: read from its EndpointSlices, of any number and order.
import type { EndpointSliceObject, ServicePort } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, parseIp } from '../net/address.ts';

export interface Endpoint {
  readonly address: Ip;
  readonly port: number;
  /** Whether it runs on this node. */
  readonly local: boolean;
}

/** The label that ties a slice to its Service (discovery.k8s.io/v1). */
const SERVICE_NAME = 'kubernetes.io/service-name';

/** `namespace/name` of the slice's Service; undefined for a slice that is none of ours. */
export function serviceKeyOf({ metadata }: EndpointSliceObject): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  return name === undefined || name === '' ? undefined : `${metadata.namespace}/${name}`;
}

interface Candidate extends Endpoint {
  readonly ready: boolean;
  /** Draining, but still answering. */
  readonly serving: boolean;
}

/**
 * The endpoints of one port and family, ascending and each once: the ready ones, or where there are none those that
 * still serve while they terminate (KEP-1669).
 */
export function usableEndpoints(
  slices: Iterable<EndpointSliceObject>,
  port: ServicePort,
  family: Family,
  nodeName: string,
): Endpoint[] {
  const candidates = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    const number = portOf(slice, port);
    if (number === undefined) continue;
    for (const { addresses, conditions = {}, nodeName: node } of slice.endpoints ?? []) {
      const parsed = parseIp(addresses[0] ?? '');
      if (parsed.kind === 'malformed' || familyOf(parsed.value) !== family) continue;
      const { ready = true, terminating = false } = conditions;
      const serving = (conditions.serving ?? ready) && terminating;
      const local = node === nodeName;
      const key = `${parsed.value} ${number}`;
      const known = candidates.get(key);
      candidates.set(key, {
        address: parsed.value,
        port: number,
        local: local || (known?.local ?? false),
        ready: ready || (known?.ready ?? false),
        serving: serving || (known?.serving ?? false),
      });
    }
  }
  const all = [...candidates.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, candidate]) => candidate);
  const ready = all.filter((candidate) => candidate.ready);
  const usable = ready.length > 0 ? ready : all.filter((candidate) => candidate.serving);
  return usable.map(({ address, port, local }) => ({ address, port, local }));
}

function portOf(slice: EndpointSliceObject, port: ServicePort): number | undefined {
  const { name = '', protocol = 'TCP' } = port;
  const match = slice.ports?.find(
    (each) => (each.name ?? '') === name && (each.protocol ?? 'TCP') === protocol,
  );
  return match?.port || undefined;
}
