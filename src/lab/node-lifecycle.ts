// Stands in for the node lifecycle controller: a node whose Lease is no longer renewed is not Ready, nor are its
// pods. Sooner than a real cluster's, so that nobody waits a minute for a demonstration.
import type { Clock, Timer } from '../clock/clock.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { LeaseObject } from '../kube/lease.ts';
import type { NodeObject, PodObject } from '../kube/objects.ts';
import { NODES, PODS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import { LEASE_NAMESPACE } from './kinds.ts';

/** Milliseconds between renewals (kubelet: 10 s), and from the last one until a node counts as gone (50 s). */
export const HEARTBEAT = 400;
const GRACE = 3_000;
/** Without news of any node for so long the API server is away, and no node's fault. */
const ALL_SILENT = 3 * HEARTBEAT;

const MERGE = { type: 'merge', subresource: 'status', fieldManager: 'lab-node-lifecycle' } as const;

export interface NodeLifecycleOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly leases: Store<LeaseObject>;
  readonly nodes: Store<NodeObject>;
  readonly pods: Store<PodObject>;
  readonly onError: (error: Error) => void;
}

/** Works until `signal` aborts. The stores are followed by the caller. */
export function runNodeLifecycle(options: NodeLifecycleOptions, signal: AbortSignal): void {
  const { clock, leases, onError } = options;
  const graces = new Map<string, Timer>();
  /** Since when news come one after the other, and when the last came. */
  const news = { since: clock.now(), last: clock.now() };
  const expectRenewal = (node: string) => {
    graces.get(node)?.cancel();
    const onSilence = () => {
      expectRenewal(node);
      const now = clock.now();
      // As kube-controller-manager judges no node while all are silent.
      if (now - news.last > ALL_SILENT || now - news.since < GRACE) return;
      markNode(options, node, false).catch(onError);
    };
    graces.set(node, clock.setTimer(GRACE, onSilence));
  };
  const unsubscribe = leases.subscribe((_, lease) => {
    if (lease?.metadata.namespace !== LEASE_NAMESPACE) return;
    const { name } = lease.metadata;
    const now = clock.now();
    if (now - news.last > ALL_SILENT) news.since = now;
    news.last = now;
    expectRenewal(name);
    markNode(options, name, true).catch(onError);
  });
  signal.addEventListener('abort', () => {
    unsubscribe();
    for (const timer of graces.values()) timer.cancel();
  });
}

async function markNode(
  { api, nodes, pods, clock }: NodeLifecycleOptions,
  name: string,
  ready: boolean,
): Promise<void> {
  const node = nodes.get(name);
  // A node whose kubelet is silent may be well: its status is not known.
  if (node && isReady(node.status) !== ready) {
    const conditions = [readyCondition(ready ? 'True' : 'Unknown', clock)];
    await api.patch(NODES, { name }, { status: { conditions } }, MERGE);
  }
  for (const pod of pods.values()) {
    if (pod.spec.nodeName !== name || isReady(pod.status) === ready) continue;
    const { namespace = '', name: podName } = pod.metadata;
    const conditions = [readyCondition(ready ? 'True' : 'False', clock)];
    await api.patch(PODS, { namespace, name: podName }, { status: { conditions } }, MERGE);
  }
}

export function isReady(
  status: { conditions?: readonly { type: string; status: string }[] } | undefined,
): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}

function readyCondition(status: 'True' | 'False' | 'Unknown', clock: Clock) {
  const now = clock
    .wallTime()
    .toISOString()
    .replace(/\.\d+Z$/, 'Z');
  return { type: 'Ready', status, lastTransitionTime: now, reason: 'Lab', message: '' };
}
