// What the kernel's elements mean, read back by netlink: ids, which depend on history, are looked through.
import { systemClock } from '../../src/clock/clock.ts';
import { fromBytes } from '../../src/net/address.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { type Element, listElements } from '../../src/netlink/nftables.ts';
import { SET_NAMES, type SetName, type TableName } from '../../src/proxy/rules.ts';
import { NETLINK_NETFILTER } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { namespacePath } from '../sockets/netns.ts';

export type Elements = ReadonlyMap<SetName, readonly Element[]>;

export async function readElements(namespace: string, table: TableName = 'fairlead'): Promise<Elements> {
  const connection = new NetlinkConnection({
    open: openNetlinkSocket,
    clock: systemClock,
    protocol: NETLINK_NETFILTER,
    networkNamespace: namespacePath(namespace),
  });
  const elements = new Map<SetName, Element[]>();
  for (const set of SET_NAMES) elements.set(set, await listElements(connection, table, set));
  connection.close();
  return elements;
}

/**
 * One line for each frontend and node port ("IPv4 10.96.0.1 6 80 -> 10.244.1.2 8080, ... masqueraded") and for each
 * element of the plain sets, in order; for endpoints that no frontend leads to, since another Service has it ("spare
 * ..."), and for each element that is in nobody's way ("lost ...").
 */
export function meaningOf(elements: Elements): string[] {
  return [...familyLines(elements, 4), ...familyLines(elements, 6)].sort();
}

function familyLines(elements: Elements, digit: 4 | 6): string[] {
  const of = (
    set:
      | 'tcp-endpoints'
      | 'udp-endpoints'
      | 'sctp-endpoints'
      | 'hairpins'
      | 'widths'
      | 'frontends'
      | 'nodeports'
      | 'refused'
      | 'addresses'
      | 'pooled',
  ) => elements.get(`${set}${digit}`) ?? [];
  const length = digit === 4 ? 4 : 16;
  const places = (protocol: 'tcp' | 'udp' | 'sctp') => of(`${protocol}-endpoints`);
  const endpoints = new Map<string, Element['data']>(
    (['tcp', 'udp', 'sctp'] as const).flatMap((protocol) =>
      places(protocol).map(({ key, data }) => [`${protocol} ${key}`, data] as const),
    ),
  );
  const widths = new Map(of('widths').map(({ key, data }) => [key, data]));
  const reached = new Set<string>();
  const targets = (mark: string): string => {
    reached.add(mark);
    const width = widths.get(mark);
    const [, protocol, count = 0] = width?.kind === 'goto' ? width.chain.split('-') : [];
    const picked = Array.from({ length: Number(count) }, (_, i) => {
      const index = Buffer.alloc(4);
      index.writeUInt32LE(i);
      const key = `${protocol} ${mark}${index.toString('latin1')}`;
      reached.add(key);
      const data = endpoints.get(key);
      return data?.kind === 'value' ? place(data.bytes, [length, 2]) : 'nobody';
    });
    return `${picked.join(', ')}${(mark.charCodeAt(2) & 0x80) === 0 ? '' : ' masqueraded'}`;
  };
  const lines: string[] = [];
  for (const [set, parts] of [
    ['frontends', [length, 1, 2]],
    ['nodeports', [1, 2]],
  ] as const)
    for (const { key, data } of of(set))
      lines.push(`${set} ${place(key, parts)} -> ${data.kind === 'value' ? targets(data.bytes) : 'nobody'}`);
  for (const [set, parts] of [
    ['hairpins', [length, length]],
    ['refused', [length, 1, 2]],
    ['addresses', [length]],
    ['pooled', [length]],
  ] as const)
    for (const { key } of of(set)) lines.push(`${set} ${place(key, parts)}`);
  for (const mark of widths.keys()) if (!reached.has(mark)) lines.push(`spare ${targets(mark)}`);
  for (const key of endpoints.keys())
    if (!reached.has(key)) lines.push(`lost ${Buffer.from(key, 'latin1').toString('hex')}`);
  return lines.map((line) => `IPv${digit} ${line}`);
}

/** A concatenation's parts, of so many bytes each and padded to four: addresses, or numbers in network order. */
function place(text: string, parts: readonly number[]): string {
  const bytes = Buffer.from(text, 'latin1');
  let at = 0;
  return parts
    .map((length) => {
      const part = bytes.subarray(at, at + length);
      at += (length + 3) & ~3;
      return length >= 4 ? fromBytes(part) : part.readUIntBE(0, length);
    })
    .join(' ');
}
