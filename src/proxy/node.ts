// What forwarding needs to know of its own node: from the Node object, this machine's addresses and the flags.
import type { NodeObject } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, parseIp } from '../net/address.ts';
import { contains, parsePrefix, type Range, subtract, wholeFamily } from '../net/range.ts';
import type { PodInterface, RangeSets } from './rules.ts';

/** How traffic of pods is told from traffic that comes from outside the cluster. */
export type LocalDetection =
  | { readonly kind: 'cluster-cidr'; readonly ranges: readonly Range[] }
  | { readonly kind: 'node-cidr' }
  | { readonly kind: 'interface'; readonly pods: PodInterface };

export interface TrafficOptions {
  readonly detection: LocalDetection;
  /** Everything that goes to a cluster address is masqueraded. */
  readonly masqueradeAll: boolean;
  /** 0 to 31: which bit of a packet's mark says that it is to be masqueraded. */
  readonly masqueradeBit: number;
  /** The node's primary addresses, and those of its interfaces that lie in the ranges. */
  readonly nodePortAddresses: {
    readonly primary: boolean;
    /** Loopback too, which is none of the ranges' business. */
    readonly localhost: boolean;
    readonly ranges: readonly Range[];
  };
}

export interface NodeView {
  readonly zone: string | undefined;
  /** The primary address of each family. */
  readonly own: readonly Ip[];
  /** Those that node ports are served on. */
  readonly nodePortAddresses: readonly Ip[];
  readonly ranges: Pick<RangeSets, 'pods' | 'inside'>;
}

const ZONE = 'topology.kubernetes.io/zone';
const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

/** `machine`: the addresses of this machine's interfaces. */
export function nodeView(
  node: NodeObject | undefined,
  machine: readonly Ip[],
  options: TrafficOptions,
): NodeView {
  const own = primaryAddresses(node);
  const { nodePortAddresses, detection, masqueradeAll } = options;
  const pods = podRanges(node, detection);
  const inRanges = machine.filter(
    (address) => !isLoopback(address) && nodePortAddresses.ranges.some((range) => contains(range, address)),
  );
  // Where nothing tells pods from others, nobody is taken for an outsider; nor where their interface tells.
  const blind = FAMILIES.filter((family) => !pods.some((range) => range.family === family));
  return {
    zone: node?.metadata.labels?.[ZONE] || undefined,
    own,
    nodePortAddresses: [...new Set([...(nodePortAddresses.primary ? own : []), ...inRanges])].sort(),
    ranges: {
      pods,
      inside: masqueradeAll || detection.kind === 'interface' ? [] : [...pods, ...blind.map(wholeFamily)],
    },
  };
}

function podRanges(node: NodeObject | undefined, detection: LocalDetection): readonly Range[] {
  switch (detection.kind) {
    case 'cluster-cidr':
      return subtract(detection.ranges, []);
    case 'node-cidr': {
      const read = (node?.spec?.podCIDRs ?? []).map(parsePrefix);
      return subtract(
        read.flatMap((prefix) => (prefix.kind === 'parsed' ? [prefix.value] : [])),
        [],
      );
    }
    case 'interface':
      return [];
  }
}

/** As kube-proxy has it: the first InternalIP of a family, or where there is none the first ExternalIP. */
function primaryAddresses(node: NodeObject | undefined): Ip[] {
  const listed = node?.status?.addresses ?? [];
  return FAMILIES.flatMap((family) => {
    for (const type of ['InternalIP', 'ExternalIP']) {
      for (const each of listed) {
        const parsed = each.type === type ? parseIp(each.address) : undefined;
        if (parsed?.kind === 'parsed' && familyOf(parsed.value) === family) return [parsed.value];
      }
    }
    return [];
  });
}

function isLoopback(address: Ip): boolean {
  return address === '::1' || address.startsWith('127.');
}
