// The rules of allocation case by case, as MetalLB has them where it has them.
import { describe, expect, it } from 'vitest';
import { Allocator } from '../../src/ipam/allocator.ts';
import { explain } from '../../src/ipam/refusal.ts';
import { pools, request } from './builders.ts';

function allocator(specs: Readonly<Record<string, readonly string[] | object>>): Allocator {
  const made = new Allocator();
  made.setPools(pools(specs));
  return made;
}

type Wish = Parameters<typeof request>[1];

/** What the Service gets, and shows from then on: addresses, or why not in words. */
function give(from: Allocator, name: string, wish: Wish = {}, age = 0): string {
  const answer = from.allocate(request(name, wish, age));
  show(from, name);
  return answer.kind === 'allocated'
    ? answer.addresses.join(' ')
    : `${answer.refusal.reason}: ${explain(answer.refusal)}`;
}

/** Its status tells what it has by now. */
function show(from: Allocator, name: string): void {
  from.shows(`shop/${name}`, from.holds(`shop/${name}`).addresses);
}

describe('which address', () => {
  it('is the lowest that is free, one that came back before one that is new', () => {
    const some = allocator({ lan: ['192.0.2.20-192.0.2.22', '192.0.2.10'] });
    expect(['a', 'b', 'c'].map((name) => give(some, name))).toEqual([
      '192.0.2.10',
      '192.0.2.20',
      '192.0.2.21',
    ]);
    some.release('shop/b');
    expect(give(some, 'd')).toBe('192.0.2.20');
  });

  it('is none that is excluded, and with avoidBuggyIPs none that ends in .0 or .255', () => {
    const some = allocator({
      lan: { addresses: ['192.0.2.254-192.0.3.3'], exclude: ['192.0.3.1', '192.0.3.2'], avoidBuggyIPs: true },
    });
    expect(['a', 'b'].map((name) => give(some, name))).toEqual(['192.0.2.254', '192.0.3.3']);
    expect(give(some, 'c')).toBe(
      'PoolExhausted: no address is free: pool "lan" is without a free IPv4 address',
    );
    expect(give(some, 'd', { addresses: ['192.0.3.0'] })).toContain('AddressNotInPool');
    expect(give(some, 'e', { addresses: ['192.0.3.1'] })).toContain('AddressNotInPool');
    expect(some.counts('lan')).toMatchObject({ assigned: { IPv4: 2n }, available: { IPv4: 0n } });
  });

  it('does not change when the Service asks again, nor when it asks for less', () => {
    const some = allocator({ lan: ['192.0.2.10-192.0.2.20'] });
    give(some, 'a');
    expect(give(some, 'b')).toBe('192.0.2.11');
    some.release('shop/a');
    expect(give(some, 'b')).toBe('192.0.2.11');
    expect(give(some, 'b', { addresses: ['192.0.2.15'] })).toBe('192.0.2.15');
    expect(give(some, 'b')).toBe('192.0.2.15');
  });

  it('comes from a pool of any size at once', () => {
    const some = allocator({ huge: ['10.0.0.0/8', '2001:db8::/32'] });
    expect(give(some, 'a', { families: ['IPv4', 'IPv6'] })).toBe('10.0.0.0 2001:db8::');
    expect(give(some, 'b', { addresses: ['10.200.0.1'] })).toBe('10.200.0.1');
    expect(some.counts('huge')?.available).toEqual({ IPv4: 2n ** 24n - 2n, IPv6: 2n ** 96n - 1n });
  });
});

