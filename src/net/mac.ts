// Link-layer addresses and the multicast groups that IPv6 maps onto them.
import { fromBytes, type Ip, type Ipv6, toBytes } from './address.ts';

declare const macBrand: unique symbol;

/** Six lower-case hexadecimal bytes with colons. */
export type Mac = string & { readonly [macBrand]: true };

export const BROADCAST = 'ff:ff:ff:ff:ff:ff' as Mac;
export const UNSPECIFIED_MAC = '00:00:00:00:00:00' as Mac;

/** Six bytes from `offset`. */
export function macAt(bytes: Uint8Array, offset = 0): Mac {
  let text = '';
  for (let i = offset; i < offset + 6; i++)
    text += `${i > offset ? ':' : ''}${(bytes[i] ?? 0).toString(16).padStart(2, '0')}`;
  return text as Mac;
}

export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

/** RFC 4291 §2.7.1: the group that a neighbour solicitation for this IPv6 address is sent to. */
export function solicitedNodeGroup(address: Ip): Ipv6 {
  const bytes = toBytes(address);
  const group = Uint8Array.of(
    0xff,
    2,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    0xff,
    bytes[13] ?? 0,
    bytes[14] ?? 0,
    bytes[15] ?? 0,
  );
  return fromBytes(group) as Ipv6;
}

/** RFC 2464 §7: the Ethernet address that an IPv6 multicast group maps to. */
export function multicastMac(group: Ip): Mac {
  return `33:33:${macAt(toBytes(group), 10).slice(6)}` as Mac;
}
