// A second look at one Service: what the lists of a survey do not tell (attributes, what a listener does, targets and
// their health), which AWS tells for one object at a time only.
import type { AwsApi } from './aws-api.ts';
import type { DesiredState } from './model.ts';
import { readListeners, readTargets, valuesOf } from './observe.ts';
import { intactIn, type Survey, stateIn } from './survey.ts';
import { healthIn, type TargetHealth } from './target-health.ts';

export type Verdict =
  | { readonly kind: 'intact'; readonly health: TargetHealth }
  /** Somebody changed it: a pass is due. */
  | { readonly kind: 'differs' };

/** How many calls `verify` makes at most. */
export function readsFor({ listeners, targetGroups }: DesiredState): number {
  return 2 + listeners.length + 2 * targetGroups.length;
}

/** `hostname`: where it should be found. */
export async function verify(
  api: AwsApi,
  survey: Survey,
  desired: DesiredState,
  hostname: string,
): Promise<Verdict> {
  const lists = stateIn(survey, desired);
  // Tags of listeners say nothing that anybody acts on.
  const tagsOf = async () => new Map<string, Readonly<Record<string, string>>>();
  const [loadBalancers, targetGroups] = await Promise.all([
    Promise.all(
      lists.loadBalancers.map(async (each) => {
        const [{ Attributes }, listeners] = await Promise.all([
          api('DescribeLoadBalancerAttributes', { LoadBalancerArn: each.arn }),
          readListeners(api, each.arn, tagsOf),
        ]);
        const tagsFor = (port: number) =>
          desired.listeners.find((wanted) => wanted.port === port)?.tags ?? {};
        return {
          ...each,
          attributes: valuesOf(Attributes),
          listeners: listeners.map((listener) => ({ ...listener, tags: tagsFor(listener.port) })),
        };
      }),
    ),
    Promise.all(
      lists.targetGroups.map(async (each) => {
        const [{ Attributes }, targets] = await Promise.all([
          api('DescribeTargetGroupAttributes', { TargetGroupArn: each.arn }),
          readTargets(api, each.arn),
        ]);
        return { ...each, attributes: valuesOf(Attributes), targets };
      }),
    ),
  ]);
  const state = { ...lists, loadBalancers, targetGroups };
  if (intactIn(state, desired) !== hostname) return { kind: 'differs' };
  return { kind: 'intact', health: healthIn(desired, state) };
}