describe('which pool', () => {
  it('is one for chosen Services by priority, unset last, then the open ones by name', () => {
    const some = allocator({
      open: ['192.0.2.1'],
      any: { addresses: ['192.0.2.2'], serviceAllocation: {} },
      second: { addresses: ['192.0.2.3'], serviceAllocation: { priority: 20, namespaces: ['shop'] } },
      first: { addresses: ['192.0.2.4'], serviceAllocation: { priority: 10, namespaces: ['shop'] } },
      other: { addresses: ['192.0.2.5'], serviceAllocation: { priority: 1, namespaces: ['bank'] } },
    });
    const given = ['a', 'b', 'c', 'd'].map((name) => give(some, name));
    expect(given).toEqual(['192.0.2.4', '192.0.2.3', '192.0.2.2', '192.0.2.1']);
    expect(give(some, 'e')).toBe(
      'PoolExhausted: no address is free: pool "other" is for other namespaces (spec.serviceAllocation); ' +
        'pools "first", "second", "any", "open" are without a free IPv4 address',
    );
  });

  it('serves the namespaces that it names or selects', () => {
    const some = allocator({
      lan: {
        addresses: ['192.0.2.1-192.0.2.9'],
        serviceAllocation: {
          namespaces: ['bank'],
          namespaceSelectors: [{ matchLabels: { team: 'red' } }, { matchLabels: { team: 'blue' } }],
        },
      },
    });
    expect(give(some, 'a', { namespace: 'bank' })).toBe('192.0.2.1');
    expect(give(some, 'b', { namespaceLabels: { team: 'blue' } })).toBe('192.0.2.2');
    expect(give(some, 'c', { namespaceLabels: { team: 'green' } })).toBe(
      'NoMatchingPool: no pool serves the Service: pool "lan" is for other namespaces (spec.serviceAllocation)',
    );
  });

  it('serves Services that one of its selectors matches, in its namespaces only', () => {
    const some = allocator({
      lan: {
        addresses: ['192.0.2.1-192.0.2.9'],
        serviceAllocation: {
          namespaces: ['bank'],
          serviceSelectors: [
            { matchExpressions: [{ key: 'tier', operator: 'In', values: ['front', 'edge'] }] },
            { matchLabels: { public: 'yes' } },
          ],
        },
      },
    });
    expect(give(some, 'a', { namespace: 'bank', labels: { tier: 'edge' } })).toBe('192.0.2.1');
    expect(give(some, 'b', { namespace: 'bank', labels: { public: 'yes' } })).toBe('192.0.2.2');
    expect(give(some, 'c', { namespace: 'bank' })).toContain('for Services with other labels');
    expect(give(some, 'd', { labels: { public: 'yes' } })).toContain('for other namespaces');
  });

  it('without autoAssign serves who names it, or one of its addresses', () => {
    const some = allocator({ manual: { addresses: ['192.0.2.1-192.0.2.9'], autoAssign: false } });
    expect(give(some, 'a')).toBe(
      'NoMatchingPool: no pool serves the Service: ' +
        'pool "manual" is only for Services that ask for it by name (autoAssign: false)',
    );
    expect(give(some, 'b', { pool: 'manual' })).toBe('192.0.2.1');
    expect(give(some, 'c', { addresses: ['192.0.2.5'] })).toBe('192.0.2.5');
  });

  it('that the Service names is the only one asked, and still chooses whom it serves', () => {
    const some = allocator({
      lan: ['192.0.2.1-192.0.2.9'],
      bank: { addresses: ['198.51.100.1'], serviceAllocation: { namespaces: ['bank'] } },
    });
    expect(give(some, 'a', { pool: 'lan' })).toBe('192.0.2.1');
    expect(give(some, 'b', { pool: 'bank' })).toContain('NoMatchingPool');
    expect(give(some, 'c', { pool: 'wan' })).toBe(
      'UnknownPool: there is no pool "wan"; the pools are "bank", "lan"',
    );
    expect(give(some, 'a', { pool: 'bank', namespace: 'bank' })).toBe('198.51.100.1');
  });

  it('that the Service names from now on takes it over, and it keeps what it has while that is full', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'], wan: ['198.51.100.1'] });
    give(some, 'a');
    give(some, 'b', { pool: 'wan' });
    const refused = some.allocate(request('a', { pool: 'wan' }));
    expect(refused).toMatchObject({ kind: 'refused', addresses: ['192.0.2.1'], pools: ['lan'] });
    some.release('shop/b');
    expect(some.holds('shop/a')).toEqual({ addresses: ['198.51.100.1'], pools: ['wan'] });
    expect(some.drainChanged()).toEqual(['shop/a']);
  });
});

