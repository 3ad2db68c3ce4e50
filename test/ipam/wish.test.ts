// Which of those who wait are asked about as one.
import { describe, expect, it } from 'vitest';
import type { Selector } from '../../src/api/selector.ts';
import type { ServiceRequest } from '../../src/api/service.ts';
import { PoolSet, type Surroundings } from '../../src/ipam/pool-set.ts';
import { wishOf } from '../../src/ipam/wish.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { pools, request } from './builders.ts';

const SPECS = {
  lan: ['192.0.2.1'],
  front: {
    addresses: ['198.51.100.1'],
    serviceAllocation: { serviceSelectors: [{ matchLabels: { tier: 'front' } }] },
  },
};

const LOW: Selector = [{ key: 'tier', operator: 'In', values: ['low'] }];

function wishes(
  requests: readonly ServiceRequest[],
  held: readonly Ip[] = [],
  more: object = {},
  surroundings: Surroundings = {},
): number {
  const set = new PoolSet(pools({ ...SPECS, ...more }), {
    ...surroundings,
    reservations: [{ name: 'r', addresses: [ip('192.0.2.1')], service: 'shop/reserved' }],
  });
  return new Set(requests.map((each) => wishOf(each, held, set))).size;
}

const labelled = Array.from({ length: 50 }, (_, i) => request(`s${i}`, { labels: { app: `${i}` } }, i));

describe('Services that wait are asked about as one', () => {
  it('whatever their labels, where these make no difference to the pools', () => {
    expect(wishes(labelled)).toBe(1);
    expect(wishes([...labelled, request('x', { labels: { tier: 'front' } })])).toBe(2);
  });

  it('where they have one family and lack the other', () => {
    const dual = labelled.map((each): ServiceRequest => ({ ...each, families: ['IPv4', 'IPv6'] }));
    expect(wishes(dual, [ip('192.0.2.9')])).toBe(1);
    expect(wishes([...dual, { ...dual[0], key: 'shop/x', families: ['IPv6'] } as ServiceRequest])).toBe(2);
  });

  it.each<[string, ServiceRequest[], readonly Ip[], object, Surroundings?]>([
    ['one of them has something kept back', [request('a'), request('reserved')], [], {}],
    ['they may move', ['a', 'b'].map((name) => request(name, { pool: 'lan' })), [ip('198.51.100.1')], {}],
    [
      'they ask for different addresses',
      ['192.0.2.1', '192.0.2.2'].map((each) => request('a', { addresses: [each] })),
      [],
      {},
    ],
    ['they ask for different pools', ['lan', 'front'].map((pool) => request('a', { pool })), [], {}],
    ['they share in different ways', ['k', 'l'].map((sharingKey) => request('a', { sharingKey })), [], {}],
    [
      'only one needs both families',
      [true, false].map((bothRequired) => request('a', { bothRequired })),
      [],
      {},
    ],
    [
      'namespaces have limits',
      ['shop', 'bank'].map((namespace) => request('a', { namespace })),
      [],
      { lan: { addresses: ['192.0.2.1'], maxPerNamespace: 1 } },
    ],
    [
      'a quota limits one namespace',
      ['shop', 'bank'].map((namespace) => request('a', { namespace })),
      [],
      {},
      { quotas: [{ name: 'q', most: { IPv4: 1 }, namespaces: ['shop'], namespaceSelectors: [] }] },
    ],
    [
      'a quota limits the labels that their namespace had, and not those that it has',
      [{}, { tier: 'low' }].map((namespaceLabels) => request('a', { namespaceLabels })),
      [],
      {},
      {
        quotas: [
          { name: 'q', most: { IPv4: 1 }, namespaces: [], namespaceSelectors: [LOW] },
          { name: 'r', most: { IPv6: 1 }, namespaces: [], namespaceSelectors: [] },
        ],
      },
    ],
  ])('but not where %s', (_, requests, held, more, surroundings) => {
    expect(wishes(requests, held, more, surroundings)).toBe(requests.length);
  });
});
