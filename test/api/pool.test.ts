import { describe, expect, it } from 'vitest';
import { checkPools, readPool } from '../../src/api/pool.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { parseRange } from '../../src/net/range.ts';

function object(name: string, spec: unknown, created = '2026-01-01T00:00:00Z'): KubeObject {
  return { metadata: { name, creationTimestamp: created }, spec } as KubeObject; // `spec` is what users write
}

function range(text: string) {
  const result = parseRange(text);
  return result.kind === 'parsed' ? result.value : expect.fail(result.problem);
}

function problemsOf(spec: unknown): string[] {
  const read = readPool(object('lan', spec));
  return read.kind === 'invalid' ? read.problems.map(sentence) : [];
}

describe('an IPAddressPool', () => {
  it('needs addresses alone, and serves everybody', () => {
    expect(readPool(object('lan', { addresses: ['192.0.2.10-192.0.2.20', '2001:db8::/64'] }))).toEqual({
      kind: 'valid',
      value: {
        name: 'lan',
        labels: {},
        ranges: [range('192.0.2.10-192.0.2.20'), range('2001:db8::/64')],
        autoAssign: true,
        avoidBuggyIPs: false,
        allowNodeAddresses: false,
        reuse: 'lowest',
        drain: false,
        publish: [],
      },
    });
  });

  it('has every field that MetalLB has, and its own', () => {
    const read = readPool({
      metadata: { name: 'lan', labels: { zone: 'a' } },
      spec: {
        addresses: ['192.0.2.0/30', '192.0.2.2-192.0.2.9', ' 192.0.2.9 '],
        exclude: ['192.0.2.1', '192.0.2.4/31'],
        autoAssign: false,
        avoidBuggyIPs: true,
        allowNodeAddresses: true,
        reuse: 'least-recent',
        drain: true,
        maxPerNamespace: 0,
        publish: [
          { addresses: '192.0.2.2/31', as: '203.0.113.8-203.0.113.9' },
          { addresses: '192.0.2.6', as: '203.0.113.7' },
          { as: 'www.example.com' },
        ],
        serviceAllocation: {
          priority: 50,
          namespaces: ['shop'],
          namespaceSelectors: [{ matchLabels: { team: 'red' } }],
          serviceSelectors: [{ matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['back'] }] }],
        },
      },
    } as KubeObject);
    expect(read).toEqual({
      kind: 'valid',
      value: {
        name: 'lan',
        labels: { zone: 'a' },
        ranges: [range('192.0.2.0'), range('192.0.2.2-192.0.2.3'), range('192.0.2.6-192.0.2.9')],
        autoAssign: false,
        avoidBuggyIPs: true,
        allowNodeAddresses: true,
        reuse: 'least-recent',
        drain: true,
        maxPerNamespace: 0,
        publish: [
          { ranges: [range('192.0.2.2/31')], as: { kind: 'range', range: range('203.0.113.8/31') } },
          { ranges: [range('192.0.2.6')], as: { kind: 'text', text: '203.0.113.7' } },
          {
            ranges: [range('192.0.2.0/30'), range('192.0.2.2-192.0.2.9'), range('192.0.2.9')],
            as: { kind: 'text', text: 'www.example.com' },
          },
        ],
        allocation: {
          priority: 50,
          namespaces: ['shop'],
          namespaceSelectors: [[{ key: 'team', operator: 'In', values: ['red'] }]],
          serviceSelectors: [[{ key: 'tier', operator: 'NotIn', values: ['back'] }]],
        },
      },
    });
  });

  it('takes null for what is not set, as the API server does', () => {
    const spec = {
      addresses: ['192.0.2.1'],
      exclude: null,
      autoAssign: null,
      avoidBuggyIPs: null,
      skipSubnetEnds: null,
      allowNodeAddresses: null,
      reuse: null,
      drain: null,
      maxPerNamespace: null,
      publish: null,
      serviceAllocation: null,
    };
    const read = readPool(object('lan', spec));
    expect(read).toMatchObject({ kind: 'valid', value: { autoAssign: true, reuse: 'lowest' } });
    expect(read.kind === 'valid' && read.value).not.toHaveProperty('maxPerNamespace');
  });

  it('is told everything that is wrong with it at once, with object, field, value and mend', () => {
    expect(
      problemsOf({
        addresses: [7, '10.0.0.1/24', '192.0.2.9-192.0.2.1', '192.0.2.010'],
        exclude: ['lan'],
        autoAssign: 'yes',
        reuse: 'oldest',
        maxPerNamespace: 1.5,
        colour: 'red',
        serviceAllocation: {
          priority: -1,
          namespaces: [''],
          namespaceSelectors: [
            { matchLabels: { a: 1 } },
            {
              matchExpressions: [
                { key: 'a', operator: 'Is' },
                { operator: 'In' },
                { key: 'b', operator: 'In' },
              ],
            },
          ],
          serviceSelectors: 'all',
        },
      }),
    ).toEqual([
      'IPAddressPool/lan: spec.colour "colour" is no field here; there are addresses, exclude, autoAssign, avoidBuggyIPs, skipSubnetEnds, allowNodeAddresses, reuse, drain, maxPerNamespace, publish, serviceAllocation',
      'IPAddressPool/lan: spec.addresses[0] "7" is not an IP address; write four numbers with dots, such as 192.0.2.1',
      'IPAddressPool/lan: spec.addresses[1] "10.0.0.1/24" has bits set behind its prefix; write 10.0.0.0/24, or the single address 10.0.0.1',
      'IPAddressPool/lan: spec.addresses[2] "192.0.2.9-192.0.2.1" ends before it starts; write 192.0.2.1-192.0.2.9',
      'IPAddressPool/lan: spec.addresses[3] "192.0.2.010" has a leading zero in "010"; write 10',
      'IPAddressPool/lan: spec.exclude[0] "lan" is not an IP address; write four numbers with dots, such as 192.0.2.1',
      'IPAddressPool/lan: spec.maxPerNamespace "1.5" is no whole number from 0 to 2147483647; write one',
      'IPAddressPool/lan: spec.serviceAllocation.priority "-1" is no whole number from 0 to 2147483647; write one',
      'IPAddressPool/lan: spec.serviceAllocation.namespaces[0] "" is not a text with at least one character',
      'IPAddressPool/lan: spec.serviceAllocation.namespaceSelectors[0].matchLabels.a "1" is no text; put it in quotes',
      'IPAddressPool/lan: spec.serviceAllocation.namespaceSelectors[1].matchExpressions[0].operator "Is" is no operator; there are In, NotIn, Exists, DoesNotExist',
      'IPAddressPool/lan: spec.serviceAllocation.namespaceSelectors[1].matchExpressions[1].key "nothing" is no label key',
      'IPAddressPool/lan: spec.serviceAllocation.namespaceSelectors[1].matchExpressions[2].values "nothing" does not fit In; In and NotIn need values, the others take none',
      'IPAddressPool/lan: spec.serviceAllocation.serviceSelectors "all" is no list; write each entry behind a dash',
      'IPAddressPool/lan: spec.autoAssign "yes" is neither true nor false; write one of them',
      'IPAddressPool/lan: spec.reuse "oldest" is no choice; there are lowest, least-recent',
    ]);
  });

  it.each([
    [undefined, 'spec.addresses "nothing" leaves no address'],
    [{ addresses: [] }, 'spec.addresses "[]" leaves no address'],
    [
      { addresses: ['192.0.2.1'], exclude: ['192.0.2.0/24'] },
      'spec.addresses "["192.0.2.1"]" leaves no address',
    ],
    [{ addresses: '192.0.2.1' }, 'spec.addresses "192.0.2.1" is no list'],
    [['192.0.2.1'], 'spec "["192.0.2.1"]" is no object'],
  ])('without a usable address is refused: %j', (spec, problem) => {
    expect(problemsOf(spec)).toEqual([expect.stringContaining(`IPAddressPool/lan: ${problem}`)]);
  });
});

