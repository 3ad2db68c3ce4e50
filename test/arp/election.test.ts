// Elections: one owner an address, the same for every agent, and as few moves as can be.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Advertisement } from '../../src/api/advertisement.ts';
import type { Selector } from '../../src/api/selector.ts';
import type { AnnouncedAddress } from '../../src/arp/announced-addresses.ts';
import { type CandidateNode, electOwner } from '../../src/arp/election.ts';
import { fromBigInt, type Ip, ip } from '../../src/net/address.ts';
import { parsePrefix } from '../../src/net/range.ts';

const POOL = { name: 'pool', labels: { tier: 'public' }, ranges: [] };

function address(text: string, ...serviceLabels: Readonly<Record<string, string>>[]): AnnouncedAddress {
  const labels = serviceLabels.length > 0 ? serviceLabels : [{}];
  return { address: ip(text), pool: POOL, services: [], serviceLabels: labels };
}

function node(
  name: string,
  labels: Readonly<Record<string, string>> = {},
  ineligible?: string,
): CandidateNode {
  return { name, labels, ineligible };
}

function advertisement(changes: Partial<Advertisement>): Advertisement {
  const everything = { pools: [], poolSelectors: [], nodeSelectors: [], interfaces: [] };
  return { name: 'l2', ...everything, serviceSelectors: [], preferredNodes: [], ...changes };
}

const having = (key: string, ...values: string[]): Selector => [{ key, operator: 'In', values }];

const ADDRESSES: readonly Ip[] = Array.from({ length: 2000 }, (_, i) =>
  i % 2 === 0
    ? fromBigInt('IPv4', 0xc000_0200n + BigInt(i))
    : fromBigInt('IPv6', (0xfd00n << 112n) + BigInt(i)),
);
const NODES = Array.from({ length: 10 }, (_, i) => node(`node-${i}`));

function owners(nodes: readonly CandidateNode[], advertisements: readonly Advertisement[] = []) {
  return new Map(ADDRESSES.map((each) => [each, electOwner(address(each), advertisements, nodes).owner]));
}

describe('the links of nodes', () => {
  const link = (name: string, ...subnets: string[]) => ({ name, subnets: subnets.map(range) });
  const range = (text: string) => {
    const read = parsePrefix(text);
    if (read.kind === 'malformed') throw new Error(read.problem);
    return read.value;
  };
  const on = (name: string, ...links: ReturnType<typeof link>[]): CandidateNode => ({ ...node(name), links });
  const LAN = '192.0.2.0/24';
  const elect = (
    nodes: readonly CandidateNode[],
    text = '192.0.2.7',
    speaking: Partial<Advertisement>[] = [],
  ) => electOwner(address(text), speaking.map(advertisement), nodes);
  const FAR = 'no fit interface of the node is on the subnet of the address, and other nodes have one';

  it('decide: an address goes to a node that is on its subnet, however the others rank', () => {
    const nodes = Array.from({ length: 8 }, (_, i) => on(`node-${i}`, link('eth0', '10.0.0.0/8')));
    const { owner, losers, standbys } = elect([
      ...nodes,
      on('near', link('eth0', '10.0.0.0/8'), link('eth1', LAN)),
    ]);
    expect(owner).toBe('near');
    expect(standbys).toEqual([]);
    expect(new Set(losers.values())).toEqual(new Set([FAR]));
  });

  it('decide nothing where no node is on the subnet, or where they are not known', () => {
    const nodes = ['a', 'b'].map((name) => on(name, link('eth0', '10.0.0.0/8')));
    expect(elect(nodes).standbys).toHaveLength(1);
    const unknown = node('c');
    const { owner, standbys } = elect([on('a', link('eth0', LAN)), unknown]);
    expect([owner, ...standbys].toSorted()).toEqual(['a', 'c']);
  });

  it('move an address from the one that has it and is on its subnet no more', () => {
    const nodes = [
      on('a', link('eth0', '10.0.0.0/8')),
      on('b', link('eth0', '10.0.0.0/8'), link('eth1', LAN)),
    ];
    expect(electOwner(address('192.0.2.7'), [], nodes, 'a').owner).toBe('b');
    expect(electOwner(address('198.51.100.7'), [], nodes, 'a').owner).toBe('a');
  });

  it('rule a node out that has none, or none of those that the advertisements name', () => {
    const nodes = [on('a', link('eth0', LAN)), on('b'), on('c', link('eth1', '10.0.0.0/8'))];
    const { owner, losers } = elect(nodes);
    expect(owner).toBe('a');
    expect(losers.get('b')).toBe('no interface of the node is fit to be announced on');
    const named = elect(nodes, '192.0.2.7', [{ interfaces: ['eth1', 'eth2'] }]);
    expect(named.owner).toBe('c');
    expect(named.losers.get('a')).toBe(
      'none of the interfaces that the advertisements name ("eth1", "eth2") is up on the node, and fit',
    );
  });
});

