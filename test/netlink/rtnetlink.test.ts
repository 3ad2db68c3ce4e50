// What the kernel says of interfaces and addresses, read into values.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBytes } from '../../src/net/address.ts';
import { macAt } from '../../src/net/mac.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { readAddress, readLink } from '../../src/netlink/rtnetlink.ts';
import { type AddressFields, addressMessage, type LinkFields, linkMessage } from './rtnetlink-messages.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const name = fc.stringMatching(/^[a-z0-9@.:_-]{1,15}$/);
const index = fc.integer({ min: 1, max: 0x7fff_ffff });

const link = (fields: LinkFields) => parseMessages(linkMessage(fields)).map(readLink)[0];
const address = (fields: AddressFields) => parseMessages(addressMessage(fields)).map(readAddress)[0];

describe('a link', () => {
  it('is read with everything that the kernel says of it', () => {
    const bits = fc.record({
      up: fc.boolean(),
      loopback: fc.boolean(),
      noArp: fc.boolean(),
      carrier: fc.boolean(),
    });
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    fc.assert(
      fc.property(
        index,
        name,
        bits,
        maybe(bytes(6)),
        maybe(index),
        maybe(name),
        (i, n, b, mac, master, kind) => {
          const flags =
            (b.up ? 1 : 0) | (b.loopback ? 8 : 0) | (b.noArp ? 0x80 : 0) | (b.carrier ? 0x10000 : 0);
          const fields = { index: i, name: n, flags, ...(mac && { mac }), ...(kind && { kind }) };
          expect(link({ ...fields, ...(master && { master }) })).toEqual({
            index: i,
            name: n,
            mac: mac && macAt(mac),
            ...b,
            master,
            kind,
          });
        },
      ),
    );
  });

  it('has no MAC address unless it is Ethernet', () => {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    expect(link({ index: 1, name: 'ib0', mac, hardware: 32 })?.mac).toBe(undefined);
    expect(link({ index: 1, name: 'tun0', mac: Uint8Array.of(10, 0, 0, 1) })?.mac).toBe(undefined);
    expect(link({ index: 1, name: 'eth0', mac })?.mac).toBe('02:00:00:00:00:01');
  });

  it('is not what a bridge says of its port', () => {
    expect(link({ index: 1, name: 'eth0', family: 7 })).toBe(undefined);
  });
});

describe('an address', () => {
  it('is read with its prefix length and scope', () => {
    const scopes = fc.constantFrom(
      [0, 'global'],
      [200, 'site'],
      [253, 'link'],
      [254, 'host'],
      [17, 'global'],
    );
    const either = fc.oneof(bytes(4), bytes(16));
    fc.assert(
      fc.property(
        index,
        either,
        fc.nat({ max: 128 }),
        scopes,
        (i, value, prefixLength, [scope, scopeName]) => {
          expect(address({ index: i, bytes: value, prefixLength, scope: Number(scope) })).toEqual({
            index: i,
            address: { address: fromBytes(value), prefixLength, scope: scopeName },
          });
        },
      ),
    );
  });

  it('of a point-to-point link is our own end’s', () => {
    const ends = { bytes: Uint8Array.of(192, 0, 2, 1), peer: Uint8Array.of(192, 0, 2, 2) };
    expect(address({ index: 1, ...ends })?.address.address).toBe('192.0.2.1');
  });

  it('is none of another family, or of a length that is not its family’s', () => {
    expect(address({ index: 1, bytes: Uint8Array.of(1, 2, 3, 4), family: 10 })).toBe(undefined);
    expect(address({ index: 1, bytes: new Uint8Array(16), family: 2 })).toBe(undefined);
    expect(address({ index: 1, bytes: new Uint8Array(8), family: 28 })).toBe(undefined);
  });
});

it('no bytes do harm', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (payload) => {
      const message = { type: 16, flags: 0, sequence: 0, port: 0, payload };
      readLink(message);
      readAddress(message);
    }),
    { numRuns: 1000 },
  );
});
