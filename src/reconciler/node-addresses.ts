// Which addresses nodes have themselves: not to be given to a Service.
import type { NodeObject } from '../kube/objects.ts';
import { type Ip, parseIp } from '../net/address.ts';

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