describe('a pool of whole subnets', () => {
  it('skips what each subnet uses itself, and takes ranges and addresses as they are', () => {
    const addresses = [
      '192.0.2.0/29',
      '198.51.100.0/31',
      '198.51.100.9/32',
      '203.0.113.0-203.0.113.3',
      '2001:db8::/126',
      '2001:db8:1::1/128',
    ];
    const read = readPool(object('lan', { addresses, skipSubnetEnds: true }));
    expect(read).toMatchObject({
      value: {
        ranges: [
          range('192.0.2.1-192.0.2.6'),
          range('198.51.100.0/31'),
          range('198.51.100.9'),
          range('203.0.113.0-203.0.113.3'),
          range('2001:db8::1-2001:db8::3'),
          range('2001:db8:1::1'),
        ],
      },
    });
  });
});

describe('bad input', () => {
  it.each([
    ['192.0.2.8-192.0.2.1', 'ends before it starts'],
    ['192.0.2.1-2001:db8::1', 'mixes IPv4 and IPv6'],
    ['192.0.2.256', 'is not 0 to 255'],
    ['0300.0.2.1', 'is not 0 to 255'],
    ['030.0.2.1', 'has a leading zero'],
    ['0xc0.0.2.1', 'is not 0 to 255'],
    ['3221225985', 'is not an IP address'],
    ['192.0.513', 'is not an IP address'],
    ['192.0.2.0/33', 'allows 0 to 32'],
    ['192.0.2.0/024', 'allows 0 to 32'],
    ['192.0.2.0/0x18', 'allows 0 to 32'],
    ['2001:db8::/129', 'allows 0 to 128'],
    ['fe80::1%eth0', 'has a zone'],
  ])('as an address, %s, is told what is wrong with it', (text, why) => {
    expect(problemsOf({ addresses: [text] })).toEqual([expect.stringContaining(why)]);
  });

  it('of 10,000 ranges is read, whatever overlaps, and one of 2^64 addresses as well', () => {
    const ranges = Array.from(
      { length: 10_000 },
      (_, i) => `10.${i >> 8}.${i & 255}.0-10.${i >> 8}.${i & 255}.9`,
    );
    const holes = ranges.map((_, i) => `10.${i >> 8}.${i & 255}.5`);
    const { pools, overlaps } = checkPools([
      object('many', { addresses: ranges, exclude: holes }, '2026-01-01T00:00:00Z'),
      object('again', { addresses: [...ranges, '2001:db8::/64'] }, '2026-01-02T00:00:00Z'),
    ]);
    expect(pools.map(({ name, ranges: { length } }) => `${name} ${length}`)).toEqual([
      'again 10001',
      'many 20000',
    ]);
    expect(overlaps.get('again')).toHaveLength(20_000);
  });
});