describe('addresses asked for by name', () => {
  it('are all given, or none, with the holder and the mend', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9', '2001:db8::/64'] });
    const both = { families: ['IPv4', 'IPv6'] } as const;
    expect(give(some, 'a', { ...both, addresses: ['2001:db8::7', '192.0.2.7'] })).toBe(
      '192.0.2.7 2001:db8::7',
    );
    expect(give(some, 'b', { ...both, addresses: ['192.0.2.8', '2001:db8::7'] })).toBe(
      'AddressInUse: 2001:db8::7 is held by the Service shop/a: ' +
        'the two do not have the same fairlead.dev/allow-shared-ip key',
    );
    expect(some.holds('shop/b').addresses).toEqual([]);
    expect(give(some, 'c')).toBe('192.0.2.1');
  });

  it('must be in a pool, and in the one that the Service names', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'], wan: ['198.51.100.1'] });
    expect(give(some, 'a', { addresses: ['203.0.113.1'] })).toBe(
      'AddressNotInPool: no pool gives out 203.0.113.1; the pools are "lan", "wan"',
    );
    expect(give(some, 'a', { addresses: ['192.0.2.3'], pool: 'wan' })).toBe(
      'AddressNotInPool: 192.0.2.3 is in the pool "lan", but the Service asks for the pool "wan"',
    );
  });

  it('leave the Service what it has until they can be given', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    give(some, 'a', { addresses: ['192.0.2.5'] });
    give(some, 'b');
    expect(some.allocate(request('b', { addresses: ['192.0.2.5'] }))).toMatchObject({
      kind: 'refused',
      addresses: ['192.0.2.1'],
    });
    some.release('shop/a');
    expect(some.holds('shop/b').addresses).toEqual(['192.0.2.5']);
    show(some, 'b');
    expect(give(some, 'c')).toBe('192.0.2.1');
  });
});

describe('families', () => {
  const dual = { families: ['IPv6', 'IPv4'] } as const;

  it('come in the order of the cluster addresses, from one pool where one has both', () => {
    const some = allocator({ a4: ['192.0.2.1'], both: ['192.0.2.9', '2001:db8::9'], c6: ['2001:db8::1'] });
    expect(give(some, 'a', dual)).toBe('2001:db8::9 192.0.2.9');
    expect(some.holds('shop/a').pools).toEqual(['both']);
    expect(give(some, 'b', dual)).toBe('2001:db8::1 192.0.2.1');
    expect(some.holds('shop/b').pools).toEqual(['c6', 'a4']);
  });

  it('are one where PreferDualStack finds no more, and the second comes as soon as there is one', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    expect(give(some, 'a', dual)).toBe('192.0.2.1');
    some.setPools(pools({ lan: ['192.0.2.1-192.0.2.9'], six: ['2001:db8::1'] }));
    expect(some.holds('shop/a')).toEqual({ addresses: ['2001:db8::1', '192.0.2.1'], pools: ['six', 'lan'] });
    expect(some.drainChanged()).toEqual(['shop/a']);
  });

  it('are both or none with RequireDualStack', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    expect(give(some, 'a', { ...dual, bothRequired: true })).toBe(
      'NoMatchingPool: no pool serves the Service: pool "lan" is without IPv6 addresses',
    );
    expect(some.counts('lan')?.assigned.IPv4).toBe(0n);
  });

  it('that can come are waited for, and one that cannot is said to be missing, however full the other is', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    give(some, 'a');
    expect(give(some, 'b', dual)).toContain('PoolExhausted');
    expect(give(some, 'b', { ...dual, bothRequired: true })).toBe(
      'NoMatchingPool: no pool serves the Service: pool "lan" is without IPv6 addresses; ' +
        'pool "lan" is without a free IPv4 address',
    );
  });

  it('that the Service gives up are free', () => {
    const some = allocator({ lan: ['192.0.2.1', '2001:db8::1'] });
    give(some, 'a', dual);
    expect(give(some, 'a', { families: ['IPv6'] })).toBe('2001:db8::1');
    expect(give(some, 'b')).toBe('192.0.2.1');
  });
});

