// What somebody else changes in our rules is put right at once; what we change ourselves is not taken for it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TABLES, type TableName } from '../../src/proxy/rules.ts';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { Child } from './child.ts';
import { meaningOf, readElements } from './kernel-view.ts';
import { type Objects, service, slice } from './objects.ts';
import type { NodeText } from './proxy-process.ts';

const NODE = `drift-${process.pid}`;
const [FIRST, SECOND] = TABLES;
const SERVICE = service(
  'web',
  {
    type: 'LoadBalancer',
    clusterIPs: ['10.96.0.1'],
    ports: [{ port: 80 }],
    loadBalancerSourceRanges: ['10.0.0.0/8'],
    sessionAffinity: 'ClientIP',
  },
  { ingress: [{ ip: '198.51.100.1' }] },
);
const endpoints = (count: number): Objects => ({
  slices: {
    'default/web-1': slice(
      'web',
      Array.from({ length: count }, (_, i) => ({ address: `10.244.0.${i}` })),
      [{ port: 8080 }],
    ),
  },
});
let proxy: Child;

beforeAll(async () => {
  ipBatch([`netns add ${NODE}`]);
  proxy = new Child(NODE, 'proxy-process.ts');
  await proxy.call('start', { podCidrs: ['10.244.0.0/16'], addresses: ['192.0.2.1'] } satisfies NodeText);
  await proxy.call('set', { services: { 'default/web': SERVICE }, ...endpoints(3) } satisfies Objects);
  await proxy.call('repairAtOnce');
});

afterAll(async () => {
  await proxy?.kill();
  removeNamespaces(NODE);
});

/** The one that is in force. */
function table(): TableName {
  return inNamespace(NODE, 'nft list tables').includes(SECOND) ? SECOND : FIRST;
}
const rules = () => inNamespace(NODE, 'nft -t list ruleset').replaceAll(SECOND, FIRST);
const pods = () => inNamespace(NODE, `nft list set inet ${table()} pods4`).match(/elements = .*/)?.[0];
const elements = async () => meaningOf(await readElements(NODE, table()));
/** All of it, or what is in the way of reading it. */
const everything = async () => {
  try {
    return [rules(), pods(), ...(await elements())];
  } catch (error) {
    return [(error as Error).message];
  }
};
const repairs = async () => (await proxy.call<number[]>('metric', 'fairlead_proxy_repairs_total'))[0] ?? 0;

it.each([
  'delete element inet fairlead cluster4 { 10.96.0.1 }',
  'add element inet fairlead cluster4 { 10.96.0.99 }',
  'flush map inet fairlead widths4',
  'flush set inet fairlead sources4',
  'flush set inet fairlead pods4',
  'flush chain inet fairlead settled',
  'flush chain inet fairlead pick4-tcp-3',
  'flush ruleset',
  'delete table inet fairlead',
])('"nft %s" is undone', async (damage) => {
  const before = await everything();
  expect(before.join()).toContain('10.244.0.0/16');
  const done = await repairs();
  inNamespace(NODE, `nft '${damage.replace(FIRST, table())}'`);
  await expect.poll(repairs, { timeout: 15_000 }).toBe(done + 1);
  await expect.poll(everything, { timeout: 15_000 }).toEqual(before);
});

it('our own changes, by netlink and by nft, and those to tables of others are none', async () => {
  const foreign = await proxy.call('foreignChanges');
  await proxy.call('set', endpoints(2));
  await proxy.call('set', endpoints(40));
  await proxy.call('node', { podCidrs: ['10.0.0.0/8'], addresses: ['192.0.2.2'] } satisfies NodeText);
  inNamespace(NODE, 'nft add table inet other; nft delete table inet other');
  await proxy.call('set', endpoints(1));
  expect(await proxy.call('foreignChanges')).toBe(foreign);
});
