// What one node announces: over all nodes, each address once.
import { describe, expect, it } from 'vitest';
import type { AnnouncedAddress } from '../../src/arp/announced-addresses.ts';
import { candidateNodes, elections, interfacesOf } from '../../src/arp/ownership.ts';
import type { NodeObject } from '../../src/kube/objects.ts';
import { ip } from '../../src/net/address.ts';

function node(name: string, labels: Readonly<Record<string, string>> = {}): NodeObject {
  return { metadata: { name, labels } };
}

describe('candidates', () => {
  it('may not announce while they do not live, or take no traffic from load balancers, and the reason is told', () => {
    const excluded = 'node.kubernetes.io/exclude-from-external-load-balancers';
    const nodes = [node('a', { zone: 'x' }), node('b'), node('c', { [excluded]: '' })];
    expect(candidateNodes(nodes, { isAlive: (name) => name !== 'b' })).toEqual([
      { name: 'a', labels: { zone: 'x' }, ineligible: undefined },
      { name: 'b', labels: {}, ineligible: 'the node is not Ready' },
      { name: 'c', labels: { [excluded]: '' }, ineligible: `the node has the label ${excluded}` },
    ]);
  });
});

describe('cordoned nodes', () => {
  const nodes = [{ ...node('a'), spec: { unschedulable: true } }, node('b')];
  const reasons = (options?: { avoidCordoned: boolean }) =>
    candidateNodes(nodes, { isAlive: () => true }, options).map(({ ineligible }) => ineligible);

  it('may announce, unless the operator has them avoided', () => {
    expect(reasons()).toEqual([undefined, undefined]);
    expect(reasons({ avoidCordoned: true })).toEqual(['the node is cordoned (--avoid-cordoned)', undefined]);
  });
});

describe('ownership', () => {
  it('divides the addresses among the nodes: each has exactly one owner', () => {
    const pool = { name: 'pool', labels: {}, ranges: [] };
    const announced = Array.from({ length: 200 }, (_, i): AnnouncedAddress => {
      return { address: ip(`192.0.2.${i}`), pool, services: [], serviceLabels: [{}] };
    });
    const candidates = candidateNodes([node('a'), node('b'), node('c')], { isAlive: () => true });
    const owned = ['a', 'b', 'c'].flatMap((name) => [
      ...elections(announced, [], candidates, name).own.keys(),
    ]);
    expect(owned).toHaveLength(200);
    expect(new Set(owned)).toEqual(new Set(announced.map(({ address }) => address)));
    expect(elections(announced, [], candidates, 'stranger')).toEqual({
      given: new Map(),
      own: new Map(),
      nobodys: new Map(),
    });
    const none = elections(announced, [], [], 'a');
    expect(none.own.size).toBe(0);
    expect(none.nobodys.size).toBe(200); // and somebody is to say so
  });

  it('says who is to have what this node has and another one is to', () => {
    const announced = {
      address: ip('192.0.2.1'),
      pool: { name: 'pool', labels: {}, ranges: [] },
      services: [],
      serviceLabels: [],
    };
    const excluded = 'node.kubernetes.io/exclude-from-external-load-balancers';
    const candidates = candidateNodes([node('a', { [excluded]: '' }), node('b')], { isAlive: () => true });
    const given = (name: string, has: boolean) =>
      elections([announced], [], candidates, name, () => has).given;
    expect(given('a', true)).toEqual(new Map([['192.0.2.1', 'b']]));
    expect(given('a', false)).toEqual(new Map());
    expect(given('b', true)).toEqual(new Map());
  });

  it('is on the interfaces that the advertisement names', () => {
    const announced = {
      address: ip('192.0.2.1'),
      pool: { name: 'pool', labels: {}, ranges: [] },
      services: [],
      serviceLabels: [],
    };
    const advertisement = {
      name: 'l2',
      pools: ['pool'],
      poolSelectors: [],
      nodeSelectors: [],
      interfaces: ['eth1'],
      serviceSelectors: [],
      preferredNodes: [],
    };
    const candidates = candidateNodes([node('a')], { isAlive: () => true });
    expect(interfacesOf(elections([announced], [advertisement], candidates, 'a').own)).toEqual(
      new Map([['192.0.2.1', new Set(['eth1'])]]),
    );
  });
});