describe('sharing', () => {
  const http = { sharingKey: 'k', ports: ['TCP/80'] };
  const https = { sharingKey: 'k', ports: ['TCP/443'] };

  it('is offered to who has the same key and other ports', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    expect(give(some, 'a', http)).toBe('192.0.2.1');
    expect(give(some, 'b', https)).toBe('192.0.2.1');
    expect(give(some, 'c', { sharingKey: 'k', ports: ['UDP/80'] })).toBe('192.0.2.1');
    expect(give(some, 'd', { sharingKey: 'other', ports: ['TCP/81'] })).toBe('192.0.2.2');
    expect(give(some, 'e', { ports: ['TCP/81'] })).toBe('192.0.2.3');
    expect(some.counts('lan')?.assigned.IPv4).toBe(3n);
  });

  it('goes on at the next address where a port is taken, and joins the lowest that has room', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    expect(['a', 'b', 'c'].map((name) => give(some, name, http))).toEqual([
      '192.0.2.1',
      '192.0.2.2',
      '192.0.2.3',
    ]);
    some.release('shop/b');
    expect(give(some, 'd', https)).toBe('192.0.2.1');
    expect(give(some, 'e', https)).toBe('192.0.2.3');
  });

  it.each([
    [
      'another key',
      { sharingKey: 'x', ports: ['TCP/1'] },
      'do not have the same fairlead.dev/allow-shared-ip key',
    ],
    ['a common port', { sharingKey: 'k', ports: ['TCP/1', 'TCP/80'] }, 'both have the port TCP/80'],
    [
      'another policy',
      { sharingKey: 'k', ports: ['TCP/1'], backend: 'Local app=web' },
      'both have externalTrafficPolicy',
    ],
  ])('is refused with %s', (_, wish, why) => {
    const some = allocator({ lan: ['192.0.2.1'] });
    give(some, 'a', http);
    expect(give(some, 'b', { ...wish, addresses: ['192.0.2.1'] })).toContain(why);
  });

  it('is allowed to Services of policy Local with the same selector', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    expect(give(some, 'a', { ...http, backend: 'Local app=web' })).toBe('192.0.2.1');
    expect(give(some, 'b', { ...https, backend: 'Local app=web' })).toBe('192.0.2.1');
    expect(give(some, 'c', { sharingKey: 'k', ports: ['UDP/1'], backend: 'Local app=db' })).toContain(
      'PoolExhausted',
    );
  });

  it('ends for who changes its key, and who waited for its port comes in', () => {
    const some = allocator({ lan: ['192.0.2.1', '192.0.2.2'] });
    give(some, 'a', http);
    give(some, 'b', https);
    give(some, 'c', { addresses: ['192.0.2.1'], ...https });
    expect(give(some, 'b', { ...https, sharingKey: 'z' })).toBe('192.0.2.2');
    expect(some.holds('shop/c').addresses).toEqual(['192.0.2.1']);
    expect(some.drainChanged()).toEqual(['shop/c']);
  });

  it('of a sole holder may be changed in place', () => {
    const some = allocator({ lan: ['192.0.2.1', '192.0.2.2'] });
    give(some, 'a', http);
    expect(give(some, 'a', { ...http, sharingKey: 'z' })).toBe('192.0.2.1');
    expect(give(some, 'b', { ...https, sharingKey: 'z' })).toBe('192.0.2.1');
  });
});

