// Random ARP and neighbour frames: as they should be, or spoilt.
import fc from 'fast-check';
import { type Ip, type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import type { Mac } from '../../src/net/mac.ts';
import { arpRequest, HOST_MAC, solicitation } from '../arp/asking-host.ts';

/** A frame as it should be, most times, with a few bytes changed, cut or added. */
function spoilt(frame: fc.Arbitrary<Uint8Array>, fixed: number): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })), { maxLength: 2 });
  const cut = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: -40, max: 40 }));
  return fc.tuple(frame, fc.boolean(), changes, cut).map(([bytes, spoil, bits, by]) => {
    if (!spoil) return bytes;
    const length = Math.max(fixed, bytes.length + by);
    const changed = new Uint8Array(length);
    changed.set(bytes.subarray(0, length));
    // The bytes that say where a frame goes to and of what kind it is decide whether a socket sees it at all.
    for (const [at, byte] of bits) if (at >= 14 && at !== 20 && at !== 54 && at < length) changed[at] = byte;
    return changed;
  });
}

/** ARP frames from and for these addresses and others; `own` is among the MACs that they name. */
export function arpLike(addresses: readonly Ip[], own: Mac): fc.Arbitrary<Uint8Array> {
  const four = addresses.filter((each) => !each.includes(':')) as Ipv4[]; // without colons
  const address = fc.constantFrom(...four, ip('0.0.0.0') as Ipv4, ip('198.51.100.9') as Ipv4); // in IPv4
  const mac = fc.constantFrom(HOST_MAC, '02:00:00:00:00:66' as Mac, own, '01:00:00:00:00:01' as Mac); // as such
  const asked = fc.record({
    operation: fc.constantFrom('request' as const, 'reply' as const),
    senderIp: address,
    senderMac: mac,
    targetMac: mac,
  });
  return spoilt(
    fc.tuple(address, asked).map(([target, changes]) => arpRequest(target, changes)),
    14,
  );
}

/** Neighbour messages to the MAC `own`, for these addresses and others. */
export function ndpLike(addresses: readonly Ip[], own: Mac): fc.Arbitrary<Uint8Array> {
  const six = addresses.filter((each) => each.includes(':')) as Ipv6[]; // with colons
  const target = fc.constantFrom(...six, ip('2001:db8::99') as Ipv6); // in IPv6
  const source = fc.constantFrom(ip('::') as Ipv6, ip('fe80::1') as Ipv6, ip('ff02::5') as Ipv6); // in IPv6
  const mac = fc.constantFrom(
    undefined,
    HOST_MAC,
    '02:00:00:00:00:66' as Mac,
    own,
    '01:00:00:00:00:01' as Mac,
  ); // as such
  const whole = fc
    .record({
      target,
      source,
      mac,
      advertises: fc.boolean(),
      flags: fc.integer({ min: 0, max: 255 }),
      // In units of eight bytes, of which the option has one.
      optionSize: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.constantFrom(0, 2)),
    })
    .map(({ target: asked, source: senderIp, mac: senderMac, advertises, flags, optionSize }) => {
      const frame = solicitation(asked, { senderIp, senderMac, destination: own });
      if (advertises) {
        frame[54] = 136;
        frame[58] = flags;
        if (frame.length > 78) frame[78] = 2;
      }
      if (frame.length > 79) frame[79] = optionSize;
      return frame;
    });
  // Spoilt, most have a wrong checksum: half get it right again.
  return fc.tuple(spoilt(whole, 55), fc.boolean()).map(([frame, mend]) => (mend ? summed(frame) : frame));
}

/** With the checksum of RFC 4443 §2.3, where there is room for one and for what it covers. */
function summed(frame: Uint8Array): Uint8Array {
  const length = ((frame[18] ?? 0) << 8) | (frame[19] ?? 0);
  if (frame.length < 78 || frame.length < 54 + length || length < 4) return frame;
  const done = Uint8Array.from(frame);
  done.set([0, 0], 56);
  const bytes = Buffer.from(done);
  let sum = length + 58;
  for (let i = 22; i + 1 < 54 + length; i += 2) sum += bytes.readUInt16BE(i);
  if (length % 2 === 1) sum += (bytes[53 + length] ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 56);
  return done.map((_, i) => bytes[i] ?? 0);
}
