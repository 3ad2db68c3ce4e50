// Messages on interfaces and addresses as the kernel writes them (rtnetlink(7)).
import { MessageBuilder } from '../../src/netlink/message.ts';
import { RTM_NEWADDR, RTM_NEWLINK } from '../../src/netlink/rtnetlink.ts';
import { int32 } from './answers.ts';

export interface LinkFields {
  readonly index: number;
  readonly name: string;
  /** Six bytes for Ethernet. */
  readonly mac?: Uint8Array;
  /** IFF_*: 0x1 up, 0x8 loopback, 0x80 no ARP, 0x10000 carrier. */
  readonly flags?: number;
  readonly master?: number;
  readonly kind?: string;
  /** AF_BRIDGE, 7, for news of a bridge's port. */
  readonly family?: number;
  /** ARPHRD_*: 1 is Ethernet. */
  readonly hardware?: number;
}

export function linkMessage(fields: LinkFields, sequence = 0, type = RTM_NEWLINK): Uint8Array {
  const { index, name, mac, flags = 0, master, kind, family = 0, hardware = 1 } = fields;
  const builder = new MessageBuilder().begin(type, 0, sequence);
  builder.raw([family, 0, hardware & 0xff, hardware >> 8, ...int32(index), ...int32(flags), 0, 0, 0, 0]);
  builder.string(3, name);
  if (mac) builder.attribute(1, mac);
  if (master !== undefined) builder.u32(10, master);
  if (kind !== undefined) {
    const info = builder.open(18);
    builder.string(1, kind).close(info);
  }
  return Uint8Array.from(builder.end().bytes());
}

export interface AddressFields {
  readonly index: number;
  /** 4 or 16 bytes: IFA_LOCAL, or IFA_ADDRESS where `peer` is not given. */
  readonly bytes: Uint8Array;
  /** The other end of a point-to-point link. */
  readonly peer?: Uint8Array;
  readonly prefixLength?: number;
  /** RT_SCOPE_*: 0 is global. */
  readonly scope?: number;
  readonly family?: number;
}

export function addressMessage(fields: AddressFields, sequence = 0, type = RTM_NEWADDR): Uint8Array {
  const { index, bytes, peer, prefixLength = 24, scope = 0, family = bytes.length === 4 ? 2 : 10 } = fields;
  const builder = new MessageBuilder().begin(type, 0, sequence);
  builder.raw([family, prefixLength, 0, scope, ...int32(index)]);
  builder.attribute(1, peer ?? bytes);
  if (peer) builder.attribute(2, bytes);
  return Uint8Array.from(builder.end().bytes());
}
