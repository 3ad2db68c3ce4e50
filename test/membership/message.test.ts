// The codec: what is written is read back, and nothing else is read.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Body,
  bytesOfReport,
  CHANGES_BYTES,
  CONTENDED_BYTES,
  decodeMessage,
  encodeMessage,
  FORMER_BYTES,
  isPortable,
  LONGEST_MESSAGE,
  type Message,
  MOST_MACS,
  NODE_STATES,
  portableLinks,
  VIEW_BYTES,
} from '../../src/membership/message.ts';
import { LONGEST_NAME } from '../../src/membership/roster.ts';
import { fromBigInt, type Ip, ip } from '../../src/net/address.ts';
import { macAt } from '../../src/net/mac.ts';

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const name = fc
  .string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
  .filter((text) => Buffer.byteLength(text) <= 200);
const address: fc.Arbitrary<Ip> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => fromBigInt('IPv4', value)),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => fromBigInt('IPv6', value)),
);

const links = fc.option(
  fc.array(
    fc.record({
      name: fc.stringMatching(/^[a-z0-9.]{1,15}$/),
      subnets: fc.subarray(['192.0.2.0/24', '10.0.0.0/8', '2001:db8::/64', '0.0.0.0/0', '2001:db8::1/128']),
    }),
    { maxLength: 3 },
  ),
  { nil: undefined },
);

const body: fc.Arbitrary<Body> = fc.oneof(
  fc.record({ kind: fc.constant('hello' as const), nonce: u64 }),
  fc.record({ kind: fc.constant('welcome' as const), nonce: u64, token: u64 }),
  fc.record({
    kind: fc.constant('beat' as const),
    token: u64,
    seq: u32,
    acked: u32,
    leaving: fc.boolean(),
    links,
    viewVersion: u32,
    base: u32,
    changes: fc.array(fc.record({ address, wants: fc.boolean() }), { maxLength: 30 }),
  }),
  fc.record({
    kind: fc.constant('ack' as const),
    token: u64,
    seq: u32,
    version: u32,
    results: fc.array(fc.boolean(), { maxLength: 108 }),
    retryAfter: u16,
    viewVersion: u32,
    view: fc.array(
      fc.record({ name: fc.constant('node-1'), state: fc.constantFrom(...NODE_STATES), links }),
      { maxLength: 4 },
    ),
    contended: fc.array(address, { maxLength: 11 }),
  }),
  fc.record({ kind: fc.constant('nudge' as const), token: u64, count: u32 }),
  fc.record({ kind: fc.constant('refuse' as const), token: u64 }),
  fc.record({ kind: fc.constant('behind' as const) }),
  fc.record({ kind: fc.constant('look' as const), nonce: u64, address }),
  fc.record({
    kind: fc.constant('former' as const),
    token: u64,
    seq: u32,
    node: name,
    addresses: fc.array(address, { maxLength: 30 }),
  }),
  fc.record({
    kind: fc.constant('seen' as const),
    nonce: u64,
    near: fc.boolean(),
    macs: fc.array(
      fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => macAt(bytes)),
      { maxLength: MOST_MACS },
    ),
  }),
  fc.record({
    kind: fc.constant('roster' as const),
    roster: fc.record({
      epoch: fc.integer({ min: 1, max: 0xffff_ffff }),
      voters: fc
        .uniqueArray(fc.stringMatching(/^[a-z0-9.-]{1,40}$/), { minLength: 1, maxLength: 7 })
        .chain((ids) =>
          fc.tuple(...ids.map((id) => fc.record({ id: fc.constant(id), host: address, port: u16 }))),
        ),
    }),
  }),
);
const message: fc.Arbitrary<Message> = fc.record({ from: name, to: name, epoch: u32, body });

describe('a message', () => {
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(message, (each) => {
        expect(decodeMessage(encodeMessage(each))).toEqual(each);
      }),
    );
  });

  it('that is cut short, or goes on, is not read', () => {
    fc.assert(
      fc.property(message, fc.nat(), (each, at) => {
        const bytes = encodeMessage(each);
        expect(decodeMessage(bytes.subarray(0, at % bytes.length))).toBeUndefined();
        expect(decodeMessage(Uint8Array.of(...bytes, 0))).toBeUndefined();
      }),
    );
  });

  it('of any bytes is read or not, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const read = decodeMessage(bytes);
        if (read) expect(decodeMessage(encodeMessage(read))).toEqual(read);
      }),
    );
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 0, max: 255 }), (each, at, value) => {
        const bytes = encodeMessage(each);
        bytes[at % bytes.length] = value;
        decodeMessage(bytes);
      }),
    );
  });

  it('fits its bounds with the longest names and everything that a voter may put in', () => {
    const longest = 'n'.repeat(LONGEST_NAME);
    const header = { from: longest, to: longest, epoch: 1 };
    const widest = Array.from({ length: 5 }, (_, i) => ({
      name: `eth${i}`,
      subnets: ['192.0.2.0/24', '2001:db8::/64'],
    }));
    expect(portableLinks(widest)).toBe(widest);
    expect(portableLinks([...widest, ...widest])).toBeUndefined();
    expect(bytesOfReport({ name: 'n'.repeat(253), state: 'alive', links: widest })).toBeLessThanOrEqual(
      VIEW_BYTES,
    );
    const changes = Array.from({ length: Math.floor(CHANGES_BYTES / 5) }, () => ({
      address: ip('192.0.2.1'),
      wants: true,
    }));
    const beat = {
      kind: 'beat',
      token: 1n,
      seq: 1,
      acked: 1,
      leaving: true,
      links: widest,
      viewVersion: 1,
      base: 1,
      changes,
    } as const;
    expect(encodeMessage({ ...header, body: beat }).length).toBeLessThanOrEqual(LONGEST_MESSAGE);
    const ack: Body = {
      kind: 'ack',
      token: 1n,
      seq: 1,
      version: 1,
      results: changes.map(() => true),
      retryAfter: 1,
      viewVersion: 1,
      view: [{ name: 'n'.repeat(253), state: 'alive', links: widest }],
      contended: Array.from({ length: Math.floor(CONTENDED_BYTES / 17) }, () => ip('2001:db8::1')),
    };
    expect(encodeMessage({ ...header, body: ack }).length).toBeLessThanOrEqual(LONGEST_MESSAGE);
    const addresses = Array.from({ length: Math.floor(FORMER_BYTES / 5) }, () => ip('192.0.2.1'));
    const former: Body = { kind: 'former', token: 1n, seq: 1, node: longest, addresses };
    expect(encodeMessage({ ...header, body: former }).length).toBeLessThanOrEqual(LONGEST_MESSAGE);
  });

  it('carries every roster that says it is portable', () => {
    for (const length of [1, 20, 63, 80, 120, LONGEST_NAME]) {
      const voters = Array.from({ length: 7 }, (_, i) => ({
        id: `${i}`.padEnd(length, 'n').slice(0, length),
        host: ip('2001:db8::1'),
        port: 9121,
      }));
      const roster = { epoch: 1, voters };
      const header = { from: 'n'.repeat(LONGEST_NAME), to: 'n'.repeat(LONGEST_NAME), epoch: 1 };
      const encode = () => encodeMessage({ ...header, body: { kind: 'roster', roster } });
      if (isPortable(roster)) expect(encode().length).toBeLessThanOrEqual(LONGEST_MESSAGE);
      else expect(length).toBeGreaterThan(60);
    }
  });
});
