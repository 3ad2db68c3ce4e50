// What is shown in place of an address.
import { describe, expect, it } from 'vitest';
import { readPool } from '../../src/api/pool.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import { publishedAs } from '../../src/api/publish.ts';
import { readService } from '../../src/api/service.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { ip } from '../../src/net/address.ts';

function read(publish: unknown) {
  const spec = { addresses: ['192.0.2.0/24', '2001:db8::/64'], publish };
  return readPool({ metadata: { name: 'lan' }, spec } as KubeObject); // `publish` is what users write
}

function shown(publish: unknown, address: string): string | undefined {
  const found = read(publish);
  return found.kind === 'valid'
    ? publishedAs(ip(address), found.value.publish)
    : expect.fail(found.problems.map(sentence).join('; '));
}

describe('a pool shows', () => {
  it.each([
    ['192.0.2.5', undefined, undefined],
    ['192.0.2.5', [{ as: '203.0.113.7' }], '203.0.113.7'],
    ['2001:db8::5', [{ as: 'www.example.com' }], 'www.example.com'],
    ['2001:db8::5', [{ addresses: '192.0.2.0/24', as: '203.0.113.7' }], undefined],
    ['192.0.2.5', [{ addresses: '192.0.2.0/24', as: '203.0.113.0/24' }], '203.0.113.5'],
    ['192.0.2.9', [{ addresses: '192.0.2.8-192.0.2.9', as: '203.0.113.1-203.0.113.2' }], '203.0.113.2'],
    ['2001:db8::a', [{ addresses: '2001:db8::/64', as: '2001:db8:9::/64' }], '2001:db8:9::a'],
    [
      '192.0.2.9',
      [{ addresses: '192.0.2.9', as: 'a.example.com' }, { as: 'b.example.com' }],
      'a.example.com',
    ],
    [
      '192.0.2.8',
      [{ addresses: '192.0.2.9', as: 'a.example.com' }, { as: 'b.example.com' }],
      'b.example.com',
    ],
    ['192.0.2.8', [{ as: '2001:DB8::7' }], '2001:db8::7'],
  ])('%s by %j as %s', (address, publish, as) => {
    expect(shown(publish, address)).toBe(as);
  });

  it.each([
    ['203.0.113.7', 'spec.publish "203.0.113.7" is no list; write each entry behind a dash'],
    [[{}], 'spec.publish[0].as "nothing" is not an IP address'],
    [[{ as: 'WWW' }], 'spec.publish[0].as "WWW" is not an IP address'],
    [
      [{ as: '203.0.113.300' }],
      'spec.publish[0].as "203.0.113.300" is not an IP address: "300" is not 0 to 255',
    ],
    [[{ as: '203.0.113.0/24' }], 'holds several addresses; say in addresses which ones of the pool'],
    [
      [{ addresses: '192.0.2.0/24', as: '203.0.113.0/25' }],
      'does not fit addresses "192.0.2.0-192.0.2.255"; write as many addresses of the same family',
    ],
    [[{ addresses: '192.0.2.0/24', as: '2001:db8::/120' }], 'does not fit addresses'],
    [[{ addresses: 'lan', as: '203.0.113.7' }], 'spec.publish[0].addresses "lan" is not an IP address'],
    [[{ to: '203.0.113.7', as: 'x' }], 'spec.publish[0].to "to" is no field here; there are addresses, as'],
  ])('nothing by %j, which is told', (publish, problem) => {
    const found = read(publish);
    expect(found.kind === 'invalid' && found.problems.map(sentence).join('; ')).toContain(problem);
  });
});

describe('a Service shows', () => {
  const readWith = (text: string) =>
    readService(
      {
        metadata: { name: 'web', namespace: 'shop', annotations: { 'fairlead.dev/publish': text } },
        spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'] },
      },
      { classes: new Set(), classless: true },
      {},
    );

  it.each([
    ['203.0.113.7', ['203.0.113.7']],
    [' www.example.com , 2001:DB8::7 ', ['www.example.com', '2001:db8::7']],
    [' , ', undefined],
  ])('by "%s" %j', (text, publish) => {
    expect(readWith(text)).toMatchObject({ kind: 'valid', value: publish ? { publish } : {} });
  });

  it('nothing by what is neither address nor name, and keeps what it has', () => {
    const found = readWith('203.0.113.300');
    if (found.kind !== 'invalid') expect.fail(found.kind);
    expect(found.problems.map(sentence)).toEqual([
      'Service/shop/web: metadata.annotations[fairlead.dev/publish] "203.0.113.300" is neither an address nor a ' +
        'host name; write one such as 203.0.113.7 or www.example.com',
    ]);
    expect(found.keeps).not.toHaveProperty('publish');
  });
});
