// Which nodes or pods are targets of a listener: decided from Nodes and EndpointSlices alone.
import type { ListenerRequest } from '../../api/aws-ports.ts';
import type { EndpointSliceObject, NodeObject } from '../../kube/objects.ts';
import type { Target } from './model.ts';

export interface NodeTargets {
  /** EC2 instance ids, ascending. */
  readonly instances: readonly string[];
  /** Nodes that should be targets and cannot be: their provider ID names no instance. They hold nobody else back. */
  readonly unusable: readonly string[];
}

const EXCLUDING_LABELS = [
  'node.kubernetes.io/exclude-from-external-load-balancers',
  'node-role.kubernetes.io/master',
  'alpha.service-controller.kubernetes.io/exclude-balancer',
];
/** Nodes that are about to go. */
const EXCLUDING_TAINTS = [
  { key: 'ToBeDeletedByClusterAutoscaler' },
  { key: 'karpenter.sh/disrupted', effect: 'NoSchedule' },
];

/** `labels`: what a node must have. Where no node is ready, those of which nobody knows serve. */
export function nodeTargets(
  nodes: readonly NodeObject[],
  labels: Readonly<Record<string, string>>,
): NodeTargets {
  const eligible = nodes.filter((node) => isEligible(node, labels));
  const ready = eligible.filter((node) => readiness(node) === 'True');
  const serving = ready.length > 0 ? ready : eligible.filter((node) => readiness(node) === 'Unknown');
  const instances: string[] = [];
  const unusable: string[] = [];
  for (const { metadata, spec } of serving) {
    // aws:///eu-central-1a/i-0a1b2c3d4e5f60718
    const instance = /^aws:\/\/.*\/(i-[0-9a-f]{8,17})$/.exec(spec?.providerID ?? '')?.[1];
    if (instance) instances.push(instance);
    else unusable.push(metadata.name);
  }
  return { instances: instances.sort(), unusable: unusable.sort() };
}

function isEligible({ metadata, spec }: NodeObject, labels: Readonly<Record<string, string>>): boolean {
  const has = metadata.labels ?? {};
  if (EXCLUDING_LABELS.some((label) => has[label] !== undefined)) return false;
  if (has['eks.amazonaws.com/compute-type'] === 'fargate') return false;
  const leaving = (spec?.taints ?? []).some((taint) =>
    EXCLUDING_TAINTS.some(
      ({ key, effect }) => key === taint.key && (effect ?? taint.effect) === taint.effect,
    ),
  );
  return !leaving && Object.entries(labels).every(([key, value]) => has[key] === value);
}

function readiness({ status }: NodeObject): string {
  return status?.conditions?.find(({ type }) => type === 'Ready')?.status ?? 'Unknown';
}

/** The pods behind a listener that are ready, or wait for that alone (`gated`), by their own addresses and ports. */
export function podTargets(
  { portNames }: Pick<ListenerRequest, 'portNames'>,
  family: 'ipv4' | 'ipv6',
  slices: readonly EndpointSliceObject[],
  gated: ReadonlySet<string> = new Set(),
): Target[] {
  const targets = new Map<string, Target>();
  for (const { addressType, endpoints, ports } of slices) {
    if (addressType !== (family === 'ipv6' ? 'IPv6' : 'IPv4')) continue;
    const port = ports?.find(({ name = '' }) => portNames.includes(name))?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions } of endpoints ?? []) {
      const [id] = addresses; // the API: consumers use the first
      if (id === undefined) continue;
      if (conditions?.ready !== false || gated.has(id)) targets.set(`${id}:${port}`, { id, port });
    }
  }
  return [...targets.keys()].sort().flatMap((key) => targets.get(key) ?? []);
}
