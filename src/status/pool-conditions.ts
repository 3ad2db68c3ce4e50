// What the conditions of a pool say beside whether it is valid: only what is so is there.
import { describe, type Problem } from '../api/problem.ts';
import type { PoolCounts } from '../ipam/allocator.ts';
import type { EventText } from '../kube/events.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';
import type { Family } from '../net/address.ts';

/** A condition that is so, without its times. */
export interface Statement {
  readonly type: string;
  /** Default: True. */
  readonly status?: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Percent in use from which a pool says so, the highest first. */
const LEVELS = [95, 85, 75] as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;

/** Of a long list a message names so many. */
const NAMED = 5;

/**
 * `overlaps`: what of the pool an older one has. `nodes`: `address (node)` of what nodes have of it. `counts`: none
 * where the pool is set aside.
 */
export function poolStatements(
  overlaps: readonly Problem[],
  nodes: readonly string[],
  counts: PoolCounts | undefined,
): Statement[] {
  const statements: Statement[] = [];
  if (overlaps.length > 0)
    statements.push({
      type: 'Overlapping',
      reason: 'OlderPool',
      message: `serves with the rest: ${overlaps.map(describe).join('; ')}`,
    });
  if (nodes.length > 0) {
    const more = nodes.length > NAMED ? ` and ${nodes.length - NAMED} more` : '';
    statements.push({
      type: 'NodeAddresses',
      reason: 'KeptBack',
      message: `nodes have these addresses, which are not given out: ${nodes.slice(0, NAMED).join(', ')}${more}; take them out of spec.addresses, or name them in spec.exclude`,
    });
  }
  if (!counts) return statements;
  const { assigned, waiting, beyondLimit } = counts;
  if (assigned.IPv4 + assigned.IPv6 === 0n)
    statements.push({ type: 'Unused', reason: 'NoServices', message: 'no Service has an address from here' });
  const full = FAMILIES.filter((family) => isFull(counts, family));
  if (full.length > 0)
    statements.push({
      type: 'Exhausted',
      reason: full.length === 2 ? 'NoFreeAddress' : `NoFree${full[0]}`,
      message: `no ${full.join(' and no ')} address is free; ${waiting} ${waiting === 1 ? 'Service waits' : 'Services wait'}`,
    });
  const level = usageLevel(counts);
  if (level !== undefined)
    statements.push({
      type: 'NearlyFull',
      reason: `Above${level}Percent`,
      message: usageMessage(counts, level),
    });
  if (beyondLimit.length > 0)
    statements.push({
      type: 'LimitExceeded',
      reason: 'MaxPerNamespace',
      message: `these namespaces keep more addresses than spec.maxPerNamespace allows: ${beyondLimit.join(', ')}`,
    });
  return statements;
}

/** The warning where the use has reached a level that the pool's status does not tell of yet. */
export function usageEvent(pool: KubeObject, counts: PoolCounts): EventText | undefined {
  const level = usageLevel(counts);
  if (level === undefined) return undefined;
  const { conditions = [] } = (pool as { status?: { conditions?: readonly Condition[] } }).status ?? {};
  const told = LEVELS.find((each) =>
    conditions.some(({ type, reason }) => type === 'NearlyFull' && reason === `Above${each}Percent`),
  );
  if (told !== undefined && told >= level) return undefined;
  return { type: 'Warning', reason: 'PoolNearlyFull', action: 'Count', note: usageMessage(counts, level) };
}

/** The highest of 75, 85 and 95 percent that the use of a family has reached. */
function usageLevel(counts: PoolCounts): (typeof LEVELS)[number] | undefined {
  return LEVELS.find((level) => FAMILIES.some((family) => isAbove(counts, family, level)));
}

function usageMessage(counts: PoolCounts, level: (typeof LEVELS)[number]): string {
  const families = FAMILIES.filter((family) => isAbove(counts, family, level));
  return `${level} % or more of the ${families.join(' and ')} addresses are in use; add addresses, or let some go`;
}

function isAbove({ assigned, available }: PoolCounts, family: Family, level: number): boolean {
  const total = assigned[family] + available[family];
  return total > 0n && assigned[family] * 100n >= total * BigInt(level);
}

function isFull({ assigned, available }: PoolCounts, family: Family): boolean {
  return assigned[family] > 0n && available[family] === 0n;
}
