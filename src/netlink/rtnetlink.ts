// Network interfaces and their addresses, as the kernel tells them (rtnetlink(7)): reading its messages.
import { fromBytes, type Ip } from '../net/address.ts';
import { type Mac, macAt } from '../net/mac.ts';
import { type Message, type MessageBuilder, parseAttributes, textOf, viewOf } from './message.ts';

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;

// linux/if_link.h
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFINFOMSG = 16;

// linux/if.h
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x1_0000;
const ARPHRD_ETHER = 1;

// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFADDRMSG = 8;

const AF_INET = 2;
const AF_INET6 = 10;

export type AddressScope = 'global' | 'site' | 'link' | 'host';

/** linux/rtnetlink.h RT_SCOPE_*; those that users define count as global. */
const SCOPES = new Map<number, AddressScope>([
  [200, 'site'],
  [253, 'link'],
  [254, 'host'],
]);

export interface InterfaceAddress {
  readonly address: Ip;
  readonly prefixLength: number;
  readonly scope: AddressScope;
}

/** An interface without its addresses. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Ethernet interfaces have one. */
  readonly mac: Mac | undefined;
  /** As the administrator wants it. */
  readonly up: boolean;
  /** As the cable has it. */
  readonly carrier: boolean;
  readonly noArp: boolean;
  readonly loopback: boolean;
  /** Index of the bridge, bond or VRF that it is a port of. */
  readonly master: number | undefined;
  /** The driver's name for virtual interfaces, such as "veth", "bridge" or "vlan". */
  readonly kind: string | undefined;
}

export interface NetworkInterface extends Link {
  readonly addresses: readonly InterfaceAddress[];
}

export interface LinkAddress {
  /** Of the interface. */
  readonly index: number;
  readonly address: InterfaceAddress;
}

/** The body of a request for all links or all addresses: a struct ifinfomsg that leaves everything open. */
export function writeAnyFamily(builder: MessageBuilder): void {
  builder.raw(new Uint8Array(IFINFOMSG));
}

/** Reads RTM_NEWLINK or RTM_DELLINK; undefined for what is no link of its own, such as news of a bridge's port. */
export function readLink({ payload }: Message): Link | undefined {
  // Family 0: bridges send messages of their own family, in which "deleted" means "no longer a port".
  if (payload.length < IFINFOMSG || payload[0] !== 0) return undefined;
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const attributes = parseAttributes(payload, IFINFOMSG);
  const name = attributes.get(IFLA_IFNAME);
  if (!name) return undefined;
  const mac = attributes.get(IFLA_ADDRESS);
  const master = attributes.get(IFLA_MASTER);
  const kind = parseAttributes(attributes.get(IFLA_LINKINFO) ?? new Uint8Array()).get(IFLA_INFO_KIND);
  return {
    index: view.getInt32(4, true),
    name: textOf(name),
    mac: view.getUint16(2, true) === ARPHRD_ETHER && mac?.length === 6 ? macAt(mac) : undefined,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    noArp: (flags & IFF_NOARP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    master: master?.length === 4 ? viewOf(master).getInt32(0, true) : undefined,
    kind: kind ? textOf(kind) : undefined,
  };
}

/** Reads RTM_NEWADDR or RTM_DELADDR; undefined for what is neither IPv4 nor IPv6. */
export function readAddress({ payload }: Message): LinkAddress | undefined {
  if (payload.length < IFADDRMSG) return undefined;
  const [family = 0, prefixLength = 0, , scope = 0] = payload;
  const attributes = parseAttributes(payload, IFADDRMSG);
  // IFA_LOCAL is ours where the two differ: a point-to-point link's IFA_ADDRESS is the other end's.
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const length = family === AF_INET ? 4 : family === AF_INET6 ? 16 : undefined;
  if (!bytes || bytes.length !== length) return undefined;
  const address = { address: fromBytes(bytes), prefixLength, scope: SCOPES.get(scope) ?? 'global' };
  return { index: viewOf(payload).getUint32(4, true), address };
}
