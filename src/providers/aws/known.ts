// What the provider remembers of a Service whose load balancer is as it should be.
import type { DesiredState } from './model.ts';
import type { ObservedState } from './observed.ts';
import type { TargetHealth } from './target-health.ts';

export interface Known {
  readonly account: string;
  readonly fingerprint: string;
  /** The value by which a look was asked for last. */
  readonly asked: string;
  readonly desired: DesiredState;
  readonly hostname: string;
  /** All that is there; undefined where only lists were read. */
  readonly belief?: ObservedState;
  readonly health?: TargetHealth;
  /** When it was last looked at, on the clock. */
  readonly checkedAt: number;
  /** What is due: nothing, the health of its targets, or, where somebody may have changed it, all of it. */
  due: 'nothing' | 'health' | 'whole';
}
