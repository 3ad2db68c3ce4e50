// What surprises users of MetalLB, as measured there, and does not happen here.
import { describe, expect, it } from 'vitest';
import { Allocator } from '../../src/ipam/allocator.ts';
import { ip } from '../../src/net/address.ts';
import { pools, request } from './builders.ts';

const LAN = ['192.0.2.1-192.0.2.9'];

function allocator(specs: Readonly<Record<string, readonly string[] | object>>): Allocator {
  const made = new Allocator();
  made.setPools(pools(specs));
  return made;
}

/** What they have, once they show what they have by now, one after the other. */
function held(from: Allocator, ...names: readonly string[]): string[] {
  for (const key of names.map((name) => `shop/${name}`)) from.shows(key, from.holds(key).addresses);
  return names.map((name) => from.holds(`shop/${name}`).addresses.join(' '));
}

describe('a Service that must move at a start', () => {
  it('takes no address that another still holds, however much older it is', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.2'] });
    const mover = request('mover', { held: ['203.0.113.9'] }, 0);
    const stayer = request('stayer', { held: ['192.0.2.1'] }, 9);
    for (const each of [mover, stayer]) some.keep(each);
    for (const each of [mover, stayer]) some.allocate(each);
    expect(held(some, 'mover', 'stayer')).toEqual(['192.0.2.2', '192.0.2.1']);
  });
});

describe('an address that a Service moves away from', () => {
  const some = () => {
    const made = allocator({ lan: ['192.0.2.1'], wan: ['198.51.100.1-198.51.100.2'] });
    made.allocate(request('a', { pool: 'lan' }));
    made.allocate(request('late', { addresses: ['192.0.2.1'] }));
    made.drainChanged();
    made.allocate(request('a', { pool: 'wan' }));
    return made;
  };

  it('is nobody else’s before the status shows the new one', () => {
    const made = some();
    expect(made.drainChanged()).toEqual(['shop/late']);
    expect(made.allocate(request('late', { addresses: ['192.0.2.1'] }))).toMatchObject({
      refusal: { reason: 'AddressInUse', holder: 'shop/a (leaving it)' },
    });
    expect(made.allocate(request('other', { pool: 'lan' })).kind).toBe('refused');
    expect(made.holderOf(ip('192.0.2.1'))).toBeUndefined();
    expect(made.counts('lan')).toMatchObject({ assigned: { IPv4: 1n } });
    made.shows('shop/a', [ip('192.0.2.1')]); // a write from before it moved
    expect(made.holds('shop/late').addresses).toEqual([]);
    made.shows('shop/a', [ip('198.51.100.1')]);
    expect(made.holds('shop/late').addresses).toEqual(['192.0.2.1']);
    expect(made.counts('lan')).toMatchObject({ assigned: { IPv4: 1n } });
  });

  it('is its own again if it asks for it meanwhile', () => {
    const made = some();
    expect(made.allocate(request('a', { pool: 'lan', addresses: ['192.0.2.1'] })).kind).toBe('allocated');
    made.shows('shop/a', [ip('192.0.2.1')]);
    expect(made.holds('shop/late').addresses).toEqual([]);
    made.release('shop/a');
    expect(made.holds('shop/late').addresses).toEqual(['192.0.2.1']);
  });

  it('is free when the Service goes', () => {
    const made = some();
    made.release('shop/a');
    expect(made.holds('shop/late').addresses).toEqual(['192.0.2.1']);
    expect(made.counts('wan')).toMatchObject({ assigned: { IPv4: 0n } });
  });

  it('is shared with nobody who has its ports', () => {
    const made = allocator({ lan: ['192.0.2.1'], wan: ['198.51.100.1'] });
    const key = { sharingKey: 'k' };
    made.allocate(request('a', { ...key, ports: ['TCP/80'], pool: 'lan' }));
    made.allocate(request('b', { ...key, ports: ['TCP/443'], pool: 'lan' }));
    made.allocate(request('c', { ...key, ports: ['TCP/80'], pool: 'lan' }));
    made.allocate(request('a', { ...key, ports: ['TCP/80'], pool: 'wan' }));
    expect(made.holds('shop/c').addresses).toEqual([]);
    made.shows('shop/a', [ip('198.51.100.1')]);
    expect(made.holds('shop/c').addresses).toEqual(['192.0.2.1']);
  });

  it('or shows at a start though it may not keep it, is nobody’s either', () => {
    const made = allocator({
      lan: { addresses: ['192.0.2.1'], serviceAllocation: { namespaces: ['bank'] } },
    });
    const mover = request('mover', { held: ['192.0.2.1'] });
    const [late] = [request('late', { namespace: 'bank' })];
    made.keep(mover);
    expect(made.allocate(late).kind).toBe('refused');
    made.allocate(mover);
    made.shows('shop/mover', []);
    expect(made.holds('bank/late').addresses).toEqual(['192.0.2.1']);
  });

  it('but not one that another keeps, who shows it too', () => {
    const made = allocator({
      lan: { addresses: ['192.0.2.1'], serviceAllocation: { namespaces: ['bank'] } },
    });
    made.keep(request('mover', { held: ['192.0.2.1'] }));
    made.keep(request('stays', { namespace: 'bank', held: ['192.0.2.1'] }));
    expect(made.allocate(request('stays', { namespace: 'bank' })).kind).toBe('allocated');
  });
});

