// Random wishes in a world so small that everything collides, for histories of the allocator.
import fc from 'fast-check';
import { type Family, fromBigInt, type Ip, ip, toBigInt } from '../../src/net/address.ts';
import { request } from './builders.ts';

/** 192.0.2.252 to 192.0.3.3, and four IPv6 addresses. */
export const WORLD: readonly Ip[] = [
  ...Array.from({ length: 8 }, (_, i) => fromBigInt('IPv4', toBigInt(ip('192.0.2.252')) + BigInt(i))),
  ...Array.from({ length: 4 }, (_, i) => fromBigInt('IPv6', toBigInt(ip('2001:db8::')) + BigInt(i))),
];
export const POOLS = ['gold', 'lan', 'spare'] as const;
export const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'] as const;
type Name = (typeof NAMES)[number];

/** In one of five cases. */
export function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

/** Age and namespace are the Service's own, whatever it wishes. */
export function namespaceOf(name: Name): string {
  return NAMES.indexOf(name) % 2 === 0 ? 'shop' : 'bank';
}

const families = fc.constantFrom<readonly Family[]>(
  ['IPv4'],
  ['IPv4'],
  ['IPv6'],
  ['IPv4', 'IPv6'],
  ['IPv6', 'IPv4'],
);

export const wish = fc
  .record({
    name: fc.constantFrom(...NAMES),
    families,
    bothRequired: fc.constantFrom(false, false, true),
    named: rarely(fc.tuple(fc.nat(7), fc.nat(3))),
    pool: rarely(fc.constantFrom(...POOLS)),
    sharingKey: fc.constantFrom(undefined, undefined, 'k', 'k', 'l'),
    ports: fc.subarray(['TCP/80', 'UDP/80', 'TCP/443'], { minLength: 1, maxLength: 2 }),
    backend: fc.constantFrom('', '', 'Local app=web'),
  })
  .map(({ name, named, pool, sharingKey, ...rest }) => {
    const addresses = named
      ? rest.families.map((family) => WORLD[family === 'IPv4' ? named[0] : 8 + named[1]] ?? '')
      : [];
    const optional = { ...(pool ? { pool } : {}), ...(sharingKey ? { sharingKey } : {}) };
    const age = (NAMES.indexOf(name) * 5) % NAMES.length;
    return request(name, { ...rest, ...optional, addresses, namespace: namespaceOf(name) }, age);
  });
