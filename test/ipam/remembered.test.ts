// What a Service had before its status was emptied: it gets that again where it might ask for it by name.
import { describe, expect, it } from 'vitest';
import { Allocator } from '../../src/ipam/allocator.ts';
import { ip } from '../../src/net/address.ts';
import { pools, request } from './builders.ts';

const LAN = { addresses: ['192.0.2.1-192.0.2.3', '2001:db8::1-2001:db8::3'] };

function remembering(name: string, ...addresses: string[]) {
  return { ...request(name, { families: ['IPv4', 'IPv6'] }), remembered: addresses.map(ip) };
}

function allocator(spec: object = {}, surroundings: Parameters<Allocator['setPools']>[1] = {}): Allocator {
  const made = new Allocator();
  made.setPools(pools({ lan: { ...LAN, ...spec } }), surroundings);
  return made;
}

describe('a remembered address', () => {
  it('is kept, and what it lacks is given', () => {
    const made = allocator();
    expect(made.keep(remembering('a', '192.0.2.3')).addresses).toEqual(['192.0.2.3']);
    expect(made.allocate(remembering('a')).addresses).toEqual(['192.0.2.3', '2001:db8::1']);
  });

  it('counts once: what a Service moved away from does not come back', () => {
    const made = allocator();
    made.allocate(remembering('a', '192.0.2.3', '2001:db8::3'));
    made.allocate({ ...remembering('a', '192.0.2.3'), addresses: [ip('192.0.2.2'), ip('2001:db8::2')] });
    expect(made.allocate(remembering('a', '192.0.2.3')).addresses).toEqual(['192.0.2.2', '2001:db8::2']);
  });

  it.each<[string, object, Parameters<Allocator['setPools']>[1]]>([
    ['a drained pool', { drain: true }, {}],
    ['a pool for others', { serviceAllocation: { namespaces: ['bank'] } }, {}],
    ['a pool whose limit is reached', { maxPerNamespace: 0 }, {}],
    ['one that is reserved', {}, { reservations: [{ name: 'r', addresses: [ip('192.0.2.3')] }] }],
    [
      'an address over the quota',
      {},
      { quotas: [{ name: 'q', most: { IPv4: 0 }, namespaces: [], namespaceSelectors: [] }] },
    ],
    ['one that a node has', {}, { nodes: new Map([[ip('192.0.2.3'), 'node-1']]) }],
    ['none of a pool', { exclude: ['192.0.2.3'] }, {}],
  ])('is no way around the rules: %s', (_, spec, surroundings) => {
    expect(allocator(spec, surroundings).keep(remembering('a', '192.0.2.3')).addresses).toEqual([]);
  });

  it('is not taken from who has it', () => {
    const made = allocator();
    made.allocate(request('b', { addresses: ['192.0.2.3'] }));
    expect(made.keep(remembering('a', '192.0.2.3')).addresses).toEqual([]);
  });
});