describe('a selector that matches nothing', () => {
  it.each([
    ['namespaces', { namespaces: ['gone'] }],
    ['namespaceSelectors', { namespaceSelectors: [{ matchLabels: { team: 'gone' } }] }],
    ['serviceSelectors', { serviceSelectors: [{ matchLabels: { app: 'gone' } }] }],
  ])('in %s closes the pool', (_, serviceAllocation) => {
    const some = allocator({ lan: { addresses: LAN, serviceAllocation } });
    expect(some.allocate(request('a'))).toMatchObject({
      kind: 'refused',
      refusal: { reason: 'NoMatchingPool' },
    });
    expect(some.allocate(request('b', { addresses: ['192.0.2.1'] })).kind).toBe('refused');
    expect(some.allocate(request('c', { pool: 'lan' })).kind).toBe('refused');
  });
});

describe('a waiter is served, whatever made room:', () => {
  const http = { sharingKey: 'k', ports: ['TCP/80'] };

  it('a port that a sharer gave up', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    some.allocate(request('a', { ...http, ports: ['TCP/80', 'TCP/443'] }));
    some.allocate(request('late', { ...http, ports: ['TCP/443'] }));
    some.allocate(request('a', http));
    expect(held(some, 'late')).toEqual(['192.0.2.1']);
  });

  it('a sharing key that another took on', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    some.allocate(request('a', { ports: ['TCP/443'] }));
    some.allocate(request('late', http));
    some.allocate(request('a', { ...http, ports: ['TCP/443'] }));
    expect(held(some, 'late')).toEqual(['192.0.2.1']);
  });

  it('a move to another pool', () => {
    const some = allocator({ lan: ['192.0.2.1'], wan: ['198.51.100.1'] });
    some.allocate(request('a'));
    some.allocate(request('late', { pool: 'lan' }));
    some.allocate(request('a', { pool: 'wan' }));
    expect(held(some, 'a', 'late')).toEqual(['198.51.100.1', '192.0.2.1']);
  });

  it('a Service that is no load balancer any more, or gone', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    some.allocate(request('a'));
    some.allocate(request('late'));
    some.release('shop/a');
    expect(held(some, 'late')).toEqual(['192.0.2.1']);
  });

  it('a family that a dual-stack Service gave up', () => {
    const some = allocator({ lan: ['192.0.2.1', '2001:db8::1'] });
    some.allocate(request('a', { families: ['IPv4', 'IPv6'] }));
    some.allocate(request('late', { families: ['IPv6'] }));
    some.allocate(request('a', { families: ['IPv4'] }));
    expect(held(some, 'a', 'late')).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  it('a label that closed a pool to who was there', () => {
    const serviceAllocation = { serviceSelectors: [{ matchLabels: { tier: 'front' } }] };
    const some = allocator({ lan: { addresses: ['192.0.2.1'], serviceAllocation } });
    const front = { labels: { tier: 'front' } };
    some.allocate(request('a', front));
    some.allocate(request('late', front));
    some.allocate(request('a', { labels: { tier: 'back' } }));
    expect(held(some, 'a', 'late')).toEqual(['', '192.0.2.1']);
  });
});

