// A Service's forwarding table as elements of the kernel's sets and maps, byte for byte.
// Each part of a concatenated key or value is padded to four bytes; marks and indexes are in the machine's order.

import type { Protocol } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, toBytes } from '../net/address.ts';
import type { ElementData } from '../netlink/nftables.ts';
import {
  digitOf,
  MARK_MASQUERADE,
  MARK_PREFIX,
  type ProtocolName,
  pickChain,
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

/** `idOf`: the number that stands for a port's table in marks. */
export function elementsOf(table: ServiceTable, idOf: (port: PortTable) => number): SetElement[] {
  const plain = (set: 'addresses' | 'pooled') => (address: Ip) =>
    element(`${set}${digitOf(familyOf(address))}`, addressKey(address));
  return [
    ...table.ports.flatMap((port) => [...portElements(port, idOf(port))]),
    ...table.addresses.map(plain('addresses')),
    ...table.pooled.map(plain('pooled')),
  ];
}

function* portElements(table: PortTable, id: number): Iterable<SetElement> {
  const { family, endpoints, frontends, nodePort, protocol, port } = table;
  const digit = digitOf(family);
  if (endpoints.length === 0) {
    for (const { address, external } of frontends)
      if (external) yield element(`refused${digit}`, frontendKey(address, protocol, port));
    return;
  }
  const internal = markOf(id, false);
  const external = markOf(id, true);
  const isExternal = (frontend: Frontend) => frontend.external;
  if (!frontends.every(isExternal)) yield* poolElements(table, digit, internal);
  if (nodePort !== undefined || frontends.some(isExternal)) yield* poolElements(table, digit, external);
  for (const frontend of frontends) {
    const key = frontendKey(frontend.address, protocol, port);
    yield element(`frontends${digit}`, key, value(frontend.external ? external : internal));
  }
  if (nodePort !== undefined)
    yield element(`nodeports${digit}`, protocolKey(protocol) + portKey(nodePort), value(external));
  for (const { address, local } of endpoints)
    if (local) yield element(`hairpins${digit}`, addressKey(address).repeat(2));
}

function* poolElements({ endpoints, protocol }: PortTable, digit: 4 | 6, mark: string): Iterable<SetElement> {
  const { name } = PROTOCOLS[protocol];
  for (const [i, { address, port }] of endpoints.entries())
    yield element(
      `${name}-endpoints${digit}`,
      mark + hostOrder(i),
      value(addressKey(address) + portKey(port)),
    );
  yield element(`widths${digit}`, mark, { kind: 'goto', chain: pickChain(name, digit, endpoints.length) });
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
  return (value & 0xff00_0000) >>> 0 === MARK_PREFIX ? value & ~MARK_MASQUERADE & 0x00ff_ffff : undefined;
}

/** Which of a family's frontends an element of its map is, for finding an id again: the map's key for it. */
export function identifyingKeys({ frontends, protocol, port }: PortTable): string[] {
  return frontends.map(({ address }) => frontendKey(address, protocol, port));
}

export function frontendSet(family: Family): SetName {
  return `frontends${digitOf(family)}`;
}

function markOf(id: number, masquerade: boolean): string {
  return hostOrder((MARK_PREFIX | id | (masquerade ? MARK_MASQUERADE : 0)) >>> 0);
}

function hostOrder(value: number): string {
  return String.fromCharCode(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

function protocolKey(protocol: Protocol): string {
  return String.fromCharCode(PROTOCOLS[protocol].number, 0, 0, 0);
}

function portKey(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff, 0, 0);
}
