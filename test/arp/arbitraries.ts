// Random hosts for tests of frames.
import fc from 'fast-check';
import { fromBytes, type Ipv4, type Ipv6 } from '../../src/net/address.ts';
import { type Mac, macAt } from '../../src/net/mac.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

export const anyMac: fc.Arbitrary<Mac> = bytes(6).map((six) => macAt(six));

/** Of one host: the lowest bit of the first byte, which marks groups, is clear. */
export const hostMac: fc.Arbitrary<Mac> = bytes(6).map((six) => macAt(six.with(0, (six[0] ?? 0) & 0xfe)));

export const ipv4: fc.Arbitrary<Ipv4> = bytes(4).map((four) => fromBytes(four) as Ipv4); // four bytes

/** Of one host: neither unspecified nor multicast. */
export const hostIpv6: fc.Arbitrary<Ipv6> = bytes(16).map(
  (sixteen) => fromBytes(sixteen.with(0, 0x20 | ((sixteen[0] ?? 0) & 0x1f))) as Ipv6, // sixteen bytes
);

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
