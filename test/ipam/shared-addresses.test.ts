import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SharedAddresses } from '../../src/ipam/shared-addresses.ts';

const PORTS = ['TCP/80', 'TCP/443', 'UDP/53'];
/** Numbers that share digits, and some that do not. */
const address = fc.oneof(fc.nat(20), fc.nat(0xffff), fc.constantFrom(0xffffffff, 0x0a000001)).map(BigInt);
const step = fc.record({ pick: fc.nat(99), address, port: fc.constantFrom(...PORTS), leaves: fc.boolean() });
const query = fc.record({ first: address, last: address, ports: fc.subarray(PORTS) });

it('finds the lowest address of a range with room for the ports, after any history', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('IPv4' as const, 'IPv6' as const),
      fc.array(step, { maxLength: 60 }),
      fc.array(query, { minLength: 1, maxLength: 10 }),
      (family, steps, queries) => {
        const shared = new SharedAddresses(family);
        /** Who is where, one port each. */
        const tenants: { readonly address: bigint; readonly port: string }[] = [];
        const at = (each: bigint) => tenants.filter((tenant) => tenant.address === each);
        for (const one of steps) {
          const tenant = tenants[one.pick % Math.max(1, tenants.length)];
          if (one.leaves && tenant) {
            tenants.splice(tenants.indexOf(tenant), 1);
            shared.givePorts(tenant.address, [tenant.port]);
            if (at(tenant.address).length === 0) shared.remove(tenant.address);
          } else if (!at(one.address).some(({ port }) => port === one.port)) {
            if (at(one.address).length === 0) shared.add(one.address);
            tenants.push(one);
            shared.takePorts(one.address, [one.port]);
          }
        }
        const addresses = [...new Set(tenants.map((tenant) => tenant.address))].sort((a, b) =>
          a < b ? -1 : 1,
        );
        expect(shared.size).toBe(addresses.length);
        for (const { first, last, ports } of queries) {
          const wanted = addresses.find(
            (each) => first <= each && each <= last && !at(each).some(({ port }) => ports.includes(port)),
          );
          expect(shared.lowest({ family, first, last }, ports)).toBe(wanted);
        }
      },
    ),
  );
});
