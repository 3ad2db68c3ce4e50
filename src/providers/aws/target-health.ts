// Whether somebody would answer behind each listener, by AWS's own health checks.
import type { DesiredState } from './model.ts';
import type { ObservedState } from './observed.ts';

export interface TargetHealth {
  readonly status: 'True' | 'False';
  readonly reason: 'Healthy' | 'NoTargets' | 'NoHealthyTargets';
  readonly message: string;
}

/** `names`: of the target groups, by listener port. What a pass has just registered counts as not healthy yet. */
export function healthOf(
  { targetGroups }: DesiredState,
  observed: ObservedState,
  names: ReadonlyMap<number, string>,
): TargetHealth {
  const counts = targetGroups.map(({ port, targets }) => {
    const there = observed.targetGroups.find(({ name }) => name === names.get(port))?.targets ?? [];
    const healthy = targets.filter((wanted) =>
      there.some(({ id, port: at, state }) => id === wanted.id && at === wanted.port && state === 'healthy'),
    );
    return { port, all: targets.length, healthy: healthy.length };
  });
  const bare = counts.filter(({ all }) => all === 0).map(({ port }) => port);
  if (bare.length > 0)
    return {
      status: 'False',
      reason: 'NoTargets',
      message: `there is no target for port ${bare.join(', ')}: no node or pod is ready`,
    };
  const down = counts.filter(({ healthy }) => healthy === 0).map(({ port }) => port);
  if (down.length > 0)
    return {
      status: 'False',
      reason: 'NoHealthyTargets',
      message: `no target of port ${down.join(', ')} has passed its health check; check that the security groups of nodes or pods let the load balancer in`,
    };
  return {
    status: 'True',
    reason: 'Healthy',
    message: 'each port has a target that passes its health check',
  };
}
