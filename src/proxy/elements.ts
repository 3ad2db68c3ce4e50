// A Service's forwarding table as elements of the kernel's sets and maps, byte for byte.
// Each part of a concatenated key or value is padded to four bytes; marks and indexes are in the machine's order.

import type { Protocol } from '../kube/objects.ts';
import { type Family, familyOf, fromBigInt, fromBytes, type Ip, toBigInt, toBytes } from '../net/address.ts';
import type { Range } from '../net/range.ts';
import type { ElementData } from '../netlink/nftables.ts';
import { slotsOf } from './balancing.ts';
import { type ProtocolName, pickChain, rememberChain, stickyChain } from './chains.ts';
import type { Endpoint } from './endpoints.ts';
import {
  type Counting,
  digitOf,
  MARK_BY_SOURCE,
  MARK_KEEPS_SOURCE,
  MARK_LOCAL,
  MARK_PREFIX,
  MOST_IDS,
  type SetName,
} from './rules.ts';
import type { Frontend, PortTable, ServiceTable } from './table.ts';

export interface SetElement {
  readonly set: SetName;
  readonly key: string;
  readonly data: ElementData;
}

/** IANA protocol numbers, and the names that the rules have. */
const PROTOCOLS = {
  TCP: { number: 6, name: 'tcp' },
  UDP: { number: 17, name: 'udp' },
  SCTP: { number: 132, name: 'sctp' },
} as const satisfies Readonly<Record<Protocol, { number: number; name: ProtocolName }>>;

const NONE: ElementData = { kind: 'none' };

/** The numbers that stand for what a Service has. */
export interface Ids {
  port(port: PortTable): number;
  sources(list: readonly Range[]): number;
}

export function elementsOf(table: ServiceTable, ids: Ids): SetElement[] {
  const plain = (set: 'cluster' | 'pooled') => (address: Ip) => addressElement(set, address);
  return [
    ...table.ports.flatMap((port) => [...portElements(port, ids)]),
    ...table.cluster.map(plain('cluster')),
    ...table.pooled.map(plain('pooled')),
  ];
}

export function addressElement(set: 'cluster' | 'pooled' | 'nodes', address: Ip): SetElement {
  return element(`${set}${digitOf(familyOf(address))}`, addressKey(address));
}

function* portElements(table: PortTable, ids: Ids): Iterable<SetElement> {
  const { family, endpoints, frontends, nodePort, protocol, port, internalLocal, externalLocal } = table;
  const digit = digitOf(family);
  for (const { address, sources } of frontends)
    if (sources) yield* guardElements(frontendKey(address, protocol, port), digit, sources, ids);
  if (endpoints.cluster.length === 0) {
    for (const { address, external } of frontends)
      if (external) yield element(`refused${digit}`, frontendKey(address, protocol, port));
    return;
  }
  const cluster = markOf(table, ids.port(table));
  const isExternal = (frontend: Frontend) => frontend.external;
  const hasExternal = nodePort !== undefined || frontends.some(isExternal);
  const hasInternal = !frontends.every(isExternal);
  const marks = {
    internal: internalLocal ? cluster | MARK_LOCAL : cluster,
    external: externalLocal ? cluster | MARK_BY_SOURCE : cluster,
  };
  // Even with externalTrafficPolicy Local pods and the node itself reach every endpoint.
  const everyEndpoint = hasExternal || !internalLocal;
  if (everyEndpoint) yield* poolElements(table, digit, cluster, endpoints.cluster);
  const thisNode = (hasInternal && internalLocal) || (hasExternal && externalLocal);
  if (thisNode && endpoints.local.length > 0)
    yield* poolElements(table, digit, cluster | MARK_LOCAL, endpoints.local);
  for (const frontend of frontends) {
    const key = frontendKey(frontend.address, protocol, port);
    const mark = frontend.external ? marks.external : marks.internal;
    yield element(`frontends${digit}`, key, value(hostOrder(mark)));
  }
  if (nodePort !== undefined) {
    const key = protocolKey(protocol) + portKey(nodePort);
    yield element(`nodeports${digit}`, key, value(hostOrder(marks.external)));
  }
  const reached = [...(everyEndpoint ? endpoints.cluster : []), ...(thisNode ? endpoints.local : [])];
  for (const { address, local } of reached)
    if (local) yield element(`hairpins${digit}`, addressKey(address).repeat(2));
}

/** The same keys as frontends and node ports have, in the sets that count. */
export function countedElements({ ports }: ServiceTable, counting: Counting): SetElement[] {
  if (counting === 'nothing') return [];
  const sets =
    counting === 'traffic' ? (['connections', 'received', 'sent'] as const) : (['connections'] as const);
  return ports.flatMap(({ family, frontends, protocol, port, nodePort }) => {
    const digit = digitOf(family);
    const keys = frontends.map(({ address }) => frontendKey(address, protocol, port));
    const onNode = nodePort === undefined ? [] : [protocolKey(protocol) + portKey(nodePort)];
    return sets.flatMap((set) => [
      ...keys.map((key) => element(`${set}${digit}`, key)),
      ...onNode.map((key) => element(`node-${set}${digit}`, key)),
    ]);
  });
}

