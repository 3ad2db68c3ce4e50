// What pools and advertisements say of themselves: whether they are valid, and how full they are.
import { describe, type Problem } from '../api/problem.ts';
import type { PoolCounts } from '../ipam/allocator.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';

export const VALID_CONDITION = 'Valid';

/** JSON numbers are exact up to here (ECMAScript's Number.MAX_SAFE_INTEGER). */
const MOST = BigInt(Number.MAX_SAFE_INTEGER);

interface ConfigStatus {
  readonly conditions: readonly Condition[];
  readonly assignedIPv4?: number;
  readonly assignedIPv6?: number;
  readonly availableIPv4?: number;
  readonly availableIPv6?: number;
}

/** A merge patch for the `status` subresource, or undefined where the object says it already. */
export function configPatch(
  object: KubeObject,
  problems: readonly Problem[],
  counts: PoolCounts | undefined,
  now: Date,
): { readonly status: ConfigStatus } | undefined {
  const status = (object as { status?: Partial<ConfigStatus> }).status ?? {}; // our own kind: we alone write it
  const before = status.conditions?.find(({ type }) => type === VALID_CONDITION);
  const condition: Condition = {
    type: VALID_CONDITION,
    status: problems.length === 0 ? 'True' : 'False',
    reason: problems.length === 0 ? 'Valid' : 'Invalid',
    message: problems.map(describe).join('; '),
    lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(object.metadata.generation === undefined ? {} : { observedGeneration: object.metadata.generation }),
  };
  const figures = counts ? figuresOf(counts) : {};
  const sameFigures = Object.entries(figures).every(
    ([name, value]) => status[name as keyof ConfigStatus] === value,
  );
  const sameCondition =
    before?.status === condition.status &&
    before.message === condition.message &&
    before.observedGeneration === condition.observedGeneration;
  if (sameFigures && sameCondition) return undefined;
  const others = (status.conditions ?? []).filter(({ type }) => type !== VALID_CONDITION);
  const kept = before?.status === condition.status ? { lastTransitionTime: before.lastTransitionTime } : {};
  return { status: { ...figures, conditions: [...others, { ...condition, ...kept }] } };
}

function figuresOf({ assigned, available }: PoolCounts): Omit<ConfigStatus, 'conditions'> {
  return {
    assignedIPv4: capped(assigned.IPv4),
    assignedIPv6: capped(assigned.IPv6),
    availableIPv4: capped(available.IPv4),
    availableIPv6: capped(available.IPv6),
  };
}

function capped(value: bigint): number {
  return Number(value > MOST ? MOST : value);
}
