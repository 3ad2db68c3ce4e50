// IP addresses: canonical text as the value, numbers and bytes where arithmetic or packets need them.
// Text follows RFC 4291 §2.2 and RFC 5952; anything that two parsers could read differently is refused.
import { malformed, type Parsed, parsed } from './parsed.ts';

declare const ipv4Brand: unique symbol;
declare const ipv6Brand: unique symbol;

/** Dotted quad without leading zeros. Made only by the functions in this file. */
export type Ipv4 = string & { readonly [ipv4Brand]: true };
/** RFC 5952 text. Made only by the functions in this file. */
export type Ipv6 = string & { readonly [ipv6Brand]: true };
export type Ip = Ipv4 | Ipv6;

/** Named as in Service.spec.ipFamilies. */
export type Family = 'IPv4' | 'IPv6';

/** Bits in an address. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 'IPv4' ? 32 : 128;
}

export function familyOf(ip: Ip): Family {
  return ip.includes(':') ? 'IPv6' : 'IPv4';
}

export function parseIp(text: string): Parsed<Ip> {
  if (text.includes(':')) return parseIpv6(text);
  const value = ipv4Number(text);
  return typeof value === 'string' ? malformed(value) : parsed(text as Ipv4);
}

/** For text that is known to be an address, such as what the API server has validated. Throws RangeError otherwise. */
export function ip(text: string): Ip {
  const result = parseIp(text);
  if (result.kind === 'malformed') throw new RangeError(`"${text}" ${result.problem}`);
  return result.value;
}

/** The address as an unsigned integer, most significant byte first. */
export function toBigInt(address: Ip): bigint {
  if (familyOf(address) === 'IPv4') return BigInt(quadNumber(address));
  let value = 0n;
  for (const byte of toBytes(address)) value = (value << 8n) | BigInt(byte);
  return value;
}

/** Throws RangeError when `value` does not fit the family. */
export function fromBigInt(family: Family, value: bigint): Ip {
  const bits = bitsOf(family);
  if (value < 0n || value >> BigInt(bits) !== 0n) throw new RangeError(`${value} is no ${family} address`);
  if (family === 'IPv4') {
    const number = Number(value);
    return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}` as Ipv4;
  }
  const bytes = new Uint8Array(bits / 8);
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return fromBytes(bytes);
}

/** Of a dotted quad that is known to be one: the allocator asks millions of times. */
function quadNumber(address: Ip): number {
  let value = 0;
  let part = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code === 0x2e) {
      value = value * 256 + part;
      part = 0;
    } else part = part * 10 + code - 0x30;
  }
  return value * 256 + part;
}

/** 4 or 16 bytes in network order. */
export function toBytes(address: Ip): Uint8Array {
  if (familyOf(address) === 'IPv4') return Uint8Array.from(address.split('.'), Number);
  const groups = ipv6Groups(address);
  if (typeof groups === 'string') throw new RangeError(`"${address}" ${groups}`);
  const bytes = new Uint8Array(16);
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  }
  return bytes;
}

/** Throws RangeError unless there are 4 or 16 bytes. */
export function fromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join('.') as Ipv4;
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return formatIpv6(groups);
}

/** The text as a number, or what is wrong with it. */
function ipv4Number(text: string): number | string {
  const parts = text.split('.');
  if (parts.length !== 4) return 'is not an IP address; write four numbers with dots, such as 192.0.2.1';
  let value = 0;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255)
      return `is not an IP address: "${part}" is not 0 to 255`;
    if (part.length > 1 && part.startsWith('0'))
      return `has a leading zero in "${part}"; write ${Number(part)}`;
    value = value * 256 + Number(part);
  }
  return value;
}

function parseIpv6(text: string): Parsed<Ip> {
  const groups = ipv6Groups(text);
  return typeof groups === 'string' ? malformed(groups) : parsed(formatIpv6(groups));
}

/** Eight 16-bit groups, or what is wrong with the text. */
function ipv6Groups(text: string): number[] | string {
  if (text.includes('%')) return 'has a zone; write the address without "%" and what follows';
  const halves = text.split('::');
  if (halves.length > 2) return 'has "::" more than once';
  const head = sideGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? sideGroups(halves[1] ?? '', true) : [];
  if (typeof head === 'string') return head;
  if (typeof tail === 'string') return tail;
  const given = head.length + tail.length;
  if (halves.length === 1 ? given !== 8 : given > 7)
    return 'does not have the eight groups of an IPv6 address';
  return [...head, ...new Array<number>(8 - given).fill(0), ...tail];
}

/** The groups on one side of "::"; only the side that ends the address may end in a dotted quad. */
function sideGroups(side: string, mayEndInIpv4: boolean): number[] | string {
  if (side === '') return [];
  const groups: number[] = [];
  const parts = side.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.') && mayEndInIpv4 && i === parts.length - 1) {
      const value = ipv4Number(part);
      if (typeof value === 'string') return value;
      groups.push(Math.floor(value / 65536), value % 65536);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return `is not an IP address: "${part}" is not a group of one to four hexadecimal digits`;
    }
  }
  return groups;
}

/** RFC 5952 §4: lower case, no leading zeros, "::" for the first longest run of two or more zero groups. */
function formatIpv6(groups: readonly number[]): Ipv6 {
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
    i = Math.max(end, i + 1);
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(':') as Ipv6;
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}` as Ipv6;
}
