// Objects that no API server lets through, or that are larger than any: what can be forwarded is, and others are not
// held back.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { Child } from './child.ts';
import { meaningOf, readElements } from './kernel-view.ts';
import { type Objects, service, slice } from './objects.ts';

const NODE = `impossible-${process.pid}`;
const GOOD: Objects = {
  services: { 'default/good': service('good', { clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] }) },
  slices: { 'default/good-1': slice('good', [{ address: '10.244.0.1', node: 'node2' }], [{ port: 8080 }]) },
};
const GOOD_LINES = ['IPv4 cluster 10.96.0.1', 'IPv4 frontends 10.96.0.1 6 80 -> 10.244.0.1 8080'];
const NOTHING: Objects = {
  services: { 'default/good': null, 'default/bad': null },
  slices: { 'default/good-1': null, 'default/bad-1': null },
};
let proxy: Child;

beforeAll(async () => {
  ipBatch([`netns add ${NODE}`]);
  proxy = new Child(NODE, 'proxy-process.ts');
  await proxy.call('start');
});
beforeEach(() => proxy.call('set', NOTHING));
afterAll(async () => {
  await proxy?.kill();
  removeNamespaces(NODE);
});

/** What the kernel has of the Service `bad` beside a good one; nothing is set aside. */
async function linesOf({ services, slices }: Objects): Promise<string[]> {
  await proxy.call('set', {
    services: { ...GOOD.services, ...services },
    slices: { ...GOOD.slices, ...slices },
  });
  expect(await proxy.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
  const lines = meaningOf(await readElements(NODE));
  expect(lines).toEqual(expect.arrayContaining(GOOD_LINES));
  return lines.filter((line) => !GOOD_LINES.includes(line));
}

const bad = (
  ports: NonNullable<Parameters<typeof service>[1]['ports']>,
  endpoints: Parameters<typeof slice>[1],
  endpointPorts: Parameters<typeof slice>[2],
): Objects => ({
  services: { 'default/bad': service('bad', { clusterIPs: ['10.96.0.2'], ports }) },
  slices: { 'default/bad-1': slice('bad', endpoints, endpointPorts) },
});
const ENDPOINT = [{ address: '10.244.0.2', node: 'node2' }];

it.each([0, -1, 1.5, 65_536])('port %d is left out, of Services, nodes and endpoints', async (number) => {
  const cluster = 'IPv4 cluster 10.96.0.2';
  expect(await linesOf(bad([{ port: number }], ENDPOINT, [{ port: 8080 }]))).toEqual([cluster]);
  expect(await linesOf(bad([{ port: 80 }], ENDPOINT, [{ port: number }]))).toEqual([cluster]);
  expect(await linesOf(bad([{ port: 80, nodePort: number }], ENDPOINT, [{ port: 8080 }]))).toEqual([
    cluster,
    'IPv4 frontends 10.96.0.2 6 80 -> 10.244.0.2 8080',
  ]);
});

it('of two ports by one name, and of two by one number, the first counts', async () => {
  const first = 'IPv4 frontends 10.96.0.2 6 80 -> 10.244.0.2 8080';
  const byName = bad([{ port: 80 }, { port: 81 }], ENDPOINT, [{ port: 8080 }]);
  expect(await linesOf(byName)).toEqual(['IPv4 cluster 10.96.0.2', first]);
  const byNumber = bad(
    [
      { name: 'a', port: 80 },
      { name: 'b', port: 80 },
    ],
    ENDPOINT,
    [
      { name: 'a', port: 8080 },
      { name: 'b', port: 9090 },
    ],
  );
  expect(await linesOf(byNumber)).toEqual(expect.arrayContaining([first]));
});

it('endpoints that are no addresses, or of another family than their slice, are left out', async () => {
  const objects = bad(
    [{ port: 80 }],
    [...ENDPOINT, { address: 'fd00:244::2' }, { address: '010.244.0.3' }, { address: 'web' }],
    [{ port: 8080 }],
  );
  expect(await linesOf(objects)).toEqual([
    'IPv4 cluster 10.96.0.2',
    'IPv4 frontends 10.96.0.2 6 80 -> 10.244.0.2 8080',
  ]);
});

it('cluster addresses that are none are left out', async () => {
  const services = {
    'default/bad': service('bad', { clusterIPs: ['10.96.0.300', ''], ports: [{ port: 80 }] }),
  };
  expect(await linesOf({ services })).toEqual([]);
});

it('names of 300 characters are forwarded like others', async () => {
  const name = 'n'.repeat(300);
  const objects: Objects = {
    services: {
      [`default/${name}`]: service(name, { clusterIPs: ['10.96.0.2'], ports: [{ port: 80, name }] }),
    },
    slices: { [`default/${name}`]: slice(name, ENDPOINT, [{ port: 8080, name }]) },
  };
  expect(await linesOf(objects)).toHaveLength(2);
  await proxy.call('set', { services: { [`default/${name}`]: null }, slices: { [`default/${name}`]: null } });
});

it.each(['random', 'round-robin', 'source-hash'])('10,000 endpoints of one Service, %s', async (method) => {
  const endpoints = Array.from({ length: 10_000 }, (_, i) => ({
    address: `10.${200 + (i >> 14)}.${(i >> 8) & 63}.${i & 255}`,
    node: 'node2',
  }));
  const annotations = { 'fairlead.dev/load-balancing': method };
  const spec = { clusterIPs: ['10.96.0.2'], ports: [{ port: 80 }] };
  const [, line = ''] = await linesOf({
    services: { 'default/bad': service('bad', spec, { annotations }) },
    slices: { 'default/bad-1': slice('bad', endpoints, [{ port: 8080 }]) },
  });
  const places = new Set(line.match(/10\.2\d\d\.\d+\.\d+/g));
  expect(line).not.toContain('nobody');
  if (method === 'source-hash') expect(places.size).toBeGreaterThan(2_000);
  else expect(places.size).toBe(10_000);
  await proxy.call('set', NOTHING);
  expect(meaningOf(await readElements(NODE))).toEqual([]);
});
