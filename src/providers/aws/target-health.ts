// Whether somebody would answer behind each listener, by AWS's own health checks.
import type { AwsApi } from './aws-api.ts';
import { targetKey } from './differences.ts';
import type { DesiredState } from './model.ts';
import { readTargets } from './observe.ts';
import type { ObservedState } from './observed.ts';
import { RESOURCE_TAG } from './ownership.ts';

export interface TargetHealth {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'Healthy' | 'Checking' | 'NoTargets' | 'NoHealthyTargets';
  readonly message: string;
}

/** One read for each target group. `belief`: all that is there, as of the last pass. */
export async function readHealth(
  api: AwsApi,
  desired: DesiredState,
  belief: ObservedState,
): Promise<TargetHealth> {
  const targetGroups = await Promise.all(
    belief.targetGroups.map(async (group) => ({ ...group, targets: await readTargets(api, group.arn) })),
  );
  return healthIn(desired, { ...belief, targetGroups });
}

/** Where nothing was changed since, and each target group is found by its tag. */
export function healthIn(desired: DesiredState, observed: ObservedState): TargetHealth {
  const names = new Map(
    desired.targetGroups.map(({ port, resource }) => [
      port,
      observed.targetGroups.find(({ tags }) => tags[RESOURCE_TAG] === resource)?.name ?? '',
    ]),
  );
  return healthOf(desired, observed, { names, changed: false });
}

/** `names`: of the target groups, by listener port. `changed`: whether there was a step since it was observed. */
export function healthOf(
  { targetGroups }: DesiredState,
  observed: ObservedState,
  { names, changed }: { readonly names: ReadonlyMap<number, string>; readonly changed: boolean },
): TargetHealth {
  const counts = targetGroups.map(({ port, targets }) => {
    const there = observed.targetGroups.find(({ name }) => name === names.get(port))?.targets ?? [];
    const states = targets.map(
      (wanted) => there.find((each) => targetKey(each) === targetKey(wanted))?.state,
    );
    return {
      port,
      all: targets.length,
      healthy: states.includes('healthy'),
      // What was just registered was not looked at.
      checking: changed || states.some((state) => state === undefined || state === 'initial'),
    };
  });
  const bare = counts.filter(({ all }) => all === 0).map(({ port }) => port);
  if (bare.length > 0)
    return {
      status: 'False',
      reason: 'NoTargets',
      message: `there is no target for port ${bare.join(', ')}: no node or pod is ready`,
    };
  const down = counts.filter(({ healthy, checking }) => !healthy && !checking).map(({ port }) => port);
  if (down.length > 0)
    return {
      status: 'False',
      reason: 'NoHealthyTargets',
      message: `no target of port ${down.join(', ')} has passed its health check; check that the security groups of nodes or pods let the load balancer in`,
    };
  const early = counts.filter(({ healthy }) => !healthy).map(({ port }) => port);
  if (early.length > 0)
    return {
      status: 'Unknown',
      reason: 'Checking',
      message: `AWS checks the first targets of port ${early.join(', ')}`,
    };
  return {
    status: 'True',
    reason: 'Healthy',
    message: 'each port has a target that passes its health check',
  };
}