describe('an election', () => {
  it('comes to the same answer whatever the order of nodes and advertisements', () => {
    const labels = fc.record({ zone: fc.constantFrom('a', 'b'), disk: fc.constantFrom('fast', 'slow') });
    const nodes = fc.uniqueArray(
      fc.record({
        name: fc.stringMatching(/^[a-z0-9.-]{1,12}$/),
        labels,
        ineligible: fc.constantFrom(undefined, 'off'),
      }),
      { selector: ({ name }) => name, minLength: 1, maxLength: 8 },
    );
    const preferred = fc.record({
      weight: fc.integer({ min: 1, max: 100 }),
      selector: fc.constantFrom(having('zone', 'a'), having('disk', 'fast')),
    });
    const advertisements = fc.array(
      fc.record({
        nodeSelectors: fc.subarray([having('zone', 'a'), having('zone', 'b')]),
        interfaces: fc.subarray(['eth0', 'eth1']),
        preferredNodes: fc.array(preferred, { maxLength: 2 }),
      }),
      { maxLength: 3 },
    );
    const cases = fc
      .tuple(nodes, advertisements, fc.constantFrom(...ADDRESSES.slice(0, 20)))
      .chain(([n, a, each]) => fc.tuple(fc.constant([n, a, each] as const), shuffled(n), shuffled(a)));
    fc.assert(
      fc.property(cases, ([[n, a, each], otherNodes, otherAdvertisements]) => {
        const one = electOwner(address(each), a.map(advertisement), n);
        expect(electOwner(address(each), otherAdvertisements.map(advertisement), otherNodes)).toEqual(one);
        const everybody = [...one.losers.keys(), ...(one.owner === undefined ? [] : [one.owner])];
        expect(everybody.sort()).toEqual(n.map(({ name }) => name).sort());
      }),
    );
  });

  it('moves only the addresses of the node that leaves, and back only to it when it returns', () => {
    const before = owners(NODES);
    for (const lost of NODES) {
      const after = owners(NODES.filter((each) => each !== lost));
      for (const [each, owner] of before) {
        if (owner === lost.name) expect(after.get(each)).not.toBe(lost.name);
        else expect(after.get(each)).toBe(owner);
      }
    }
  });

  it('moves the addresses of a node that becomes ineligible as if it had left', () => {
    const lost = (each: CandidateNode) => each.name === 'node-3';
    const ineligible = NODES.map((each) => (lost(each) ? { ...each, ineligible: 'not Ready' } : each));
    expect(owners(ineligible)).toEqual(owners(NODES.filter((each) => !lost(each))));
  });

  it('spreads addresses evenly, and those of a lost node over all others', () => {
    const before = owners(NODES);
    const expected = ADDRESSES.length / NODES.length;
    for (const { name } of NODES) {
      const count = [...before.values()].filter((owner) => owner === name).length;
      expect(count).toBeGreaterThan(0.7 * expected);
      expect(count).toBeLessThan(1.3 * expected);
    }
    const after = owners(NODES.slice(1));
    const heirs = ADDRESSES.filter((each) => before.get(each) === 'node-0').map((each) => after.get(each));
    for (const { name } of NODES.slice(1)) {
      const count = heirs.filter((heir) => heir === name).length;
      expect(count).toBeGreaterThan((0.4 * heirs.length) / 9);
      expect(count).toBeLessThan((1.8 * heirs.length) / 9);
    }
  });

  it('has no winner without nodes', () => {
    expect(electOwner(address('192.0.2.1'), [], [])).toEqual({
      owner: undefined,
      interfaces: 'all',
      reason: 'no node may announce it',
      standbys: [],
      losers: new Map(),
    });
  });

  it('gives a reason for every node that may not', () => {
    const nodes = [
      node('down', {}, 'the node is not Ready'),
      node('out', { zone: 'b' }),
      node('in', { zone: 'a' }),
    ];
    const inZoneA = advertisement({ nodeSelectors: [having('zone', 'a')] });
    const { owner, losers } = electOwner(address('192.0.2.1'), [inZoneA], nodes);
    expect(owner).toBe('in');
    expect([...losers]).toEqual([
      ['down', 'the node is not Ready'],
      ['out', 'no advertisement of the pool selects the node'],
    ]);
  });

  it('is among the nodes that traffic may come to, and the others are told why', () => {
    const only = { ...address('192.0.2.1'), onlyNodes: new Set(['b']) };
    const { owner, losers } = electOwner(
      only,
      [],
      [node('a'), node('b'), node('c', {}, 'the node is not Ready')],
    );
    expect(owner).toBe('b');
    expect([...losers]).toEqual([
      ['a', 'no ready endpoint is on the node (externalTrafficPolicy: Local)'],
      ['c', 'the node is not Ready'],
    ]);
    expect(electOwner({ ...only, onlyNodes: new Set() }, [], [node('a')]).owner).toBe(undefined);
  });

  it('tells the one that ranks lower who ranks before it', () => {
    const { owner = '', losers } = electOwner(address('192.0.2.1'), [], [node('a'), node('b')]);
    const loser = owner === 'a' ? 'b' : 'a';
    expect([...losers]).toEqual([[loser, `"${owner}" ranks before it for this address`]]);
  });

  it('says why the owner is the one, and who would follow', () => {
    const [a, b, c] = [node('a', { big: '' }), node('b'), node('c', {}, 'the node is not Ready')];
    const of = (nodes: CandidateNode[], more: Advertisement[] = [], incumbent?: string) =>
      electOwner(address('192.0.2.1'), more, nodes, incumbent);
    expect(of([a, c])).toMatchObject({ owner: 'a', reason: 'no other node may announce it', standbys: [] });
    const first = of([a, b, c]);
    expect(first).toMatchObject({ reason: 'it ranks first for this address' });
    const last = first.standbys[0] ?? '';
    expect(of([a, b, c], [], last)).toMatchObject({
      owner: last,
      reason: 'it had the address already',
      standbys: [first.owner],
      losers: new Map([
        [first.owner, `"${last}" has it already`],
        ['c', 'the node is not Ready'],
      ]),
    });
    const heavy = advertisement({ preferredNodes: [{ weight: 7, selector: having('big', '') }] });
    expect(of([a, b], [heavy], 'b')).toMatchObject({
      owner: 'a',
      reason: 'it is preferred, with weight 7; the next has 0',
    });
  });
});

