// Addresses that are free and still not for everybody: those of nodes, and reserved ones.
import { describe, expect, it } from 'vitest';
import { Allocator } from '../../src/ipam/allocator.ts';
import { explain } from '../../src/ipam/refusal.ts';
import { ip } from '../../src/net/address.ts';
import { pools, request } from './builders.ts';

const LAN = { lan: ['192.0.2.1-192.0.2.4'] };
const NODES = new Map([[ip('192.0.2.1'), 'node-1']]);
const RESERVED = [{ name: 'r', addresses: [ip('192.0.2.2')], service: 'shop/late', owner: 'team red' }];

function give(from: Allocator, name: string, wish: Parameters<typeof request>[1] = {}): string {
  const answer = from.allocate(request(name, wish));
  return answer.kind === 'allocated' ? answer.addresses.join(' ') : explain(answer.refusal);
}

describe('the address of a node', () => {
  it('is given to nobody, not even by name, and is not counted as available', () => {
    const some = new Allocator();
    some.setPools(pools(LAN), { nodes: NODES });
    expect(give(some, 'a')).toBe('192.0.2.2');
    expect(give(some, 'b', { addresses: ['192.0.2.1'] })).toBe(
      '192.0.2.1 is kept back because the node "node-1" has it; see spec.allowNodeAddresses',
    );
    expect(some.counts('lan')).toMatchObject({ assigned: { IPv4: 1n }, available: { IPv4: 2n } });
  });

  it('is given where the pool says so', () => {
    const some = new Allocator();
    const specs = { lan: { addresses: LAN.lan, allowNodeAddresses: true } };
    some.setPools(pools(specs), { nodes: NODES });
    expect(give(some, 'a')).toBe('192.0.2.1');
  });

  it('is given as soon as no node has it any more', () => {
    const some = new Allocator();
    some.setPools(pools({ lan: ['192.0.2.1'] }), { nodes: NODES });
    give(some, 'a');
    some.setPools(pools({ lan: ['192.0.2.1'] }));
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
  });

  it('stays with a Service that had it before the node came', () => {
    const some = new Allocator();
    some.setPools(pools(LAN));
    give(some, 'a');
    some.setPools(pools(LAN), { nodes: NODES });
    expect(give(some, 'a')).toBe('192.0.2.1');
    some.release('shop/a');
    expect(give(some, 'b')).toBe('192.0.2.2');
  });
});

describe('an address that a host outside the cluster has', () => {
  const conflicts = new Set([ip('192.0.2.1')]);

  it('is left by a Service that did not ask for it, and got by nobody until that host is gone', () => {
    const some = new Allocator();
    some.setPools(pools(LAN));
    give(some, 'a');
    some.drainJournal();
    some.setPools(pools(LAN), { conflicts });
    expect(some.drainChanged()).toEqual(['shop/a']);
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.2']);
    expect(some.drainJournal()).toMatchObject([
      { cause: 'conflict', before: ['192.0.2.1'], after: [] },
      { kind: 'allocated', before: [], after: ['192.0.2.2'] },
    ]);
    some.shows('shop/a', [ip('192.0.2.2')]);
    expect(give(some, 'b')).toBe('192.0.2.3');
    expect(give(some, 'c', { addresses: ['192.0.2.1'] })).toBe(
      '192.0.2.1 is kept back while a host outside the cluster has it; see its Announcement',
    );
    some.setPools(pools(LAN));
    expect(some.holds('shop/c').addresses).toEqual(['192.0.2.1']);
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.2']); // it does not come back
  });

  it('stays with a Service that asked for that very address', () => {
    const some = new Allocator();
    some.setPools(pools(LAN));
    give(some, 'a', { addresses: ['192.0.2.1'] });
    some.setPools(pools(LAN), { conflicts });
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
  });

  it('is left by all that share it, together', () => {
    const some = new Allocator();
    some.setPools(pools(LAN));
    const shared = (port: number) => ({ sharingKey: 'k', ports: [`TCP/${port}`] });
    for (const [name, port] of [
      ['a', 80],
      ['b', 81],
    ] as const)
      expect(give(some, name, shared(port))).toBe('192.0.2.1');
    some.setPools(pools(LAN), { conflicts });
    for (const name of ['a', 'b']) some.shows(`shop/${name}`, some.holds(`shop/${name}`).addresses);
    expect(['a', 'b'].map((name) => some.holds(`shop/${name}`).addresses)).toEqual([
      ['192.0.2.2'],
      ['192.0.2.2'],
    ]);
  });

  it('is left after a restart, too, where the status still shows it', () => {
    const some = new Allocator();
    some.setPools(pools(LAN), { conflicts });
    const held = { held: [ip('192.0.2.1')] };
    some.keep(request('a', held));
    expect(give(some, 'a', held)).toBe('192.0.2.2');
  });

  it('where there is no other, leaves its Service to wait, which has it again when that host is gone', () => {
    const one = pools({ lan: ['192.0.2.1'] });
    const some = new Allocator();
    some.setPools(one);
    give(some, 'a');
    some.setPools(one, { conflicts });
    some.shows('shop/a', []);
    expect(give(some, 'a')).toContain('no address is free');
    some.setPools(one);
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.1']);
  });
});

describe('a reserved address', () => {
  it('waits for its Service, which gets it before any other', () => {
    const some = new Allocator();
    some.setPools(pools(LAN), { reservations: RESERVED });
    expect(['a', 'b'].map((name) => give(some, name))).toEqual(['192.0.2.1', '192.0.2.3']);
    expect(give(some, 'c', { addresses: ['192.0.2.2'] })).toBe(
      '192.0.2.2 is kept back by the AddressReservation "r" for the Service shop/late (team red)',
    );
    expect(give(some, 'late')).toBe('192.0.2.2');
    some.release('shop/late');
    expect(give(some, 'd')).toBe('192.0.2.4');
    expect(give(some, 'late')).toBe('192.0.2.2');
  });

  it('without a Service is nobody’s, and free for all when the reservation ends', () => {
    const some = new Allocator();
    const [only] = RESERVED.map(({ name, addresses }) => ({ name, addresses }));
    some.setPools(pools({ lan: ['192.0.2.2'] }), { reservations: only ? [only] : [] });
    expect(give(some, 'a')).toContain('pool "lan" is without a free IPv4 address');
    some.setPools(pools({ lan: ['192.0.2.2'] }));
    expect(some.holds('shop/a').addresses).toEqual(['192.0.2.2']);
  });

  it('leads its Service to the pool that it is in, and takes nothing from who has it already', () => {
    const some = new Allocator();
    some.setPools(pools({ a: ['198.51.100.1'], ...LAN }), { reservations: RESERVED });
    expect(give(some, 'late')).toBe('192.0.2.2');
    const other = new Allocator();
    other.setPools(pools(LAN));
    other.keep(request('first', { held: ['192.0.2.2'] }));
    other.setPools(pools(LAN), { reservations: RESERVED });
    expect(give(other, 'first')).toBe('192.0.2.2');
    expect(give(other, 'late')).toBe('192.0.2.1');
  });

  it('is not joined under a sharing key', () => {
    const some = new Allocator();
    const key = { sharingKey: 'k', ports: ['TCP/1'] };
    some.setPools(pools(LAN));
    some.keep(request('first', { ...key, held: ['192.0.2.2'] }));
    some.setPools(pools(LAN), { reservations: RESERVED });
    expect(give(some, 'second', { ...key, ports: ['TCP/2'] })).toBe('192.0.2.1');
  });
});
