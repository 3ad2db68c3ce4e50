// Which endpoints serve a port: any number of slices in any order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EndpointSliceObject, ServicePort } from '../../src/kube/objects.ts';
import { endpointLists, serviceKeyOf } from '../../src/proxy/endpoints.ts';
import { type EndpointText, slice } from './objects.ts';

const WEB: ServicePort = { name: 'web', port: 80, protocol: 'TCP' };
const PORTS = [{ name: 'web', port: 8080, protocol: 'TCP' }] as const;
const lists = (...slices: EndpointSliceObject[]) =>
  endpointLists(slices, WEB, 'IPv4', { node: 'node', zone: 'z1' });
const usable = (...slices: EndpointSliceObject[]) => lists(...slices).cluster;
const addresses = (...endpoints: EndpointText[]) =>
  usable(slice('web', endpoints, PORTS)).map(({ address }) => address);

describe('usable endpoints', () => {
  it('are the ready ones; saying nothing is ready', () => {
    expect(addresses({ address: '10.0.0.1' }, { address: '10.0.0.2', ready: false })).toEqual(['10.0.0.1']);
    const bare: EndpointSliceObject = {
      ...slice('web', [], PORTS),
      endpoints: [{ addresses: ['10.0.0.1'] }],
    };
    expect(usable(bare)).toHaveLength(1);
  });

  it('are without any ready one those that serve while they terminate', () => {
    const draining = { address: '10.0.0.1', ready: false, serving: true, terminating: true };
    const gone = { address: '10.0.0.2', ready: false, serving: false, terminating: true };
    const starting = { address: '10.0.0.3', ready: false, serving: false };
    expect(addresses(draining, gone, starting)).toEqual(['10.0.0.1']);
    expect(addresses(draining, gone, starting, { address: '10.0.0.4' })).toEqual(['10.0.0.4']);
    expect(addresses(gone, starting)).toEqual([]);
  });

  it('are each once, and local where any slice says so', () => {
    const found = usable(
      slice('web', [{ address: '10.0.0.1', node: 'node2' }], PORTS),
      slice(
        'web',
        [
          { address: '10.0.0.1', node: 'node' },
          { address: '10.0.0.2', node: 'node2' },
        ],
        PORTS,
      ),
    );
    expect(found).toEqual([
      { address: '10.0.0.1', port: 8080, local: true },
      { address: '10.0.0.2', port: 8080, local: false },
    ]);
  });

  it('have the port that their own slice gives the name; slices without it have none', () => {
    const found = usable(
      slice('web', [{ address: '10.0.0.1' }], [{ name: 'web', port: 9090 }]),
      slice('web', [{ address: '10.0.0.1' }], PORTS),
      slice('web', [{ address: '10.0.0.2' }], [{ name: 'web', port: 8080, protocol: 'UDP' }]),
      slice('web', [{ address: '10.0.0.3' }], [{ name: 'other', port: 8080 }]),
      slice('web', [{ address: '10.0.0.4' }], [{ name: 'web', port: 0 }]),
      slice('web', [{ address: '10.0.0.5' }], [{ name: 'web' }]),
      { ...slice('web', [{ address: '10.0.0.6' }], []), ports: null },
    );
    expect(found.map(({ address, port }) => `${address} ${port}`)).toEqual([
      '10.0.0.1 8080',
      '10.0.0.1 9090',
    ]);
  });

  it('are of the family that is asked for, and have an address', () => {
    const odd: EndpointSliceObject[] = [
      slice('web', [{ address: 'fd00::1' }], PORTS),
      { ...slice('web', [{ address: 'fd00::1' }], PORTS), addressType: 'IPv4' },
      { ...slice('web', [{ address: 'pod.example' }], PORTS), addressType: 'FQDN' },
      { ...slice('web', [{ address: 'pod.example' }], PORTS), addressType: 'IPv4' },
      { ...slice('web', [], PORTS), endpoints: [{ addresses: [] }] },
      { ...slice('web', [], PORTS), endpoints: null },
    ];
    expect(usable(...odd)).toEqual([]);
    expect(endpointLists(odd, WEB, 'IPv6', { node: 'node', zone: undefined }).cluster).toHaveLength(1);
  });

  it('do not depend on the order of slices and endpoints', () => {
    const endpoint = fc.record({
      address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.10'),
      node: fc.constantFrom('node', 'node2'),
      ready: fc.boolean(),
      serving: fc.boolean(),
      terminating: fc.boolean(),
    });
    const shuffled = fc
      .array(endpoint, { maxLength: 8 })
      .chain((all) =>
        fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }), fc.nat(all.length)),
      );
    fc.assert(
      fc.property(shuffled, ([all, other, cut]) => {
        const split = [slice('web', other.slice(0, cut), PORTS), slice('web', other.slice(cut), PORTS)];
        expect(usable(...split)).toEqual(usable(slice('web', all, PORTS)));
      }),
    );
  });
});

describe('a slice', () => {
  it('belongs to the Service that its label names, in its own namespace', () => {
    expect(serviceKeyOf(slice('web', [], []))).toBe('default/web');
    const labelled = (labels: Record<string, string>) =>
      serviceKeyOf({ metadata: { name: 'x', namespace: 'n', labels }, addressType: 'IPv4' });
    expect(labelled({})).toBeUndefined();
    expect(labelled({ 'kubernetes.io/service-name': '' })).toBeUndefined();
  });
});

describe('endpoints on nodes that are known to be dead', () => {
  const on = (address: string, node: string, more: Partial<EndpointText> = {}) => ({
    address,
    node,
    ...more,
  });
  const live = (dead: readonly string[], ...endpoints: EndpointText[]) =>
    endpointLists([slice('web', endpoints, PORTS)], WEB, 'IPv4', {
      node: 'node',
      zone: undefined,
      dead: new Set(dead),
    });
  const addressesOf = (list: readonly { readonly address: string }[]) => list.map(({ address }) => address);

  it('get nothing new, and flows to them are to end', () => {
    const lists = live(['node2'], on('10.0.0.1', 'node'), on('10.0.0.2', 'node2'), on('10.0.0.3', 'node3'));
    expect(addressesOf(lists.cluster)).toEqual(['10.0.0.1', '10.0.0.3']);
    expect(addressesOf(lists.serving)).toEqual(['10.0.0.1', '10.0.0.3']);
  });

  it('are served where nobody else could serve', () => {
    expect(addressesOf(live(['node2'], on('10.0.0.2', 'node2')).cluster)).toEqual(['10.0.0.2']);
    const starting = on('10.0.0.1', 'node', { ready: false });
    expect(addressesOf(live(['node2'], starting, on('10.0.0.2', 'node2')).cluster)).toEqual(['10.0.0.2']);
    const draining = on('10.0.0.1', 'node', { ready: false, serving: true, terminating: true });
    expect(addressesOf(live(['node2'], draining, on('10.0.0.2', 'node2')).cluster)).toEqual(['10.0.0.1']);
  });

  it('are nobody’s business where no node is known of', () => {
    const bare = slice('web', [], PORTS);
    const lists = endpointLists([{ ...bare, endpoints: [{ addresses: ['203.0.113.1'] }] }], WEB, 'IPv4', {
      node: 'node',
      zone: undefined,
      dead: new Set(['node2']),
    });
    expect(addressesOf(lists.cluster)).toEqual(['203.0.113.1']);
  });
});
