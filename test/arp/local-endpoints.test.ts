// The nodes that may announce a Service whose traffic must stay on the node.
import { expect, it } from 'vitest';
import { LocalEndpoints } from '../../src/arp/local-endpoints.ts';
import type { EndpointSliceObject } from '../../src/kube/objects.ts';

type Endpoint = NonNullable<EndpointSliceObject['endpoints']>[number];

function slice(service: string, ...endpoints: Omit<Endpoint, 'addresses'>[]): EndpointSliceObject {
  return {
    addressType: 'IPv4',
    metadata: { name: 'x', namespace: 'default', labels: { 'kubernetes.io/service-name': service } },
    endpoints: endpoints.map((each) => ({ addresses: ['10.0.0.1'], ...each })),
  };
}

const draining = { ready: false, serving: true, terminating: true };

it('are those of ready endpoints, over all slices of the Service', () => {
  const endpoints = new LocalEndpoints();
  endpoints.set(
    'a',
    slice('web', { nodeName: 'node-1' }, { nodeName: 'node-2', conditions: { ready: false } }),
  );
  endpoints.set('b', slice('web', { nodeName: 'node-3', conditions: { ready: true } }, {}));
  endpoints.set('c', slice('other', { nodeName: 'node-4' }));
  endpoints.set('d', { addressType: 'IPv4', metadata: { name: 'd', namespace: 'default' } });
  expect(endpoints.nodesOf('default/web')).toEqual(new Set(['node-1', 'node-3']));
  expect(endpoints.nodesOf('default/nothing')).toEqual(new Set());
});

it('are those of endpoints that terminate and still serve, where none is ready', () => {
  const endpoints = new LocalEndpoints();
  endpoints.set('a', slice('web', { nodeName: 'node-1', conditions: draining }));
  expect(endpoints.nodesOf('default/web')).toEqual(new Set(['node-1']));
  endpoints.set('b', slice('web', { nodeName: 'node-2' }));
  expect(endpoints.nodesOf('default/web')).toEqual(new Set(['node-2']));
});

it('change with the slices, and it is told when they do', () => {
  const endpoints = new LocalEndpoints();
  expect(endpoints.set('a', slice('web', { nodeName: 'node-1' }))).toBe(true);
  expect(endpoints.set('a', slice('web', { nodeName: 'node-1' }, { nodeName: 'node-1' }))).toBe(false);
  expect(endpoints.set('a', slice('web', { nodeName: 'node-1', conditions: draining }))).toBe(true);
  expect(endpoints.set('a', slice('other', { nodeName: 'node-1', conditions: draining }))).toBe(true);
  expect(endpoints.nodesOf('default/web')).toEqual(new Set());
  expect(endpoints.set('a', undefined)).toBe(true);
  expect(endpoints.set('a', undefined)).toBe(false);
  expect(endpoints.nodesOf('default/other')).toEqual(new Set());
});
