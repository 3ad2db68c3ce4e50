// Readiness gates: a pod that waits for its load balancer is Ready only when its targets pass their health checks, so
// that a rollout takes no pod away before the next one serves. Such a pod is a target before it is Ready.
import type { Condition, EndpointSliceObject, PodObject } from '../../kube/objects.ts';
import { targetKey } from './differences.ts';
import type { Target } from './model.ts';
import type { ObservedTarget } from './observed.ts';

/** `target-health.fairlead.dev/NAME-OF-THE-SERVICE` */
export const GATE = 'target-health.fairlead.dev/';
/** The AWS controller's webhook writes it, with the name of the target group. */
export const AWS_GATE = 'target-health.elbv2.k8s.aws/';

export interface PodAccess {
  /** Undefined: it is gone. */
  get(namespace: string, name: string): Promise<PodObject | undefined>;
  /** Writes the condition for the version of the pod that it is given. */
  setCondition(pod: PodObject, condition: Omit<Condition, 'lastTransitionTime'>): Promise<void>;
}

export interface GatedPod {
  readonly pod: PodObject;
  readonly address: string;
  /** Types of conditions. */
  readonly gates: readonly string[];
  /** Whether all of it but the gates is ready, so that it may be a target. */
  readonly serves: boolean;
}

/** The gates of a pod that wait for a Service. `groups`: names of its target groups. */
export function gatesOf({ spec }: PodObject, service: string, groups: readonly string[]): string[] {
  const ours = new Set([`${GATE}${service}`, ...groups.map((name) => `${AWS_GATE}${name}`)]);
  return (spec.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter((type) => ours.has(type));
}

/** What a pod's gate is to say. `states`: of all target groups of the Service. */
export function gateCondition(
  { address }: Pick<GatedPod, 'address'>,
  targets: readonly Target[],
  states: readonly ObservedTarget[],
): Pick<Condition, 'status' | 'reason' | 'message'> {
  const mine = targets.filter(({ id }) => id === address);
  const waiting = mine
    .map((target) => ({ ...target, state: stateOf(target, states) }))
    .filter(({ state }) => state !== 'healthy');
  if (mine.length > 0 && waiting.length === 0)
    return {
      status: 'True',
      reason: 'Healthy',
      message: 'its targets pass the health checks of the load balancer',
    };
  const [first] = waiting;
  const message = first
    ? `the load balancer finds its port ${first.port} ${first.state}`
    : 'it is not a target of the load balancer yet';
  return { status: 'False', reason: 'NotHealthy', message };
}

function stateOf(target: Target, states: readonly ObservedTarget[]): string {
  return states.find((each) => targetKey(each) === targetKey(target))?.state ?? 'not registered';
}

type Endpoint = NonNullable<EndpointSliceObject['endpoints']>[number];

/** Those that may wait for a load balancer. */
export function unreadyPods(slices: readonly EndpointSliceObject[]): Endpoint[] {
  return slices.flatMap(({ endpoints }) =>
    (endpoints ?? []).filter(
      ({ conditions, targetRef }) =>
        conditions?.ready === false && conditions.terminating !== true && targetRef?.kind === 'Pod',
    ),
  );
}

export class Readiness {
  readonly #pods: PodAccess;
  /** By Service, and by pod: those that are not Ready and wait for nothing of ours. */
  readonly #others = new Map<string, Set<string>>();

  constructor(pods: PodAccess) {
    this.#pods = pods;
  }

  /** The pods of a Service that wait for its load balancer. A read for each that is not Ready and may wait for it. */
  async waiting(
    { key, name }: { readonly key: string; readonly name: string },
    groups: readonly string[],
    slices: readonly EndpointSliceObject[],
  ): Promise<GatedPod[]> {
    const before = this.#others.get(key);
    const others = new Set<string>();
    const found = await Promise.all(
      unreadyPods(slices).map(async ({ addresses: [address = ''], targetRef }): Promise<GatedPod[]> => {
        const { namespace = '', name: podName = '' } = targetRef ?? {};
        const id = `${podName} ${address}`;
        if (before?.has(id)) {
          others.add(id);
          return [];
        }
        const pod = await this.#pods.get(namespace, podName);
        const gates = pod ? gatesOf(pod, name, groups) : [];
        if (!pod || gates.length === 0 || pod.metadata.deletionTimestamp !== undefined) {
          others.add(id);
          return [];
        }
        return [{ pod, address, gates, serves: is(pod, 'ContainersReady') }];
      }),
    );
    if (others.size > 0) this.#others.set(key, others);
    else this.#others.delete(key);
    return found.flat();
  }

  /** The Service is gone. */
  forget(key: string): void {
    this.#others.delete(key);
  }

  /** Writes what is not written yet. */
  async tell(
    pods: readonly GatedPod[],
    targets: readonly Target[],
    states: readonly ObservedTarget[],
  ): Promise<void> {
    for (const each of pods) {
      const wanted = gateCondition(each, targets, states);
      for (const type of each.gates) {
        const has = each.pod.status?.conditions?.find((condition) => condition.type === type);
        if (has?.status === wanted.status && has.message === wanted.message) continue;
        await this.#pods.setCondition(each.pod, { type, ...wanted });
      }
    }
  }
}

function is({ status }: PodObject, type: string): boolean {
  return status?.conditions?.some((each) => each.type === type && each.status === 'True') ?? false;
}
