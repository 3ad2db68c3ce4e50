import { describe, expect, it } from 'vitest';
import { type Advertisement, readAdvertisement, selectsPool } from '../../src/api/advertisement.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

function read(spec: unknown) {
  return readAdvertisement({ metadata: { name: 'lan' }, spec } as KubeObject); // `spec` is what users write
}

function valid(spec: unknown): Advertisement {
  const result = read(spec);
  return result.kind === 'valid' ? result.value : expect.fail(result.problems.map(sentence).join('; '));
}

describe('an L2Advertisement', () => {
  it('that says nothing selects everything', () => {
    expect(valid({})).toEqual({
      name: 'lan',
      pools: [],
      poolSelectors: [],
      nodeSelectors: [],
      interfaces: [],
      serviceSelectors: [],
      preferredNodes: [],
    });
    expect(valid(undefined)).toEqual(valid({}));
  });

  it('has every field that MetalLB has', () => {
    expect(
      valid({
        ipAddressPools: ['lan'],
        ipAddressPoolSelectors: [{ matchLabels: { zone: 'a' } }],
        nodeSelectors: [{ matchLabels: { rack: '1' } }, {}],
        interfaces: ['eth0'],
        serviceSelectors: [{ matchExpressions: [{ key: 'public', operator: 'Exists' }] }],
        preferredNodeSelectors: [{ weight: 70, preference: { matchLabels: { fast: 'yes' } } }],
      }),
    ).toEqual({
      name: 'lan',
      pools: ['lan'],
      poolSelectors: [[{ key: 'zone', operator: 'In', values: ['a'] }]],
      nodeSelectors: [[{ key: 'rack', operator: 'In', values: ['1'] }], []],
      interfaces: ['eth0'],
      serviceSelectors: [[{ key: 'public', operator: 'Exists', values: [] }]],
      preferredNodes: [{ weight: 70, selector: [{ key: 'fast', operator: 'In', values: ['yes'] }] }],
    });
  });

  it('is told everything that is wrong with it at once', () => {
    const result = read({
      pools: ['lan'],
      ipAddressPools: [1],
      nodeSelectors: [{ matchLabels: ['a'] }],
      interfaces: 'eth0',
      preferredNodeSelectors: [{ weight: 0, preference: {} }, { weight: 1.5 }, 'fast'],
    });
    expect(result.kind === 'invalid' && result.problems.map(sentence)).toEqual([
      'L2Advertisement/lan: spec.pools "pools" is no field here; there are ipAddressPools, ipAddressPoolSelectors, nodeSelectors, interfaces, serviceSelectors, preferredNodeSelectors',
      'L2Advertisement/lan: spec.ipAddressPools[0] "1" is not a text with at least one character',
      'L2Advertisement/lan: spec.nodeSelectors[0].matchLabels "["a"]" is no map of labels; write key: value below it',
      'L2Advertisement/lan: spec.interfaces "eth0" is no list; write each entry behind a dash',
      'L2Advertisement/lan: spec.preferredNodeSelectors[0].weight "0" is no whole number from 1 to 100; write one',
      'L2Advertisement/lan: spec.preferredNodeSelectors[1].preference "nothing" is missing; write it',
      'L2Advertisement/lan: spec.preferredNodeSelectors[1].weight "1.5" is no whole number from 1 to 100; write one',
      'L2Advertisement/lan: spec.preferredNodeSelectors[2] "fast" is no object; write weight: … below it',
    ]);
  });
});

describe('the pools of an advertisement', () => {
  const pool = { name: 'lan', labels: { zone: 'a' } };

  it.each([
    ['by name', { ipAddressPools: ['wan', 'lan'] }, true],
    ['by label', { ipAddressPools: ['wan'], ipAddressPoolSelectors: [{ matchLabels: { zone: 'a' } }] }, true],
    ['all, where it selects none', {}, true],
    [
      'not others',
      { ipAddressPools: ['wan'], ipAddressPoolSelectors: [{ matchLabels: { zone: 'b' } }] },
      false,
    ],
  ])('are selected %s', (_, spec, selected) => {
    expect(selectsPool(valid(spec), pool)).toBe(selected);
  });
});
