import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { familyOf, fromBigInt, fromBytes, ip, parseIp, toBigInt, toBytes } from '../../src/net/address.ts';

const ipv4Number = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n });
// Groups that are often zero, so that runs of zeros of every length and place come up.
const ipv6Number = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n));

describe('addresses', () => {
  it('come back from numbers and bytes as they went in', () => {
    fc.assert(
      fc.property(ipv4Number, ipv6Number, (four, six) => {
        for (const address of [fromBigInt('IPv4', four), fromBigInt('IPv6', six)]) {
          expect(toBigInt(address)).toBe(familyOf(address) === 'IPv4' ? four : six);
          expect(fromBytes(toBytes(address))).toBe(address);
          expect(parseIp(address)).toEqual({ kind: 'parsed', value: address });
        }
      }),
    );
  });

  it('are written as RFC 5952 says, like another library writes them', () => {
    fc.assert(
      fc.property(ipv6Number, (value) => {
        const address = fromBigInt('IPv6', value);
        expect(address).toBe(ipaddr.IPv6.parse(address).toRFC5952String());
      }),
    );
  });

  it('read every spelling of IPv6 that another library accepts, and mean the same by it', () => {
    const spellings = fc.constantFrom(
      '::',
      '::1',
      '1::',
      '2001:DB8::0:1',
      '::ffff:192.0.2.1',
      '1:2:3:4:5:6:7:8',
      '1:0:0:2::',
      '::1:2:3:4:5:6:7',
    );
    fc.assert(
      fc.property(spellings, (text) => {
        expect([...toBytes(ip(text))]).toEqual(ipaddr.parse(text).toByteArray());
      }),
    );
  });

  it('are what another library takes as strictly, and mean the same', () => {
    const group = fc.oneof(fc.constant(''), fc.stringMatching(/^[0-9a-fA-F]{1,5}$/), fc.ipV4());
    const text = fc.oneof(
      fc.ipV6(),
      fc.ipV4Extended(),
      fc.array(group, { maxLength: 10 }).map((groups) => groups.join(':')),
      fc.array(fc.stringMatching(/^[0-9]{0,4}$/), { maxLength: 5 }).map((parts) => parts.join('.')),
    );
    fc.assert(
      fc.property(text, (one) => {
        const result = parseIp(one);
        const strict = ipaddr.IPv4.isValidFourPartDecimal(one) || ipaddr.IPv6.isValid(one);
        expect(result.kind).toBe(strict ? 'parsed' : 'malformed');
        // The other library takes ::192.0.2.1 for ::ffff:192.0.2.1, which it is not (RFC 4291 §2.5.5.1).
        if (result.kind === 'parsed' && !/^::\d+\./.test(one))
          expect([...toBytes(result.value)]).toEqual(ipaddr.parse(one).toByteArray());
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['010.0.0.1', 'leading zero'],
    ['10.1', 'four numbers'],
    ['167772161', 'four numbers'],
    ['0x0a000001', 'four numbers'],
    ['10.0.0.256', '0 to 255'],
    ['10.0.0.1 ', '0 to 255'],
    ['', 'four numbers'],
    ['fe80::1%eth0', 'zone'],
    ['1::2::3', 'more than once'],
    ['1:2:3:4:5:6:7', 'eight groups'],
    ['1:2:3:4:5:6:7:8:9', 'eight groups'],
    ['1:2:3:4::5:6:7:8', 'eight groups'],
    ['12345::', 'group'],
    [':1:2:3:4:5:6:7', 'group'],
    ['192.0.2.1::', 'group'],
    ['::192.0.2.01', 'leading zero'],
  ])('refuse "%s" and say why', (text, reason) => {
    const result = parseIp(text);
    expect(result.kind === 'malformed' ? result.problem : result).toContain(reason);
  });

  it('never throw on any text', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseIp(text)));
    fc.assert(fc.property(fc.stringMatching(/^[0-9a-f:.]{0,40}$/), (text) => void parseIp(text)));
  });
});