describe('advertisements', () => {
  const [a, b] = [node('a', { zone: 'a' }), node('b', { zone: 'b' })];

  it('that do not select the pool leave it to every node and interface', () => {
    const other = advertisement({
      pools: ['other'],
      nodeSelectors: [having('zone', 'nowhere')],
      interfaces: ['eth9'],
    });
    expect(owners(NODES, [other])).toEqual(owners(NODES));
    expect(electOwner(address('192.0.2.1'), [other], NODES).interfaces).toBe('all');
  });

  it('select pools by name or by label, and all when they say neither', () => {
    const nowhere = { nodeSelectors: [having('zone', 'nowhere')] };
    const elect = (changes: Partial<Advertisement>) =>
      electOwner(address('192.0.2.1'), [advertisement({ ...nowhere, ...changes })], [a]).owner;
    expect(elect({ pools: ['pool'] })).toBe(undefined);
    expect(elect({ poolSelectors: [having('tier', 'public')] })).toBe(undefined);
    expect(elect({})).toBe(undefined);
    expect(elect({ pools: ['other'] })).toBe('a');
    expect(elect({ poolSelectors: [having('tier', 'private')] })).toBe('a');
  });

  it('confine a pool to the nodes that one of them selects', () => {
    const inA = advertisement({ nodeSelectors: [having('zone', 'a')] });
    const inB = advertisement({ nodeSelectors: [having('zone', 'x'), having('zone', 'b')] });
    expect(new Set(owners([a, b], [inA]).values())).toEqual(new Set(['a']));
    expect(new Set(owners([a, b], [inA, inB]).values())).toEqual(new Set(['a', 'b']));
  });

  it('speak only of the Services that they select', () => {
    const web = advertisement({ serviceSelectors: [having('app', 'web')] });
    const elect = (...labels: Readonly<Record<string, string>>[]) =>
      electOwner(address('192.0.2.1', ...labels), [web], [a]);
    expect(elect({ app: 'web' }).owner).toBe('a');
    expect(elect({ app: 'db' }, { app: 'web' }).owner).toBe('a'); // one address, two Services
    const { owner, losers } = elect({ app: 'db' });
    expect(owner).toBe(undefined);
    expect([...losers]).toEqual([['a', 'no advertisement of the pool selects the Service']]);
  });

  it('name the interfaces of the nodes that they select; one that names none means all', () => {
    const eth0 = advertisement({ nodeSelectors: [having('zone', 'a')], interfaces: ['eth0'] });
    const eth1 = advertisement({ interfaces: ['eth1', 'eth2'] });
    const everywhere = advertisement({ nodeSelectors: [having('zone', 'b')] });
    const interfaces = (nodes: readonly CandidateNode[]) =>
      electOwner(address('192.0.2.1'), [eth0, eth1, everywhere], nodes).interfaces;
    expect(interfaces([a])).toEqual(new Set(['eth0', 'eth1', 'eth2']));
    expect(interfaces([b])).toBe('all');
  });

  it('prefer nodes by the sum of the weights, over all advertisements that select them', () => {
    const [x, y] = [node('x', { zone: 'a', disk: 'fast' }), node('y', { zone: 'a', rack: '7' })];
    const one = advertisement({
      preferredNodes: [
        { weight: 40, selector: having('disk', 'fast') },
        { weight: 60, selector: having('rack', '7') },
      ],
    });
    const two = advertisement({ preferredNodes: [{ weight: 30, selector: having('disk', 'fast') }] });
    const elsewhere = advertisement({
      nodeSelectors: [having('zone', 'b')],
      preferredNodes: [{ weight: 100, selector: having('rack', '7') }],
    });
    expect(new Set(owners([x, y, b], [one]).values())).toEqual(new Set(['y']));
    expect(new Set(owners([x, y, b], [one, two, elsewhere]).values())).toEqual(new Set(['x']));
    const { losers } = electOwner(address('192.0.2.1'), [one], [x, y]);
    expect([...losers]).toEqual([['x', '"y" is preferred']]);
  });

  it('prefer no node that may not announce', () => {
    const preferB = advertisement({ preferredNodes: [{ weight: 100, selector: having('zone', 'b') }] });
    const down = node('b', { zone: 'b' }, 'the node is not Ready');
    expect(electOwner(address('192.0.2.1'), [preferB], [a, b]).owner).toBe('b');
    expect(electOwner(address('192.0.2.1'), [preferB], [a, down]).owner).toBe('a');
  });
});

function shuffled<T>(items: readonly T[]): fc.Arbitrary<T[]> {
  return fc.shuffledSubarray([...items], { minLength: items.length, maxLength: items.length });
}
