// Whether a prefix holds an address.
import { parseIp } from '../../net/address.ts';
import { contains, parsePrefix } from '../../net/range.ts';

export function prefixContains(cidr: string, text: string): boolean {
  const [prefix, address] = [parsePrefix(cidr), parseIp(text)];
  return prefix.kind === 'parsed' && address.kind === 'parsed' && contains(prefix.value, address.value);
}
