// Whose table is in the kernel, and whether its rules are as they were made: its chains say so by their names.
import { createHash } from 'node:crypto';
import type { TableContent } from '../netlink/nftables-table.ts';
import { comesWithServices, rulesIn } from './chains.ts';
import { INTACT_PREFIX, VERSION_PREFIX } from './rules.ts';

/** One that we can go on with, one in force with other rules or with changed ones, one that was never finished. */
export type TableState = 'ours' | 'predecessor' | 'unfinished' | 'absent';

/** `version`: the chain that names the rules we would make. */
export function stateOf(content: TableContent | undefined, version: string): TableState {
  if (!content) return 'absent';
  const names = [...content.chains.keys()];
  const isOurs = content.chains.has(version) && content.chains.has(intactChain(content));
  if (isOurs && !content.dormant) return 'ours';
  return names.some((name) => name.startsWith(VERSION_PREFIX)) ? 'predecessor' : 'unfinished';
}

/**
 * The name of the chain that a table has while its rules and hooks are as they were made. Chains that come with
 * Services count only where they have lost or gained a rule, and whether packets see the table is left out.
 */
export function intactChain({ chains }: TableContent): string {
  const constant = [...chains].filter(([name, { rules }]) => {
    if (name.startsWith(VERSION_PREFIX) || name.startsWith(INTACT_PREFIX)) return false;
    return !comesWithServices(name) || rules.length !== rulesIn(name);
  });
  const text = JSON.stringify(constant.sort(([a], [b]) => (a < b ? -1 : 1)));
  return INTACT_PREFIX + createHash('sha256').update(text).digest('hex').slice(0, 12);
}
