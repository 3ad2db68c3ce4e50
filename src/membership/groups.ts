// Addresses that are held until the same time: one is looked at for all. Pure.
import type { Ip } from '../net/address.ts';
import type { Member } from './member.ts';

/**
 * For as long as `member.grants` stays, all of a group are ours until one time: the same voters have granted them,
 * and what was said before they did gave them the same.
 */
export function groupsOf(member: Pick<Member, 'grantersOf' | 'until'>, addresses: Iterable<Ip>): Ip[][] {
  const groups = Map.groupBy(
    addresses,
    (address) => `${member.grantersOf(address)} ${member.until(address)}`,
  );
  return [...groups.values()];
}
