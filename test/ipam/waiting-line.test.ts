import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WaitingLine } from '../../src/ipam/waiting-line.ts';
import { ip } from '../../src/net/address.ts';
import { request } from './builders.ts';

const ADDRESSES = [ip('192.0.2.1'), ip('192.0.2.2')];
const step = fc.record({
  kind: fc.constantFrom('add' as const, 'remove' as const),
  name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  age: fc.nat(4),
  addresses: fc.subarray(ADDRESSES),
});

it('holds each Service once, the oldest first and equals by key, after any history', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const line = new WaitingLine();
      const model = new Map<string, { readonly age: number; readonly addresses: readonly string[] }>();
      for (const { kind, name, age, addresses } of steps) {
        if (kind === 'add') {
          line.add(request(name, { addresses }, age));
          model.set(`shop/${name}`, { age, addresses });
        } else {
          line.remove(`shop/${name}`);
          model.delete(`shop/${name}`);
        }
        const wanted = [...model]
          .sort(([a, x], [b, y]) => x.age - y.age || (a < b ? -1 : 1))
          .map(([key]) => key);
        expect([...line.oldestFirst()].map(({ key }) => key)).toEqual(wanted);
        expect([...line.keys()].sort()).toEqual([...wanted].sort());
        for (const address of ADDRESSES) {
          const naming = [...model].filter(([, each]) => each.addresses.includes(address));
          expect([...line.waitingFor(address)].sort()).toEqual(naming.map(([key]) => key).sort());
        }
        expect(line.size).toBe(wanted.length);
      }
    }),
  );
});
