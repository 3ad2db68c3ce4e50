// A Service's forwarding table as elements of the kernel's sets and maps, byte for byte.
// Each part of a concatenated key or value is padded to four bytes; marks and indexes are in the machine's order.

import type { Protocol } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, toBytes } from '../net/address.ts';
import type { ElementData } from '../netlink/nftables.ts';
import type { Endpoint } from './endpoints.ts';
import { digitOf, MARK_MASQUERADE, MARK_PREFIX, pickChain, type SetName } from './rules.ts';
import type { PortTable, ServiceTable } from './table.ts';

export interface SetElement {
  readonly set: SetName;
  readonly key: string;
  readonly data: ElementData;
}

/** IANA protocol numbers */
const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

const NONE: ElementData = { kind: 'none' };

/** `idOf`: the number that stands for a port's table in marks. */
export function elementsOf(table: ServiceTable, idOf: (port: PortTable) => number): SetElement[] {
  const elements: SetElement[] = [];
  for (const port of table.ports) elements.push(...portElements(port, idOf(port)));
  for (const address of table.addresses)
    elements.push({ set: `addresses${digitOf(familyOf(address))}`, key: addressKey(address), data: NONE });
  for (const address of table.balanced)
    elements.push({ set: `balanced${digitOf(familyOf(address))}`, key: addressKey(address), data: NONE });
  return elements;
}

function portElements(port: PortTable, id: number): SetElement[] {
  const { family, endpoints, frontends, nodePort, protocol } = port;
  const digit = digitOf(family);
  const elements: SetElement[] = [];
  // Without endpoints there is no frontend: what comes for the address is refused.
  if (endpoints.length === 0) return elements;
  const internal = markOf(id, false);
  const external = markOf(id, true);
  if (frontends.some((frontend) => !frontend.external))
    elements.push(...poolElements(digit, internal, endpoints));
  if (nodePort !== undefined || frontends.some((frontend) => frontend.external)) {
    elements.push(...poolElements(digit, external, endpoints));
  }
  for (const frontend of frontends) {
    const mark = frontend.external ? external : internal;
    elements.push({
      set: `frontends${digit}`,
      key: frontendKey(frontend.address, protocol, port.port),
      data: { kind: 'value', bytes: mark },
    });
  }
  if (nodePort !== undefined) {
    const key = protocolKey(protocol) + portKey(nodePort);
    elements.push({ set: `nodeports${digit}`, key, data: { kind: 'value', bytes: external } });
  }
  for (const { address, local } of endpoints) {
    if (local)
      elements.push({ set: `hairpins${digit}`, key: addressKey(address) + addressKey(address), data: NONE });
  }
  return elements;
}

function poolElements(digit: 4 | 6, mark: string, endpoints: readonly Endpoint[]): SetElement[] {
  const elements: SetElement[] = endpoints.map(({ address, port }, i) => ({
    set: `endpoints${digit}`,
    key: mark + hostOrder(i),
    data: { kind: 'value', bytes: addressKey(address) + portKey(port) },
  }));
  elements.push({
    set: `widths${digit}`,
    key: mark,
    data: { kind: 'goto', chain: pickChain(digit, endpoints.length) },
  });
  return elements;
}

export function frontendKey(address: Ip, protocol: Protocol, port: number): string {
  return addressKey(address) + protocolKey(protocol) + portKey(port);
}

export function addressKey(address: Ip): string {
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
  return String.fromCharCode(PROTOCOL_NUMBERS[protocol], 0, 0, 0);
}

function portKey(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff, 0, 0);
}
