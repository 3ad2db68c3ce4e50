// What pools, reservations, quotas and advertisements say of themselves: whether they are valid, and how full they are.
import { describe, type Problem } from '../api/problem.ts';
import type { PoolCounts } from '../ipam/allocator.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';
import type { Statement } from './pool-conditions.ts';
import { clip } from './service-status.ts';

const VALID_CONDITION = 'Valid';
/** What we write; conditions of others stay as they are. */
const OURS: ReadonlySet<string> = new Set([
  VALID_CONDITION,
  'Overlapping',
  'NodeAddresses',
  'Exhausted',
  'NearlyFull',
  'Unused',
  'LimitExceeded',
  'LimitReached',
  'Held',
  'Expired',
  'UnknownInterface',
  'Works',
  'Orphans',
]);

/** JSON numbers are exact up to here (ECMAScript's Number.MAX_SAFE_INTEGER). */
const MOST = BigInt(Number.MAX_SAFE_INTEGER);

const FIGURES = [
  'totalIPv4',
  'totalIPv6',
  'assignedIPv4',
  'assignedIPv6',
  'availableIPv4',
  'availableIPv6',
] as const;
type Figures = Readonly<Partial<Record<(typeof FIGURES)[number], number>>>;

interface ConfigStatus extends Figures {
  readonly conditions?: readonly Condition[];
}

interface ConfigPatch {
  readonly status: Readonly<Partial<Record<(typeof FIGURES)[number], number | null>>> & {
    readonly conditions: readonly Condition[];
  };
}

/** What there is to say of an object. */
export interface ConfigState {
  /** What is wrong with it; empty: it is valid. */
  readonly problems: readonly Problem[];
  /** Of a pool that serves. */
  readonly counts?: PoolCounts | undefined;
  /** What is so beside. */
  readonly statements?: readonly Statement[];
}

/** A merge patch (RFC 7386) for the `status` subresource, or undefined where the object says it already. */
export function configPatch(object: KubeObject, state: ConfigState, now: Date): ConfigPatch | undefined {
  const { problems, counts, statements = [] } = state;
  const status = (object as { status?: ConfigStatus }).status ?? {}; // our own kind: we alone write it
  const { generation } = object.metadata;
  const common = {
    lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const valid: Condition = {
    type: VALID_CONDITION,
    status: problems.length === 0 ? 'True' : 'False',
    reason: problems.length === 0 ? 'Valid' : 'Invalid',
    message: clip(problems.map(describe).join('; ')),
    ...common,
  };
  const wanted = [
    valid,
    ...statements.map(({ type, status = 'True', reason, message }) => {
      return { type, status, reason, message: clip(message), ...common };
    }),
  ];
  const before = status.conditions ?? [];
  const ours = before.filter(({ type }) => OURS.has(type));
  const named = (type: string) => ours.find((each) => each.type === type);
  // A pool that is set aside gives nothing out: figures from before would mislead.
  const figures = counts ? figuresOf(counts) : {};
  const changes = FIGURES.filter((name) => status[name] !== figures[name]);
  const same = ours.length === wanted.length && wanted.every((each) => sameCondition(named(each.type), each));
  if (changes.length === 0 && same) return undefined;
  const kept = wanted.map((each) => {
    const earlier = named(each.type);
    return earlier?.status === each.status
      ? { ...each, lastTransitionTime: earlier.lastTransitionTime }
      : each;
  });
  return {
    status: {
      ...Object.fromEntries(changes.map((name) => [name, figures[name] ?? null])),
      conditions: [...before.filter(({ type }) => !OURS.has(type)), ...kept],
    },
  };
}

function sameCondition(a: Condition | undefined, b: Condition): boolean {
  return (
    a?.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration
  );
}

function figuresOf({ assigned, available }: PoolCounts): Figures {
  return {
    totalIPv4: capped(assigned.IPv4 + available.IPv4),
    totalIPv6: capped(assigned.IPv6 + available.IPv6),
    assignedIPv4: capped(assigned.IPv4),
    assignedIPv6: capped(assigned.IPv6),
    availableIPv4: capped(available.IPv4),
    availableIPv6: capped(available.IPv6),
  };
}

function capped(value: bigint): number {
  return Number(value > MOST ? MOST : value);
}