describe('who waits', () => {
  it('for an address by name hears with whom it is now', () => {
    const some = allocator({ lan: ['192.0.2.1', '192.0.2.2'] });
    const wish = { addresses: ['192.0.2.1'] };
    give(some, 'a', wish, 0);
    give(some, 'b', wish, 1);
    expect(give(some, 'c', wish, 2)).toContain('held by the Service shop/a');
    some.release('shop/a');
    expect([...some.drainChanged()].sort()).toEqual(['shop/b', 'shop/c']);
    expect(give(some, 'c', wish, 2)).toContain('held by the Service shop/b');
  });

  it('is served oldest first, whatever the order in which it asked', () => {
    const some = allocator({ lan: ['192.0.2.1', '192.0.2.2'] });
    give(some, 'first');
    give(some, 'second');
    for (const [name, age] of [
      ['young', 9],
      ['old', 1],
      ['middle', 5],
    ] as const)
      give(some, name, {}, age);
    some.release('shop/second');
    expect(some.holds('shop/old').addresses).toEqual(['192.0.2.2']);
    some.release('shop/first');
    expect(some.holds('shop/middle').addresses).toEqual(['192.0.2.1']);
    some.release('shop/old');
    expect(some.holds('shop/young').addresses).toEqual(['192.0.2.2']);
    expect(some.drainChanged()).toEqual(['shop/old', 'shop/middle', 'shop/young']);
    expect(some.drainChanged()).toEqual([]);
  });

  it('is asked again before younger ones when one that moves makes room', () => {
    const some = allocator({ lan: ['192.0.2.3', '192.0.2.5', '2001:db8::5'] });
    give(some, 'mover');
    give(some, 'holder', { families: ['IPv4', 'IPv6'] });
    give(some, 'mover', { addresses: ['192.0.2.5'] }, 5);
    give(some, 'old', { addresses: ['192.0.2.3'] }, 1);
    give(some, 'young', { families: ['IPv4', 'IPv6'] }, 9);
    some.release('shop/holder');
    show(some, 'mover');
    expect(some.holds('shop/mover').addresses).toEqual(['192.0.2.5']);
    expect(some.holds('shop/old').addresses).toEqual(['192.0.2.3']);
    expect(some.holds('shop/young').addresses).toEqual(['2001:db8::5']);
  });

  it('is served when pools come or grow', () => {
    const some = new Allocator();
    expect(give(some, 'a')).toBe('NoPools: there is no IPAddressPool; create one');
    give(some, 'b', {}, 1);
    some.setPools(pools({ lan: ['192.0.2.1'] }));
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
    some.setPools(pools({ lan: ['192.0.2.1-192.0.2.2'] }));
    expect(some.holds('shop/b').addresses).toEqual(['192.0.2.2']);
  });

  it('that only keeps gets nothing', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    give(some, 'a');
    give(some, 'b');
    some.keep(request('b'));
    some.release('shop/a');
    expect(some.holds('shop/b').addresses).toEqual([]);
  });
});

