import { describe, expect, it } from 'vitest';
import { describe as sentence } from '../../src/api/problem.ts';
import { checkQuotas, readQuota } from '../../src/api/quota.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

function object(name: string, spec: unknown): KubeObject {
  return { metadata: { name }, spec } as KubeObject; // `spec` is what users write
}

describe('an AddressQuota', () => {
  it('needs one limit alone, and is for every namespace then', () => {
    expect(readQuota(object('all', { maxIPv6: 0 }))).toEqual({
      kind: 'valid',
      value: { name: 'all', most: { IPv6: 0 }, namespaces: [], namespaceSelectors: [] },
    });
  });

  it('may limit both families, and choose namespaces by name and label', () => {
    const spec = {
      maxIPv4: 5,
      maxIPv6: 50,
      namespaces: ['shop'],
      namespaceSelectors: [{ matchLabels: { tier: 'low' } }],
    };
    expect(readQuota(object('low', spec))).toEqual({
      kind: 'valid',
      value: {
        name: 'low',
        most: { IPv4: 5, IPv6: 50 },
        namespaces: ['shop'],
        namespaceSelectors: [[{ key: 'tier', operator: 'In', values: ['low'] }]],
      },
    });
  });

  it.each<[unknown, string[]]>([
    [
      {
        maxIPv4: '5',
        maxIPv6: -1,
        pools: ['lan'],
        namespaceSelectors: [{ matchExpressions: [{ key: 'tier', operator: 'Is' }] }],
      },
      [
        'AddressQuota/q: spec.pools "pools" is no field here; there are maxIPv4, maxIPv6, namespaces, namespaceSelectors',
        'AddressQuota/q: spec.maxIPv4 "5" is no whole number from 0 to 2147483647; write one',
        'AddressQuota/q: spec.maxIPv6 "-1" is no whole number from 0 to 2147483647; write one',
        'AddressQuota/q: spec.namespaceSelectors[0].matchExpressions[0].operator "Is" is no operator; there are In, NotIn, Exists, DoesNotExist',
      ],
    ],
    [
      { namespaces: ['shop'], maxIPv4: null },
      [
        'AddressQuota/q: spec "{"namespaces":["shop"],"maxIPv4":null}" limits nothing; write maxIPv4, maxIPv6 or both',
      ],
    ],
  ])('%j is told everything that is wrong with it at once', (spec, problems) => {
    const read = readQuota(object('q', spec));
    expect(read.kind === 'invalid' ? read.problems.map(sentence) : read).toEqual(problems);
  });
});

it('quotas are in name order, and a bad one takes nothing from the others', () => {
  const { quotas, problems } = checkQuotas([
    object('b', { maxIPv4: 1 }),
    object('bad', {}),
    object('a', { maxIPv4: 2 }),
  ]);
  expect(quotas.map(({ name }) => name)).toEqual(['a', 'b']);
  expect([...problems.keys()]).toEqual(['bad']);
});
