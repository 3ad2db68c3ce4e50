// Which endpoints serve a Service's port: read from its EndpointSlices, of any number and order.
import { type Balancing, weightOf } from '../api/load-balancing.ts';
import type { EndpointSliceObject, ServicePort } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, parseIp } from '../net/address.ts';

export interface Endpoint {
  readonly address: Ip;
  readonly port: number;
  /** Whether it runs on this node. */
  readonly local: boolean;
  /** Of connections, next to the others; absent: all alike. */
  readonly weight?: number;
}

/** The endpoints of one port and family: ascending in each list, and each once. */
export interface EndpointLists {
  /** For traffic that may go to any node; empty: nobody in the cluster serves. */
  readonly cluster: readonly Endpoint[];
  /** For traffic that must stay on this node. */
  readonly local: readonly Endpoint[];
  /** The ready ones of this node. */
  readonly localReady: readonly Endpoint[];
  /** All that a flow under way may go on with, whatever the lists above say to new ones. */
  readonly serving: readonly Endpoint[];
  /** All that there are: a connection to another one can only wait. */
  readonly listed: readonly Endpoint[];
}

/** Where this node is. */
export interface NodePlace {
  readonly node: string;
  /** Its label topology.kubernetes.io/zone. */
  readonly zone: string | undefined;
  /** Nodes that are known to be dead, before the API server knows. */
  readonly dead?: ReadonlySet<string>;
}

/** The label that ties a slice to its Service (discovery.k8s.io/v1). */
const SERVICE_NAME = 'kubernetes.io/service-name';
/** Slices with this label belong to Services that nothing is forwarded for. */
const HEADLESS = 'service.kubernetes.io/headless';

/** `namespace/name` of the slice's Service; undefined for a slice that is none of ours. */
export function serviceKeyOf({ metadata }: EndpointSliceObject): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  const headless = metadata.labels?.[HEADLESS] !== undefined;
  return headless || name === undefined || name === '' ? undefined : `${metadata.namespace}/${name}`;
}

interface Candidate extends Endpoint {
  /** Where it is, as each slice that has it says. */
  readonly places: readonly { readonly node: string | undefined; readonly zone: string | undefined }[];
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Undefined: its slice gives no hint. */
  readonly forNodes: readonly string[] | undefined;
  readonly forZones: readonly string[] | undefined;
}

/**
 * In either list the ready ones, or where there are none those that still serve while they terminate (KEP-1669); it
 * is decided for each list by itself. Of ready ones in the cluster's list those that are hinted to this node or zone.
 */
export function endpointLists(
  slices: Iterable<EndpointSliceObject>,
  port: ServicePort,
  family: Family,
  place: NodePlace,
  balancing: Balancing = { kind: 'random' },
): EndpointLists {
  const all = onLiveNodes(candidatesOf(slices, port, family, place.node), place.dead);
  const plain = (candidates: readonly Candidate[]) =>
    candidates.map(({ address, port, local, places }): Endpoint => {
      const endpoint = { address, port, local };
      if (balancing.kind !== 'weighted') return endpoint;
      const weights = places.map((each) => weightOf(balancing.weights, { address, ...each }));
      return { ...endpoint, weight: Math.max(...weights) };
    });
  const ready = all.filter((candidate) => candidate.ready);
  const draining = all.filter(({ serving, terminating }) => serving && terminating);
  const isLocal = ({ local }: Candidate) => local;
  const localReady = ready.filter(isLocal);
  return {
    cluster: plain(ready.length > 0 ? hinted(ready, place) : draining),
    local: plain(localReady.length > 0 ? localReady : draining.filter(isLocal)),
    localReady: plain(localReady),
    serving: plain(all.filter((candidate) => candidate.ready || candidate.serving)),
    listed: plain(all),
  };
}

/** Without those on dead nodes, unless nobody else could serve: who says so may be wrong, and nothing is lost. */
function onLiveNodes(
  candidates: readonly Candidate[],
  dead: ReadonlySet<string> | undefined,
): readonly Candidate[] {
  if (!dead || dead.size === 0) return candidates;
  const live = candidates.filter(({ places }) =>
    places.some(({ node }) => node === undefined || !dead.has(node)),
  );
  const serves = ({ ready, serving, terminating }: Candidate) => ready || (serving && terminating);
  return live.some(serves) ? live : candidates;
}

/** As in kube-proxy: hints count only where every endpoint has one, and one of them is for us (KEP-2433, KEP-4444). */
function hinted(ready: readonly Candidate[], { node, zone }: NodePlace): readonly Candidate[] {
  if (ready.every(({ forNodes }) => forNodes)) {
    const ours = ready.filter(({ forNodes }) => forNodes?.includes(node));
    if (ours.length > 0) return ours;
  }
  if (zone !== undefined && ready.every(({ forZones }) => forZones)) {
    const ours = ready.filter(({ forZones }) => forZones?.includes(zone));
    if (ours.length > 0) return ours;
  }
  return ready;
}

function candidatesOf(
  slices: Iterable<EndpointSliceObject>,
  port: ServicePort,
  family: Family,
  nodeName: string,
): Candidate[] {
  const candidates = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    const number = portOf(slice, port);
    if (number === undefined) continue;
    for (const { addresses, conditions = {}, nodeName: node, zone, hints } of slice.endpoints ?? []) {
      const parsed = parseIp(addresses[0] ?? '');
      if (parsed.kind === 'malformed' || familyOf(parsed.value) !== family) continue;
      const { ready = true, terminating = false } = conditions;
      const key = `${parsed.value} ${number}`;
      const known = candidates.get(key);
      candidates.set(key, {
        address: parsed.value,
        port: number,
        local: node === nodeName || (known?.local ?? false),
        places: [...(known?.places ?? []), { node, zone }],
        ready: ready || (known?.ready ?? false),
        serving: (conditions.serving ?? ready) || (known?.serving ?? false),
        terminating: terminating || (known?.terminating ?? false),
        forNodes: union(known?.forNodes, hints?.forNodes),
        forZones: union(known?.forZones, hints?.forZones),
      });
    }
  }
  return [...candidates.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, candidate]) => candidate);
}

function union(
  names: readonly string[] | undefined,
  hints: readonly { readonly name: string }[] | undefined,
): readonly string[] | undefined {
  if (!hints || hints.length === 0) return names;
  return [...(names ?? []), ...hints.map(({ name }) => name)];
}

function portOf(slice: EndpointSliceObject, port: ServicePort): number | undefined {
  const { name = '', protocol = 'TCP' } = port;
  const match = slice.ports?.find(
    (each) => (each.name ?? '') === name && (each.protocol ?? 'TCP') === protocol,
  );
  return match?.port || undefined;
}
