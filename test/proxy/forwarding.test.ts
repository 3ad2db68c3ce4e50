// The rows of forwarding with a proxy that is told the objects directly, and what only its process can tell.
import { afterAll, expect, it } from 'vitest';
import { describeForwarding } from './forwarding.conformance.ts';
import type { Question, Reply } from './host-process.ts';
import { pod, Scene } from './scene.ts';

const scene = new Scene();
describeForwarding(scene);
afterAll(() => scene.remove());

it('loses no connection while endpoints change, as long as each that it leads to lives', async () => {
  const cluster = '10.96.0.11';
  const [a, b] = [pod('a', 0), pod('b', 0)];
  await scene.given('TCP', { clusterIPs: [cluster] }, [a]);
  const { node, client } = scene.network.hosts;
  const question: Question = { transport: 'TCP', address: cluster, port: 80 };
  await Promise.all([node, client].map((host) => host.call('startAsking', question)));
  for (let i = 0; i < 60; i++)
    for (const pods of [[b], [b, a], [a]]) await scene.given('TCP', { clusterIPs: [cluster] }, pods);
  const replies = (await Promise.all([node, client].map((host) => host.call<Reply[]>('stopAsking')))).flat();
  expect(replies.filter((reply) => 'error' in reply)).toEqual([]);
  expect(replies.length).toBeGreaterThan(20);
  await scene.clear();
});

it.each([
  { v: 0, cluster: '10.96.0.11', balanced: '198.51.100.1' },
  { v: 1, cluster: 'fd00:96::11', balanced: '2001:db8:5::1' },
] as const)('knows whether $balanced is dealt with, by forwarding or by refusing', async (each) => {
  const { v, cluster, balanced } = each;
  const spec = { type: 'LoadBalancer', clusterIPs: [cluster] } as const;
  const serves = () => scene.proxy.call('serves', balanced);
  expect(await serves()).toBe(false);
  for (const pods of [[pod('a', v)], []]) {
    await scene.given('TCP', spec, pods, { ingress: [{ ip: balanced }] });
    expect(await serves()).toBe(true);
  }
  await scene.given('TCP', spec, [pod('a', v)], { ingress: [{ ip: balanced, ipMode: 'Proxy' }] });
  expect(await serves()).toBe(false);
  await scene.clear();
});
