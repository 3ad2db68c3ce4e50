// ARP frames: what is built is read back, known frames are understood, and no bytes do harm.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ArpFrame, arpReply, buildArp, gratuitousArp, parseArp } from '../../src/arp/arp-frame.ts';
import { ip } from '../../src/net/address.ts';
import { BROADCAST } from '../../src/net/mac.ts';
import { anyMac, fromHex, hostMac, ipv4 } from './arbitraries.ts';

const frames: fc.Arbitrary<ArpFrame> = fc.record({
  kind: fc.constant('arp'),
  operation: fc.constantFrom('request', 'reply'),
  source: anyMac,
  destination: anyMac,
  senderMac: hostMac,
  senderIp: ipv4,
  targetMac: anyMac,
  targetIp: ipv4,
});

/** As tcpdump shows it: 02:00:00:00:00:01 at 192.0.2.1 asks who has 192.0.2.10. */
const REQUEST = fromHex(
  'ffffffffffff020000000001' + // Ethernet: to all, from the asker
    '0806' +
    '0001080006040001' + // Ethernet, IPv4, their lengths, request
    '020000000001c0000201' +
    '000000000000c000020a',
);

describe('an ARP frame', () => {
  it('reads back as it was built, in 60 bytes', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = buildArp(frame);
        expect(bytes).toHaveLength(60);
        expect(parseArp(bytes)).toEqual(frame);
      }),
    );
  });

  it('is read as another host wrote it, padded or not', () => {
    const expected = {
      kind: 'arp',
      operation: 'request',
      destination: BROADCAST,
      source: '02:00:00:00:00:01',
      senderMac: '02:00:00:00:00:01',
      senderIp: '192.0.2.1',
      targetMac: '00:00:00:00:00:00',
      targetIp: '192.0.2.10',
    };
    expect(parseArp(REQUEST)).toEqual(expected);
    const padded = new Uint8Array(60);
    padded.set(REQUEST);
    expect(parseArp(padded)).toEqual(expected);
  });

  it('is answered to the one who asked, byte for byte', () => {
    const request = parseArp(REQUEST);
    if (request.kind !== 'arp') return expect.unreachable();
    const reply = arpReply(request, '02:00:00:00:00:0a' as typeof request.source); // written as one
    expect(Buffer.from(reply).toString('hex')).toBe(
      '02000000000102000000000a0806' +
        '000108000604000202000000000ac000020a020000000001c0000201' +
        '00'.repeat(18),
    );
  });

  it('that is cut off is refused at every length', () => {
    for (let length = 0; length < REQUEST.length; length++)
      expect(parseArp(REQUEST.subarray(0, length))).toEqual({ kind: 'malformed', reason: 'truncated' });
  });

  it.each([
    ['another EtherType', 12, 0x86],
    ['a VLAN tag', 12, 0x81],
    ['another hardware', 15, 6],
    ['another protocol', 16, 0x86],
    ['hardware addresses of another length', 18, 8],
    ['protocol addresses of another length', 19, 16],
    ['operation 0', 21, 0],
    ['operation 3, of RARP', 21, 3],
    ['operation 257', 20, 1],
  ])('of %s is of the wrong protocol', (_, at, byte) => {
    expect(parseArp(REQUEST.with(at, byte))).toEqual({ kind: 'malformed', reason: 'wrong protocol' });
  });

  it('from a group is refused: the answer would go to many', () => {
    for (const byte of [0xff, 0x01, 0x33])
      expect(parseArp(REQUEST.with(22, byte))).toEqual({ kind: 'malformed', reason: 'bad sender' });
  });

  it('never throws, whatever the bytes', () => {
    const fields = fc.array(fc.tuple(fc.nat({ max: 41 }), fc.nat({ max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fields, (bytes, changes) => {
        parseArp(bytes);
        parseArp(changes.reduce((frame, [at, byte]) => frame.with(at, byte), REQUEST));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('gratuitous ARP', () => {
  it('comes as a request and as a reply, both to all, from the address to itself', () => {
    const address = ip('192.0.2.10') as ArpFrame['senderIp']; // written in IPv4
    const mac = '02:00:00:00:00:0a' as ArpFrame['source']; // written as one
    const both = { kind: 'arp', destination: BROADCAST, source: mac, senderMac: mac };
    const addresses = { senderIp: address, targetIp: address };
    expect(gratuitousArp(address, mac).map(parseArp)).toEqual([
      { ...both, ...addresses, operation: 'request', targetMac: '00:00:00:00:00:00' },
      { ...both, ...addresses, operation: 'reply', targetMac: mac },
    ]);
  });
});
