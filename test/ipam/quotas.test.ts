// What namespaces may have at most, over all pools: who is refused and why, and who comes in when.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Quota } from '../../src/api/quota.ts';
import { Allocator } from '../../src/ipam/allocator.ts';
import { explain } from '../../src/ipam/refusal.ts';
import { pools, request } from './builders.ts';

const POOLS = pools({
  lan: ['192.0.2.1-192.0.2.3', '2001:db8::1-2001:db8::9'],
  wan: ['198.51.100.1-198.51.100.9'],
});
const bank = { namespace: 'bank' };

let allocator: Allocator;
beforeEach(() => {
  allocator = new Allocator();
});

function limit(...quotas: (Partial<Quota> & Pick<Quota, 'name' | 'most'>)[]): void {
  const whole = quotas.map((each) => ({ namespaces: [], namespaceSelectors: [], ...each }));
  allocator.setPools(POOLS, { quotas: whole });
}

function give(name: string, wish: Parameters<typeof request>[1] = {}, age = 0): string {
  const answer = allocator.allocate(request(name, wish, age));
  const has = answer.addresses.join(' ');
  return answer.kind === 'allocated' ? has : `${answer.refusal.reason} ${has}: ${explain(answer.refusal)}`;
}

describe('a quota', () => {
  it('counts what a namespace has from all pools, and names itself and every pool where it refuses', () => {
    limit({ name: 'shops', most: { IPv4: 2 }, namespaces: ['shop'] });
    expect(give('a')).toBe('192.0.2.1');
    expect(give('b', { pool: 'wan' })).toBe('198.51.100.1');
    expect(give('c')).toBe(
      'LimitReached : no pool serves the Service: pools "lan", "wan" are closed to the namespace, which has as many IPv4 addresses as spec.maxIPv4 of the AddressQuota "shops" allows: 2',
    );
    expect(give('d', { addresses: ['192.0.2.3'] })).toBe(
      'LimitReached : 192.0.2.3 cannot be given: pool "lan" is closed to the namespace, which has as many IPv4 addresses as spec.maxIPv4 of the AddressQuota "shops" allows: 2',
    );
    expect(give('e', bank)).toBe('192.0.2.2');
  });

  it('limits the families that it names, each by itself', () => {
    limit({ name: 'q', most: { IPv6: 1 } });
    const both = { families: ['IPv4', 'IPv6'] } as const;
    expect(give('a', both)).toBe('192.0.2.1 2001:db8::1');
    expect(give('b', both)).toBe('192.0.2.2');
    expect(give('c', { ...both, bothRequired: true })).toContain('as many IPv6 addresses as spec.maxIPv6');
  });

  it('is the narrowest of those that select the namespace, by name or label', () => {
    const low = [{ key: 'tier', operator: 'In', values: ['low'] }] as const;
    limit(
      { name: 'all', most: { IPv4: 2 } },
      { name: 'low', most: { IPv4: 1 }, namespaces: ['other'], namespaceSelectors: [low] },
    );
    const labelled = { namespaceLabels: { tier: 'low' } };
    give('a', labelled);
    expect(give('b', labelled)).toContain('AddressQuota "low" allows: 1');
    // The label goes: its Services ask again.
    expect(give('b')).toBe('192.0.2.2');
    expect(give('c')).toContain('AddressQuota "all" allows: 2');
  });

  it('lets a Service change to another address, and lets in the oldest that waits when one leaves', () => {
    limit({ name: 'q', most: { IPv4: 1 } });
    give('a');
    give('young', {}, 2);
    give('old', {}, 1);
    expect(give('a', { pool: 'wan' })).toBe('198.51.100.1');
    allocator.drainChanged();
    allocator.release('shop/a');
    expect(allocator.drainChanged()).toEqual(['shop/old']);
    expect(allocator.holds('shop/old').addresses).toEqual(['192.0.2.1']);
  });

  it('lowered under use takes nothing away, over a restart neither, and names who has too much', () => {
    limit({ name: 'q', most: { IPv4: 3 } });
    for (const name of ['a', 'b']) give(name);
    give('c', bank);
    limit({ name: 'q', most: { IPv4: 1 } });
    expect(allocator.holds('shop/b').addresses).toEqual(['192.0.2.2']);
    expect(give('b')).toBe('192.0.2.2');
    expect(allocator.quotaUse('q')).toEqual({ reached: ['bank (1 IPv4)'], exceeded: ['shop (2 IPv4)'] });

    allocator = new Allocator();
    limit({ name: 'q', most: { IPv4: 1 } });
    const held = request('b', { held: ['192.0.2.2'] });
    allocator.keep(request('a', { held: ['192.0.2.1'] }));
    allocator.keep(held);
    expect(allocator.allocate(held)).toMatchObject({ kind: 'allocated', addresses: ['192.0.2.2'] });
  });

  it('raised, or gone, lets in who waited', () => {
    limit({ name: 'q', most: { IPv4: 0 } });
    for (const [age, name] of ['a', 'b'].entries()) give(name, {}, age);
    limit({ name: 'q', most: { IPv4: 1 } });
    expect(allocator.holds('shop/a').addresses).toEqual(['192.0.2.1']);
    limit();
    expect(allocator.holds('shop/b').addresses).toEqual(['192.0.2.2']);
    expect(allocator.quotaUse('q')).toBeUndefined();
  });

  it('lets the waiters of other namespaces pass who cannot be served', () => {
    limit({ name: 'q', most: { IPv4: 3 }, namespaces: ['shop'] });
    for (const name of ['a', 'b', 'c']) give(name, { pool: 'lan' });
    give('d', { pool: 'lan' }, 1);
    give('e', { ...bank, pool: 'lan' }, 2);
    limit({ name: 'q', most: { IPv4: 1 }, namespaces: ['shop'] });
    allocator.release('shop/a');
    expect(allocator.holds('bank/e').addresses).toEqual(['192.0.2.1']);
  });
});
