// What the allocator did and why, for the audit trail: gathered until it is drained.
import type { Ip } from '../net/address.ts';

/**
 * What set it off: the Service's own step (`asked`), what its status said (`kept`), its end (`gone`), a change of the
 * pools or of what keeps addresses back (`pools`), a host outside the cluster that has the address (`conflict`), or
 * room that another made (`room`).
 */
export type Cause = 'asked' | 'kept' | 'gone' | 'pools' | 'conflict' | 'room';

export interface JournalEntry {
  /** `changed`: the same addresses, from pools of other names. */
  readonly kind: 'allocated' | 'released' | 'moved' | 'changed';
  readonly service: string;
  readonly cause: Cause;
  readonly before: readonly Ip[];
  readonly after: readonly Ip[];
  /** Where `after` comes from. */
  readonly pools: readonly string[];
}

export function kindOf(before: readonly Ip[], after: readonly Ip[]): JournalEntry['kind'] {
  if (after.length === 0) return 'released';
  if (before.every((address) => after.includes(address)))
    return after.length > before.length ? 'allocated' : 'changed';
  return after.every((address) => before.includes(address)) ? 'released' : 'moved';
}