function* guardElements(key: string, digit: 4 | 6, list: readonly Range[], ids: Ids): Iterable<SetElement> {
  const mark = (MARK_PREFIX | ids.sources(list)) >>> 0;
  for (const range of list) yield element(`sources${digit}`, sourcesKey(mark, range));
  yield element(`guards${digit}`, key, value(hostOrder(mark)));
}

/** nft has marks in network order where a set holds ranges: they are compared as numbers. */
function sourcesKey(number: number, { family, first, last }: Range): string {
  const mark = reversed(hostOrder(number));
  const end = (address: bigint) => mark + addressKey(fromBigInt(family, address));
  return end(first) + end(last);
}

/** The id and the range that an element of `sources` is for; undefined where its mark is none of ours. */
export function sourcesIn(key: string): { readonly id: number; readonly range: Range } | undefined {
  const id = idIn(reversed(key.slice(0, 4)));
  if (id === undefined) return undefined;
  const end = (from: number) => fromBytes(Buffer.from(key.slice(from + 4, from + key.length / 2), 'latin1'));
  const first = end(0);
  return {
    id,
    range: { family: familyOf(first), first: toBigInt(first), last: toBigInt(end(key.length / 2)) },
  };
}

function* poolElements(
  { affinity, balancing, protocol }: PortTable,
  digit: 4 | 6,
  pool: number,
  endpoints: readonly Endpoint[],
): Iterable<SetElement> {
  const { name } = PROTOCOLS[protocol];
  const mark = hostOrder(pool);
  const slots = slotsOf(endpoints, balancing);
  const width = slots.endpoints.length;
  for (const [i, endpoint] of slots.endpoints.entries())
    yield element(`${name}-endpoints${digit}`, mark + hostOrder(i), value(endpointKey(endpoint)));
  const choice = { pick: slots.pick, width, mark: pool >>> 0 };
  const chain = (affinity === undefined ? pickChain : stickyChain)(name, digit, choice);
  if (affinity !== undefined)
    yield element(`timeouts${digit}`, mark, { kind: 'goto', chain: rememberChain(name, digit, affinity) });
  yield element(`widths${digit}`, mark, { kind: 'goto', chain });
}

/** By mark, where the clients of ports with affinity may go: to the places as `affinityPlace` writes them. */
export function* affinityPools(table: PortTable, id: number): Iterable<readonly [string, Set<string>]> {
  if (table.affinity === undefined) return;
  const mark = markOf(table, id);
  const places = (endpoints: readonly Endpoint[]) => new Set(endpoints.map(affinityPlace));
  yield [hostOrder(mark), places(table.endpoints.cluster)];
  yield [hostOrder(mark | MARK_LOCAL), places(table.endpoints.local)];
}

/** As the two maps of affinity hold it, which have no padding. */
function affinityPlace({ address, port }: Endpoint): string {
  return addressKey(address) + portKey(port).slice(0, 2);
}

function element(set: SetName, key: string, data: ElementData = NONE): SetElement {
  return { set, key, data };
}

function value(bytes: string): ElementData {
  return { kind: 'value', bytes };
}

function frontendKey(address: Ip, protocol: Protocol, port: number): string {
  return addressKey(address) + protocolKey(protocol) + portKey(port);
}

function addressKey(address: Ip): string {
  return String.fromCharCode(...toBytes(address));
}

/** The id in a mark's bytes; undefined where the mark is none of ours. */
export function idIn(mark: string): number | undefined {
  const value =
    mark.charCodeAt(0) +
    mark.charCodeAt(1) * 0x100 +
    mark.charCodeAt(2) * 0x1_0000 +
    mark.charCodeAt(3) * 0x100_0000;
  return (value & 0xff00_0000) >>> 0 === MARK_PREFIX ? value & MOST_IDS : undefined;
}

/** Which of a family's frontends an element of its map is, for finding an id again: the map's key for it. */
export function identifyingKeys({ frontends, protocol, port }: PortTable): string[] {
  return frontends.map(({ address }) => frontendKey(address, protocol, port));
}

export function frontendSet(family: Family): SetName {
  return `frontends${digitOf(family)}`;
}

/** The mark of a port's list of all endpoints. */
function markOf({ externalLocal }: PortTable, id: number): number {
  return (MARK_PREFIX | id | (externalLocal ? MARK_KEEPS_SOURCE : 0)) >>> 0;
}

function endpointKey({ address, port }: Endpoint): string {
  return addressKey(address) + portKey(port);
}

function hostOrder(value: number): string {
  return String.fromCharCode(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

function reversed(bytes: string): string {
  return [...bytes].reverse().join('');
}

function protocolKey(protocol: Protocol): string {
  return String.fromCharCode(PROTOCOLS[protocol].number, 0, 0, 0);
}

function portKey(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff, 0, 0);
}