describe('all pools together', () => {
  it('are in name order, whatever the order they are listed in', () => {
    const objects = [object('b', { addresses: ['192.0.2.1'] }), object('a', { addresses: ['192.0.2.2'] })];
    expect(checkPools(objects).pools.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('of two that overlap leave the older what both name, and tell the younger, which serves with the rest', () => {
    const old = object('wide', { addresses: ['192.0.2.0/25', '2001:db8::/64'] }, '2026-01-01T00:00:00Z');
    const young = object(
      'narrow',
      { addresses: ['192.0.2.100-192.0.2.200', '2001:db8::7'] },
      '2026-01-02T00:00:00Z',
    );
    for (const order of [
      [old, young],
      [young, old],
    ]) {
      const { pools, problems, overlaps } = checkPools(order);
      expect(pools.map(({ name, ranges }) => ({ name, ranges }))).toEqual([
        { name: 'narrow', ranges: [range('192.0.2.128-192.0.2.200')] },
        { name: 'wide', ranges: [range('192.0.2.0/25'), range('2001:db8::/64')] },
      ]);
      expect(problems.size).toBe(0);
      expect((overlaps.get('narrow') ?? []).map(sentence)).toEqual([
        'IPAddressPool/narrow: spec.addresses "192.0.2.100-192.0.2.127" belongs to the older pool "wide"; take it out of one of the two',
        'IPAddressPool/narrow: spec.addresses "2001:db8::7" belongs to the older pool "wide"; take it out of one of the two',
      ]);
    }
  });

  it('set a pool aside of which older ones have everything', () => {
    const { pools, problems } = checkPools([
      object('a', { addresses: ['192.0.2.0/25'] }),
      object('b', { addresses: ['192.0.2.128/25'] }),
      object('c', { addresses: ['192.0.2.0/24'] }),
    ]);
    expect(pools.map(({ name }) => name)).toEqual(['a', 'b']);
    expect((problems.get('c') ?? []).map(({ value }) => value)).toEqual([
      '192.0.2.0-192.0.2.127',
      '192.0.2.128-192.0.2.255',
    ]);
  });

  it('set a bad one aside, which takes nothing from the others', () => {
    const { pools, problems } = checkPools([
      object('bad', { addresses: ['192.0.2.0/24', 'x'] }, '2026-01-01T00:00:00Z'),
      object('good', { addresses: ['192.0.2.0/24'] }, '2026-01-02T00:00:00Z'),
    ]);
    expect(pools.map(({ name }) => name)).toEqual(['good']);
    expect([...problems.keys()]).toEqual(['bad']);
  });

  it('do not overlap where one excludes what the other has', () => {
    const { problems } = checkPools([
      object('a', { addresses: ['192.0.2.0/24'], exclude: ['192.0.2.7'] }),
      object('b', { addresses: ['192.0.2.7'] }),
    ]);
    expect(problems.size).toBe(0);
  });
});