describe('when pools change', () => {
  it('a renamed pool, or one split in two, leaves each Service its address', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    give(some, 'a');
    give(some, 'b');
    some.setPools(pools({ left: ['192.0.2.1'], right: ['192.0.2.2-192.0.2.9'] }));
    expect(some.holds('shop/a')).toEqual({ addresses: ['192.0.2.1'], pools: ['left'] });
    expect(some.holds('shop/b')).toEqual({ addresses: ['192.0.2.2'], pools: ['right'] });
    expect([...some.drainChanged()].sort()).toEqual(['shop/a', 'shop/b']);
  });

  it('who may not stay moves, and takes nothing from who may', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.3'] });
    for (const [age, name] of ['a', 'b', 'c'].entries()) give(some, name, {}, age);
    some.setPools(pools({ lan: ['192.0.2.2-192.0.2.3'], wan: ['198.51.100.1'] }));
    expect(['a', 'b', 'c'].map((name) => some.holds(`shop/${name}`).addresses.join())).toEqual([
      '198.51.100.1',
      '192.0.2.2',
      '192.0.2.3',
    ]);
  });

  it('autoAssign and priority move nobody', () => {
    const some = allocator({ lan: ['192.0.2.1'], wan: ['198.51.100.1'] });
    give(some, 'a');
    some.setPools(
      pools({
        lan: { addresses: ['192.0.2.1'], autoAssign: false },
        wan: { addresses: ['198.51.100.1'], serviceAllocation: { priority: 1 } },
      }),
    );
    expect(give(some, 'a')).toBe('192.0.2.1');
  });

  it('avoidBuggyIPs moves who has a buggy address, and serviceAllocation who is not served any more', () => {
    const some = allocator({ lan: ['192.0.2.0/30'] });
    give(some, 'a');
    some.setPools(pools({ lan: { addresses: ['192.0.2.0/30'], avoidBuggyIPs: true } }));
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
    some.setPools(
      pools({
        lan: { addresses: ['192.0.2.0/30'], serviceAllocation: { namespaces: ['bank'] } },
        wan: ['198.51.100.1'],
      }),
    );
    expect(some.holds('shop/a').addresses).toEqual(['198.51.100.1']);
  });

  it('a Service whose labels changed moves to a pool that serves it', () => {
    const specs = {
      blue: {
        addresses: ['192.0.2.1'],
        serviceAllocation: { serviceSelectors: [{ matchLabels: { c: 'blue' } }] },
      },
      open: ['198.51.100.1'],
    };
    const some = allocator(specs);
    expect(give(some, 'a', { labels: { c: 'blue' } })).toBe('192.0.2.1');
    expect(give(some, 'a')).toBe('198.51.100.1');
  });

  it('a pool that is not valid now gives nothing, and leaves its Services what they have, over a restart too', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    give(some, 'a');
    some.setPools([], { setAside: new Set(['lan']) });
    expect(give(some, 'a')).toBe('192.0.2.1');
    expect(give(some, 'b')).toBe(
      'NoMatchingPool: no pool serves the Service: pool "lan" is set aside because it is not valid (see its Valid condition)',
    );
    const next = new Allocator();
    next.setPools([], { setAside: new Set(['lan']) });
    const kept = next.keep(request('a', { held: ['192.0.2.1'], heldFrom: ['lan'] }));
    expect(kept).toEqual({ addresses: ['192.0.2.1'], pools: ['lan'] });
  });

  it('a pool that is gone takes its addresses along, and the Service waits', () => {
    const some = allocator({ lan: ['192.0.2.1'] });
    give(some, 'a');
    some.setPools([]);
    expect(some.holds('shop/a')).toEqual({ addresses: [], pools: [] });
    expect(some.drainChanged()).toEqual(['shop/a']);
  });
});

describe('after a restart', () => {
  it('the older keeps an address that two statuses name', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    expect(some.keep(request('old', { held: ['192.0.2.5'] }, 0)).addresses).toEqual(['192.0.2.5']);
    expect(some.keep(request('young', { held: ['192.0.2.5'] }, 1)).addresses).toEqual([]);
    expect(give(some, 'young', { held: ['192.0.2.5'] }, 1)).toBe('192.0.2.1');
  });

  it('a status that was tampered with later changes nothing', () => {
    const some = allocator({ lan: ['192.0.2.1-192.0.2.9'] });
    give(some, 'a');
    expect(give(some, 'a', { held: ['192.0.2.7'] })).toBe('192.0.2.1');
    expect(give(some, 'b', { addresses: ['192.0.2.7'] })).toBe('192.0.2.7');
  });
});
