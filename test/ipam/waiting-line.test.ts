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
  group: fc.nat(2),
});

it('holds each Service once, the oldest first and equals by key, after any history', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const line = new WaitingLine();
      const model = new Map<
        string,
        { readonly age: number; readonly addresses: readonly string[]; readonly group: number }
      >();
      for (const { kind, name, age, addresses, group } of steps) {
        if (kind === 'add') {
          line.add(request(name, { addresses }, age), `group ${group}`);
          model.set(`shop/${name}`, { age, addresses, group });
        } else {
          line.remove(`shop/${name}`);
          model.delete(`shop/${name}`);
        }
        const wanted = [...model]
          .sort(([a, x], [b, y]) => x.age - y.age || (a < b ? -1 : 1))
          .map(([key]) => key);
        const inVain = new Set<string>();
        const keys = (waiters: Iterable<{ request: { key: string } }>) =>
          Array.from(waiters, (each) => each.request.key);
        expect(keys(line.oldestFirst(inVain))).toEqual(wanted);
        expect(line.inOrder().map(({ key }) => key)).toEqual(wanted);
        const sizes = [0, 1, 2].map((each) => [...model.values()].filter((one) => one.group === each).length);
        expect([...line.groups()].map(({ services }) => services).sort()).toEqual(
          sizes.filter((size) => size > 0).sort(),
        );
        // Of each group the first is in vain, and the others are not asked.
        const firsts = wanted.filter((key, i) => {
          const groupOf = (each: string) => model.get(each)?.group;
          return wanted.findIndex((other) => groupOf(other) === groupOf(key)) === i;
        });
        const asked: string[] = [];
        for (const { request: one, group: name } of line.oldestFirst(inVain)) {
          asked.push(one.key);
          inVain.add(name);
        }
        expect(asked).toEqual(firsts);
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
