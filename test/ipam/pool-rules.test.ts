// What a pool may say beyond its addresses and whom it serves: drain, reuse, and how much one namespace may have.
import { describe, expect, it } from 'vitest';
import { Allocator } from '../../src/ipam/allocator.ts';
import { explain } from '../../src/ipam/refusal.ts';
import { pools, request } from './builders.ts';

const ADDRESSES = ['192.0.2.1-192.0.2.3'];

function allocator(spec: object): Allocator {
  const made = new Allocator();
  made.setPools(pools({ lan: { addresses: ADDRESSES, ...spec } }));
  return made;
}

function give(from: Allocator, name: string, wish: Parameters<typeof request>[1] = {}): string {
  const answer = from.allocate(request(name, wish));
  return answer.kind === 'allocated' ? answer.addresses.join(' ') : explain(answer.refusal);
}

describe('a drained pool', () => {
  it('leaves everybody what they have, and gives nothing, to whom it may be', () => {
    const some = allocator({});
    give(some, 'a');
    some.setPools(pools({ lan: { addresses: ADDRESSES, drain: true }, wan: ['198.51.100.1'] }));
    expect(give(some, 'a')).toBe('192.0.2.1');
    expect(give(some, 'a', { addresses: ['192.0.2.1'] })).toBe('192.0.2.1');
    expect(give(some, 'b')).toBe('198.51.100.1');
    const why = 'pool "lan" is drained and gives out nothing (drain: true)';
    expect(give(some, 'c', { pool: 'lan' })).toBe(`no pool serves the Service: ${why}`);
    expect(give(some, 'd', { addresses: ['192.0.2.2'] })).toBe(`192.0.2.2 cannot be given: ${why}`);
  });

  it('serves who waited when it is drained no more', () => {
    const some = allocator({ drain: true });
    give(some, 'a');
    some.setPools(pools({ lan: ADDRESSES }));
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
  });
});

describe('the reuse of addresses', () => {
  it('least-recent leaves an address alone for as long as there is another', () => {
    const some = allocator({ reuse: 'least-recent' });
    give(some, 'a');
    some.release('shop/a');
    expect(give(some, 'b')).toBe('192.0.2.2');
    some.release('shop/b');
    expect(give(some, 'c')).toBe('192.0.2.3');
    some.release('shop/c');
    expect(['d', 'e', 'f'].map((name) => give(some, name))).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
  });
});

describe('the limit of a namespace', () => {
  const bank = { namespace: 'bank' };

  it('counts its Services in the pool by family, and other namespaces not', () => {
    const some = new Allocator();
    const addresses = [...ADDRESSES, '2001:db8::/64'];
    some.setPools(pools({ lan: { addresses, maxPerNamespace: 1 } }));
    expect(give(some, 'a', { families: ['IPv4', 'IPv6'] })).toBe('192.0.2.1 2001:db8::');
    expect(give(some, 'b')).toBe(
      'no pool serves the Service: pool "lan" is at the limit of IPv4 addresses for the namespace (maxPerNamespace)',
    );
    expect(give(some, 'b', { addresses: ['192.0.2.3'] })).toContain('at the limit of IPv4');
    expect(give(some, 'c', bank)).toBe('192.0.2.2');
  });

  it('lets a Service change to another address, and the next one in when it leaves', () => {
    const some = allocator({ maxPerNamespace: 1 });
    give(some, 'a');
    give(some, 'b');
    expect(give(some, 'a', { addresses: ['192.0.2.3'] })).toBe('192.0.2.3');
    some.release('shop/a');
    expect(some.holds('shop/b').addresses).toEqual(['192.0.2.1']);
    expect(some.drainChanged()).toEqual(['shop/b']);
  });

  it('lets the next one in when a Service leaves an address that it shared', () => {
    const some = allocator({ maxPerNamespace: 1 });
    const named = { sharingKey: 'k', addresses: ['192.0.2.1'] };
    give(some, 'mine', { ...named, ports: ['TCP/1'] });
    give(some, 'theirs', { ...named, ...bank, ports: ['TCP/2'] });
    give(some, 'next');
    some.release('shop/mine');
    expect(some.holds('shop/next').addresses).toEqual(['192.0.2.2']);
  });

  it('lowered under use takes nothing away, and names who has too much', () => {
    const some = allocator({});
    for (const name of ['a', 'b']) give(some, name);
    give(some, 'c', bank);
    some.setPools(pools({ lan: { addresses: [...ADDRESSES, '192.0.2.9'], maxPerNamespace: 1 } }));
    expect(some.holds('shop/b').addresses).toEqual(['192.0.2.2']);
    expect(some.counts('lan')?.beyondLimit).toEqual(['shop']);
    some.release('shop/a');
    expect(some.counts('lan')?.beyondLimit).toEqual([]);
  });
});

describe('the count of who waits', () => {
  it('is of those whom a full pool would serve, and is 0 while it has an address', () => {
    const some = allocator({});
    for (const name of ['a', 'b', 'c', 'd', 'e']) give(some, name);
    give(some, 'f', { pool: 'other' });
    give(some, 'g', { addresses: ['192.0.2.1'] });
    expect(some.counts('lan')?.waiting).toBe(2);
    some.release('shop/a');
    expect(some.counts('lan')?.waiting).toBe(1);
  });
});

describe('the journal', () => {
  it('tells each allocation, move and release with what set it off', () => {
    const some = new Allocator();
    some.setPools(pools({ lan: ['192.0.2.1', '192.0.2.2'] }));
    some.keep(request('a', { held: ['192.0.2.1'] }));
    give(some, 'b', { addresses: ['192.0.2.1'] });
    give(some, 'c');
    some.release('shop/a');
    some.setPools(pools({ lan: ['192.0.2.1'], wan: ['192.0.2.2'] }));
    some.setPools(pools({ wan: ['192.0.2.2', '198.51.100.1'] }));
    const told = some
      .drainJournal()
      .map(({ service, kind, cause, before, after, pools: from }) =>
        [service, kind, cause, `${before.join()}>${after.join()}`, from.join()].join(' '),
      );
    expect(told).toEqual([
      'shop/a allocated kept >192.0.2.1 lan',
      'shop/c allocated asked >192.0.2.2 lan',
      'shop/a released gone 192.0.2.1> ',
      'shop/b allocated room >192.0.2.1 lan',
      'shop/c changed pools 192.0.2.2>192.0.2.2 wan',
      'shop/b released pools 192.0.2.1> ',
    ]);
    expect(some.drainJournal()).toEqual([]);
  });
});
