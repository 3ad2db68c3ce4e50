// The way from one state of the kernel's elements to another: wherever it is cut, packets find what belongs together.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ElementData } from '../../src/netlink/nftables.ts';
import type { SetName } from '../../src/proxy/rules.ts';
import { transactionsFor } from '../../src/proxy/transactions.ts';

type State = Map<SetName, Map<string, ElementData>>;

/** One Service, as many endpoints as `ports` says, and a frontend if there are any. */
function stateOf(ports: readonly number[]): State {
  const endpoints = ports.map((port, i) => [`${i}`, { kind: 'value', bytes: `${port}` }] as const);
  const state: State = new Map([['tcp-endpoints4', new Map<string, ElementData>(endpoints)]]);
  if (ports.length === 0) return state;
  state.set('widths4', new Map([['id', { kind: 'goto', chain: `pick4-tcp-${ports.length}` }]]));
  state.set('frontends4', new Map([['address', { kind: 'value', bytes: 'id' }]]));
  return state;
}

function difference(from: State, to: State) {
  const sets = new Set([...from.keys(), ...to.keys()]);
  return [...sets].flatMap((set) => {
    const keys = new Set([...(from.get(set)?.keys() ?? []), ...(to.get(set)?.keys() ?? [])]);
    return [...keys].map((key) => ({ set, key, wanted: to.get(set)?.get(key) }));
  });
}

/** Where a connection may end up in this state; undefined: at an element that is not there. */
function reachable(state: State): (string | undefined)[] {
  if (!state.get('frontends4')?.has('address')) return [];
  const width = state.get('widths4')?.get('id');
  if (width?.kind !== 'goto') return [undefined];
  return Array.from({ length: Number(width.chain.split('-')[2]) }, (_, i) => {
    const data = state.get('tcp-endpoints4')?.get(`${i}`);
    return data?.kind === 'value' ? data.bytes : undefined;
  });
}

const ports = fc.uniqueArray(fc.nat({ max: 20 }), { maxLength: 12 });

describe('transactions', () => {
  it('lead from any state to any other, and in between only to endpoints that were or will be', () => {
    fc.assert(
      fc.property(ports, ports, fc.integer({ min: 2, max: 8 }), (before, after, most) => {
        const state = stateOf(before);
        const known = (set: SetName, key: string) => state.get(set)?.get(key);
        const transactions = transactionsFor(difference(state, stateOf(after)), known, most);
        for (const transaction of transactions) {
          expect(transaction.reduce((sum, { elements }) => sum + elements.length, 0)).toBeLessThanOrEqual(
            most,
          );
          for (const { set, operation, elements } of transaction) {
            const ofSet = state.get(set as SetName) ?? new Map<string, ElementData>();
            state.set(set as SetName, ofSet);
            for (const { key, data } of elements) {
              // The kernel refuses to add what is there with other data, and to delete what is not.
              expect(ofSet.has(key)).toBe(operation === 'delete');
              if (operation === 'add') ofSet.set(key, data);
              else ofSet.delete(key);
            }
          }
          const allowed = [...before, ...after].map(String);
          expect(reachable(state).filter((port) => port === undefined || !allowed.includes(port))).toEqual(
            [],
          );
        }
        expect(
          difference(stateOf(after), state).filter(
            ({ set, key, wanted }) =>
              JSON.stringify(wanted) !== JSON.stringify(stateOf(after).get(set)?.get(key)),
          ),
        ).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it('are none where nothing differs, one for what comes or changes, and another for what goes', () => {
    const state = stateOf([1, 2, 3]);
    const known = (set: SetName, key: string) => state.get(set)?.get(key);
    expect(transactionsFor(difference(state, stateOf([1, 2, 3])), known)).toEqual([]);
    const kinds = (ports: readonly number[]) =>
      transactionsFor(difference(state, stateOf(ports)), known).map((transaction) =>
        transaction.map(({ set, operation }) => `${operation} ${set}`),
      );
    expect(kinds([1, 2, 3, 4])).toEqual([['add tcp-endpoints4', 'delete widths4', 'add widths4']]);
    expect(kinds([1, 2])).toEqual([['delete widths4', 'add widths4'], ['delete tcp-endpoints4']]);
    expect(kinds([])).toEqual([['delete frontends4', 'delete widths4', 'delete tcp-endpoints4']]);
  });
});
