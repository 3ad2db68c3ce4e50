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
 * One line for each frontend and node port ("IPv4 10.96.0.1 6 80 -> 10.244.1.2 8080, ... sticky 300", and behind
 * "|" the endpoints for those who must stay on this node) and for each element of the plain sets, in order; for endpoints that no frontend leads to, since another Service has it ("spare
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
      | 'nodes'
      | 'cluster'
      | 'pooled'
      | 'timeouts'
      | 'sources'
      | 'guards',
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
  const timeouts = new Map(of('timeouts').map(({ key, data }) => [key, data]));
  /** Where a list of endpoints leads: sticky ones with their timeout. */
  const pool = (mark: string): string => {
    reached.add(mark);
    const width = widths.get(mark);
    const [kind, protocol, count = 0, how = ''] = width?.kind === 'goto' ? width.chain.split('-') : [];
    const timeout = timeouts.get(mark);
    const [, , seconds] = timeout?.kind === 'goto' ? timeout.chain.split('-') : [];
    const sticky = kind?.startsWith('sticky') ? ` sticky ${seconds}` : '';
    if (Boolean(seconds) !== Boolean(sticky)) return `lost ${kind} ${seconds}`;
    const slots = Array.from({ length: Number(count) }, (_, i) => {
      const index = Buffer.alloc(4);
      index.writeUInt32LE(i);
      const key = `${protocol} ${mark}${index.toString('latin1')}`;
      reached.add(key);
      const data = endpoints.get(key);
      return data?.kind === 'value' ? place(data.bytes, [length, 2]) : 'nobody';
    });
    // Thousands of slots by hash are few endpoints: how many each has is enough to see.
    const picked = how === 'hash' ? [...counted(slots)].map(([name, times]) => `${times} x ${name}`) : slots;
    return picked.join(', ') + (how && ` ${how}`) + sticky;
  };
  const flagged = (mark: string, xor: number) =>
    mark.slice(0, 2) + String.fromCharCode(mark.charCodeAt(2) ^ xor) + mark.slice(3);
  const targets = (mark: string): string => {
    const flags = mark.charCodeAt(2);
    const local = (marked: string) => (widths.has(marked) ? pool(marked) : 'dropped');
    if (flags & 0x80) return `${pool(flagged(mark, 0x80))} | ${local(flagged(mark, 0xc0))}`;
    return flags & 0x40 ? `| ${local(mark)}` : pool(mark);
  };
  const lists = new Map<string, string[]>();
  for (const { key } of of('sources')) {
    const [low, high] = [key.slice(0, key.length / 2), key.slice(key.length / 2)];
    // Where a set holds ranges, marks are in network order.
    const mark = [...low.slice(0, 4)].reverse().join('');
    const list = lists.get(mark) ?? [];
    lists.set(mark, [...list, `${place(low.slice(4), [length])}-${place(high.slice(4), [length])}`]);
  }
  const lines: string[] = [];
  for (const [set, parts] of [
    ['frontends', [length, 1, 2]],
    ['nodeports', [1, 2]],
  ] as const)
    for (const { key, data } of of(set))
      lines.push(`${set} ${place(key, parts)} -> ${data.kind === 'value' ? targets(data.bytes) : 'nobody'}`);
  const listed = new Set<string>();
  for (const { key, data } of of('guards')) {
    const list = data.kind === 'value' ? data.bytes : '';
    listed.add(list);
    lines.push(`guards ${place(key, [length, 1, 2])} <- ${lists.get(list)?.sort().join(', ') ?? 'nobody'}`);
  }
  for (const list of lists.keys()) if (!listed.has(list)) lines.push('lost list');
  for (const [set, parts] of [
    ['hairpins', [length, length]],
    ['refused', [length, 1, 2]],
    ['nodes', [length]],
    ['cluster', [length]],
    ['pooled', [length]],
  ] as const)
    for (const { key } of of(set)) lines.push(`${set} ${place(key, parts)}`);
  for (const mark of widths.keys()) if (!reached.has(mark)) lines.push(`spare ${pool(mark)}`);
  for (const mark of timeouts.keys()) if (!widths.has(mark)) lines.push('lost timeout');
  for (const key of endpoints.keys())
    if (!reached.has(key)) lines.push(`lost ${Buffer.from(key, 'latin1').toString('hex')}`);
  return lines.map((line) => `IPv${digit} ${line}`);
}

function counted(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
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
