// What pools and advertisements say of themselves: whether they are valid, and how full they are.
import { describe, type Problem } from '../api/problem.ts';
import type { PoolCounts } from '../ipam/allocator.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';
import { clip } from './service-status.ts';

const VALID_CONDITION = 'Valid';

/** JSON numbers are exact up to here (ECMAScript's Number.MAX_SAFE_INTEGER). */
const MOST = BigInt(Number.MAX_SAFE_INTEGER);

const FIGURES = ['assignedIPv4', 'assignedIPv6', 'availableIPv4', 'availableIPv6'] as const;
type Figures = Readonly<Partial<Record<(typeof FIGURES)[number], number>>>;

interface ConfigStatus extends Figures {
  readonly conditions?: readonly Condition[];
}

interface ConfigPatch {
  readonly status: Readonly<Partial<Record<(typeof FIGURES)[number], number | null>>> & {
    readonly conditions: readonly Condition[];
  };
}

/** A merge patch (RFC 7386) for the `status` subresource, or undefined where the object says it already. */
export function configPatch(
  object: KubeObject,
  problems: readonly Problem[],
  counts: PoolCounts | undefined,
  now: Date,
): ConfigPatch | undefined {
  const status = (object as { status?: ConfigStatus }).status ?? {}; // our own kind: we alone write it
  const before = status.conditions?.find(({ type }) => type === VALID_CONDITION);
  const condition: Condition = {
    type: VALID_CONDITION,
    status: problems.length === 0 ? 'True' : 'False',
    reason: problems.length === 0 ? 'Valid' : 'Invalid',
    message: clip(problems.map(describe).join('; ')),
    lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(object.metadata.generation === undefined ? {} : { observedGeneration: object.metadata.generation }),
  };
  // A pool that is set aside gives nothing out: figures from before would mislead.
  const figures = counts ? figuresOf(counts) : {};
  const changes = FIGURES.filter((name) => status[name] !== figures[name]);
  const sameCondition =
    before?.status === condition.status &&
    before.message === condition.message &&
    before.observedGeneration === condition.observedGeneration;
  if (changes.length === 0 && sameCondition) return undefined;
  const others = (status.conditions ?? []).filter(({ type }) => type !== VALID_CONDITION);
  const kept = before?.status === condition.status ? { lastTransitionTime: before.lastTransitionTime } : {};
  return {
    status: {
      ...Object.fromEntries(changes.map((name) => [name, figures[name] ?? null])),
      conditions: [...others, { ...condition, ...kept }],
    },
  };
}

function figuresOf({ assigned, available }: PoolCounts): Figures {
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