describe('a waiter is not told again', () => {
  it('that it waits, for whatever others do that does not concern it', () => {
    const some = allocator({ lan: ['192.0.2.1'], wan: ['198.51.100.1-198.51.100.9'] });
    some.allocate(request('a', { pool: 'lan' }));
    some.allocate(request('waits', { pool: 'lan' }));
    some.drainChanged();
    for (const name of ['b', 'c']) some.allocate(request(name, { pool: 'wan' }));
    some.release('shop/b');
    some.allocate(request('a', { pool: 'lan' }));
    expect(some.drainChanged()).toEqual([]);
  });
});

describe('a Service that changes its families', () => {
  const dual = { families: ['IPv4', 'IPv6'] } as const;

  it.each([['IPv4'], ['IPv6']] as const)('to %s alone keeps that address', (family) => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9', '2001:db8::1-2001:db8::9'] });
    some.allocate(request('first', dual));
    const { addresses } = some.allocate(request('a', dual));
    some.release('shop/first');
    const kept = addresses.filter((address) => address.includes(':') === (family === 'IPv6'));
    expect(some.allocate(request('a', { families: [family] })).addresses).toEqual(kept);
  });

  it('to both keeps the one that it has, and gets the other beside it', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9', '2001:db8::1-2001:db8::9'] });
    some.allocate(request('first'));
    some.allocate(request('a'));
    some.release('shop/first');
    expect(some.allocate(request('a', dual)).addresses).toEqual(['192.0.2.2', '2001:db8::1']);
    expect(some.allocate(request('a', { families: ['IPv6', 'IPv4'] })).addresses).toEqual([
      '2001:db8::1',
      '192.0.2.2',
    ]);
  });

  it('to both that must be, where there is no second, keeps the one that it has, and waits', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    some.allocate(request('a'));
    const answer = some.allocate(request('a', { ...dual, bothRequired: true }));
    expect(answer).toMatchObject({ kind: 'refused', addresses: ['192.0.2.1'] });
    some.setPools(pools({ lan: ['192.0.2.1', '2001:db8::1'] }));
    expect(held(some, 'a')).toEqual(['192.0.2.1 2001:db8::1']);
  });
});

describe('a change that cannot be met leaves the old address in place', () => {
  it.each<[string, Parameters<typeof request>[1]]>([
    ['an address in no pool', { addresses: ['203.0.113.1'] }],
    ['an address of another', { addresses: ['192.0.2.1'] }],
    ['a pool that is full', { pool: 'full' }],
    ['a pool that is not there', { pool: 'gone' }],
    ['a pool that is closed to it', { pool: 'closed' }],
    ['a pool without its family', { pool: 'six' }],
    ['both families where there is one', { families: ['IPv4', 'IPv6'], bothRequired: true, pool: 'lan' }],
  ])('%s', (_, wish) => {
    const some = allocator({
      lan: LAN,
      full: ['198.51.100.1'],
      closed: { addresses: ['198.51.100.2'], serviceAllocation: { namespaces: ['bank'] } },
      six: ['2001:db8::1'],
    });
    some.allocate(request('first', { pool: 'lan' }));
    some.allocate(request('filler', { pool: 'full' }));
    some.allocate(request('a', { pool: 'lan' }));
    expect(some.allocate(request('a', wish))).toMatchObject({
      kind: 'refused',
      addresses: ['192.0.2.2'],
      pools: ['lan'],
    });
  });
});

describe('the same objects give the same addresses', () => {
  it('whatever the order of the pools', () => {
    const specs = pools({ b: ['192.0.2.2'], a: ['192.0.2.1'], c: ['192.0.2.3'] });
    const [there, back] = [specs, specs.toReversed()].map((order) => {
      const some = new Allocator();
      some.setPools(order);
      return ['x', 'y', 'z'].map((name) => some.allocate(request(name)).addresses.join());
    });
    expect(there).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    expect(back).toEqual(there);
  });
});
