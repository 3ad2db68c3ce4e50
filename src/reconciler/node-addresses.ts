// Which addresses nodes have themselves: not to be given to a Service.
import type { AddressPool } from '../api/pool.ts';
import type { NodeObject } from '../kube/objects.ts';
import { familyOf, type Ip, parseIp, toBigInt } from '../net/address.ts';
import { RangeIndex } from '../net/range-index.ts';

/** Names of nodes by the addresses that their status lists; host names among these are left out. */
export function nodeAddresses(nodes: Iterable<NodeObject>): Map<Ip, string> {
  const found = new Map<Ip, string>();
  for (const { metadata, status } of nodes) {
    for (const { address } of status?.addresses ?? []) {
      const parsed = parseIp(address);
      if (parsed.kind === 'parsed') found.set(parsed.value, metadata.name);
    }
  }
  return found;
}

/** `address (node)` of what nodes have in each pool that does not give it out, by the pool's name. */
export function nodesInPools(
  pools: readonly AddressPool[],
  addresses: ReadonlyMap<Ip, string>,
): Map<string, string[]> {
  const index = new RangeIndex<AddressPool>();
  for (const pool of pools) for (const range of pool.ranges) index.add(range, pool);
  const found = new Map<string, string[]>();
  for (const [address, node] of addresses) {
    const pool = index.at(familyOf(address), toBigInt(address));
    if (!pool || pool.allowNodeAddresses) continue;
    found.set(pool.name, [...(found.get(pool.name) ?? []), `${address} (${node})`]);
  }
  return found;
}
