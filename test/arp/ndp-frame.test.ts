// Neighbour messages: what is built is read back with a right checksum, and what RFC 4861 §7.1 forbids is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Advertisement,
  answerTo,
  buildAdvertisement,
  buildSolicitation,
  parseNdp,
  type Solicitation,
  unsolicited,
} from '../../src/arp/ndp-frame.ts';
import { fromBytes, type Ipv6, ip } from '../../src/net/address.ts';
import { type Mac, multicastMac, solicitedNodeGroup } from '../../src/net/mac.ts';
import { anyMac, fromHex, hostIpv6, hostMac } from './arbitraries.ts';

const UNSPECIFIED = ip('::') as Ipv6; // written in IPv6
const ASKER = 'fe80::1' as Ipv6; // written as one
const TARGET = ip('2001:db8::12:3456') as Ipv6; // written in IPv6
const MAC = '02:00:00:00:00:0a' as Mac; // written as one

const advertisements: fc.Arbitrary<Advertisement> = fc.record({
  kind: fc.constant('advertisement'),
  source: anyMac,
  destination: anyMac,
  senderIp: hostIpv6,
  destinationIp: hostIpv6,
  targetIp: hostIpv6,
  targetMac: fc.option(anyMac, { nil: undefined }),
  solicited: fc.boolean(),
  override: fc.boolean(),
});
const solicitations: fc.Arbitrary<Solicitation> = fc.oneof(
  fc.record({
    kind: fc.constant('solicitation'),
    source: hostMac,
    destination: anyMac,
    senderIp: hostIpv6,
    targetIp: hostIpv6,
    senderMac: fc.option(hostMac, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('solicitation'),
    source: hostMac,
    destination: anyMac,
    senderIp: fc.constant(UNSPECIFIED),
    targetIp: hostIpv6,
    senderMac: fc.constant(undefined),
  }),
);

const askFor = (target: Ipv6, changes: Partial<Solicitation> = {}) =>
  buildSolicitation(
    {
      source: '02:00:00:00:00:01' as Mac, // written as one
      destination: multicastMac(solicitedNodeGroup(target)),
      senderIp: ASKER,
      targetIp: target,
      senderMac: '02:00:00:00:00:01' as Mac, // written as one
      ...changes,
    },
    solicitedNodeGroup(target),
  );

/**
 * The sum that RFC 1071 §1 verifies a checksum by, done another way than the code does it: pseudo-header
 * (RFC 8200 §8.1) and message as one big number modulo 2^16 - 1, which is 0 for a message that is right.
 */
function isChecksumRight(frame: Uint8Array): boolean {
  const hex = Buffer.from(frame).toString('hex');
  const length = frame.length - 54;
  const ends = hex.slice(2 * 22, 2 * 54);
  const pseudo = ends + length.toString(16).padStart(8, '0') + '3a'.padStart(8, '0');
  const message = hex.slice(2 * 54);
  return BigInt(`0x${pseudo}${message}`) % 0xffffn === 0n;
}

/** The frame with its checksum made right again after a change, and the payload length of its bytes. */
function mended(frame: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(frame);
  const view = new DataView(bytes.buffer);
  view.setUint16(18, bytes.length - 54);
  view.setUint16(56, 0);
  let sum = bytes.length - 54 + 58;
  // An odd byte at the end counts as the upper half of a word.
  for (let at = 22; at < bytes.length; at++) sum += (bytes[at] ?? 0) * (at % 2 === 0 ? 256 : 1);
  view.setUint16(56, 0xffff - (sum % 0xffff));
  return bytes;
}

describe('a neighbour message', () => {
  it('reads back as it was built, with a right checksum and hop limit 255', () => {
    const soliciting = fc.tuple(solicitations, hostIpv6);
    fc.assert(
      fc.property(advertisements, soliciting, (advertisement, [solicitation, to]) => {
        const built = [buildAdvertisement(advertisement), buildSolicitation(solicitation, to)];
        expect(built.map(parseNdp)).toEqual([advertisement, solicitation]);
        for (const frame of built) {
          expect(frame[21]).toBe(255);
          expect(isChecksumRight(frame)).toBe(true);
        }
      }),
    );
  });

  it('has a right checksum whatever a word of it is, carries and all', () => {
    for (let word = 0; word <= 0xffff; word++) {
      const target = fromBytes(
        Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Array(10).fill(0xff), word >> 8, word & 0xff),
      );
      const frame = askFor(target as Ipv6); // sixteen bytes
      if (!isChecksumRight(frame) || parseNdp(frame).kind === 'malformed') expect.unreachable(target);
    }
  });

  it('is read as a Linux host wrote it', () => {
    const frame = fromHex(
      '3333ff1234560aa14ed1217686dd' + // to the group's Ethernet address
        '6000000000203aff' + // 32 bytes of ICMPv6, hop limit 255
        'fd000000000000000000000000000001' +
        'ff0200000000000000000001ff123456' +
        '87009be300000000' + // with its checksum
        'fd000000000000000000000000123456' +
        '01010aa14ed12176',
    );
    expect(parseNdp(frame)).toEqual({
      kind: 'solicitation',
      source: '0a:a1:4e:d1:21:76',
      destination: '33:33:ff:12:34:56',
      senderIp: 'fd00::1',
      targetIp: 'fd00::12:3456',
      senderMac: '0a:a1:4e:d1:21:76',
    });
    expect(isChecksumRight(frame)).toBe(true);
  });

  it('may carry options that we do not know, and padding behind it', () => {
    const nonce = [14, 1, 1, 2, 3, 4, 5, 6]; // RFC 3971 §5.3.2, as Linux sends it in address checks
    const asked = askFor(TARGET, { senderMac: undefined });
    const frame = mended(Uint8Array.from([...asked, ...nonce, 1, 1, 2, 0, 0, 0, 0, 1]));
    const expected = { kind: 'solicitation', senderMac: '02:00:00:00:00:01', targetIp: TARGET };
    expect(parseNdp(frame)).toMatchObject(expected);
    expect(parseNdp(Uint8Array.from([...frame, 0xaa, 0xaa, 0xaa]))).toMatchObject(expected);
  });

  it('with any one bit of the message changed is refused', () => {
    const frame = askFor(TARGET);
    for (let bit = 8 * 54; bit < 8 * frame.length; bit++) {
      const at = bit >> 3;
      const changed = frame.with(at, (frame[at] ?? 0) ^ (1 << (bit & 7)));
      expect(parseNdp(changed).kind).toBe('malformed');
    }
  });

  it('that is cut off is refused at every length', () => {
    const frame = askFor(TARGET);
    for (let length = 0; length < frame.length; length++)
      expect(parseNdp(frame.subarray(0, length))).toEqual({ kind: 'malformed', reason: 'truncated' });
    // The IPv6 header's word for it: shorter than a neighbour message is, or longer than the frame.
    for (const length of [0, 23, 33, 255])
      expect(parseNdp(frame.with(19, length))).toEqual({ kind: 'malformed', reason: 'truncated' });
  });

  it.each([
    ['an EtherType that is not IPv6', 12, 0x08],
    ['a next header that is not ICMPv6', 20, 17],
    ['a type that is no neighbour message', 54, 128],
    ['a code other than 0', 55, 1],
  ])('with %s is of the wrong protocol', (_, at, byte) => {
    expect(parseNdp(mended(askFor(TARGET).with(at, byte)))).toEqual({
      kind: 'malformed',
      reason: 'wrong protocol',
    });
  });

  it.each([0, 1, 64, 254])('with hop limit %i came through a router, and is refused', (hopLimit) => {
    expect(parseNdp(askFor(TARGET).with(21, hopLimit))).toEqual({
      kind: 'malformed',
      reason: 'bad hop limit',
    });
  });

  it('with a wrong checksum is refused', () => {
    expect(parseNdp(askFor(TARGET).with(56, 0).with(57, 0))).toEqual({
      kind: 'malformed',
      reason: 'bad checksum',
    });
  });

  it.each([
    ['of length zero', [1, 0, 2, 0, 0, 0, 0, 1]],
    ['longer than the message', [1, 2, 2, 0, 0, 0, 0, 1]],
    ['cut to its first bytes', [1, 1, 2, 0, 0, 0, 0, 1, 14, 1]],
    ['cut to its type', [1, 1, 2, 0, 0, 0, 0, 1, 14]],
  ])('with an option %s is refused', (_, option) => {
    const frame = mended(Uint8Array.from([...askFor(TARGET, { senderMac: undefined }), ...option]));
    expect(parseNdp(frame)).toEqual({ kind: 'malformed', reason: 'bad option' });
  });

  it.each([
    ['an asker without address that tells a link-layer address', { senderIp: UNSPECIFIED }],
    ['a group', { senderIp: ip('ff02::1') as Ipv6 }],
    ['a host with the link-layer address of a group', { senderMac: '33:33:00:00:00:01' as Mac }],
  ])('from %s is refused', (_, changes) => {
    expect(parseNdp(askFor(TARGET, changes))).toEqual({ kind: 'malformed', reason: 'bad sender' });
  });

  it('never throws, whatever the bytes', () => {
    const whole = askFor(TARGET);
    const changes = fc.array(fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 150 }),
        changes,
        fc.uint8Array({ maxLength: 40 }),
        (bytes, list, more) => {
          parseNdp(bytes);
          const changed = list.reduce((frame, [at, byte]) => frame.with(at, byte), whole);
          parseNdp(changed);
          const even = more.subarray(0, more.length & ~1);
          parseNdp(mended(Uint8Array.from([...changed, ...even])));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('an answer', () => {
  const heard = (frame: Uint8Array) => {
    const parsed = parseNdp(frame);
    if (parsed.kind !== 'solicitation') throw new Error(`no solicitation: ${JSON.stringify(parsed)}`);
    return parsed;
  };

  it('goes to the one who asked, solicited, overriding, with our link-layer address', () => {
    expect(parseNdp(answerTo(heard(askFor(TARGET)), MAC))).toEqual({
      kind: 'advertisement',
      source: MAC,
      destination: '02:00:00:00:00:01',
      senderIp: TARGET,
      destinationIp: ASKER,
      targetIp: TARGET,
      targetMac: MAC,
      solicited: true,
      override: true,
    });
  });

  it('to a probe without link-layer address goes to whom the frame came from', () => {
    const answer = parseNdp(answerTo(heard(askFor(TARGET, { senderMac: undefined })), MAC));
    expect(answer).toMatchObject({ destination: '02:00:00:00:00:01', destinationIp: ASKER, solicited: true });
  });

  it('to one who checks whether the address is free goes to all nodes, unsolicited', () => {
    const probe = askFor(TARGET, { senderIp: UNSPECIFIED, senderMac: undefined });
    expect(parseNdp(answerTo(heard(probe), MAC))).toMatchObject({
      destination: '33:33:00:00:00:01',
      destinationIp: 'ff02::1',
      targetIp: TARGET,
      targetMac: MAC,
      solicited: false,
      override: true,
    });
  });
});

describe('an unsolicited advertisement', () => {
  it('goes to all nodes and to all routers, overriding', () => {
    const same = {
      kind: 'advertisement',
      source: MAC,
      senderIp: TARGET,
      targetIp: TARGET,
      targetMac: MAC,
      solicited: false,
      override: true,
    };
    expect(unsolicited(TARGET, MAC).map(parseNdp)).toEqual([
      { ...same, destination: '33:33:00:00:00:01', destinationIp: 'ff02::1' },
      { ...same, destination: '33:33:00:00:00:02', destinationIp: 'ff02::2' },
    ]);
  });
});
