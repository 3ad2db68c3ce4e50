// How real connections are spread, as a Service's annotation asks.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inNamespace } from '../sockets/netns.ts';
import type { Question, Reply, Transport } from './host-process.ts';
import { NODE, type POD } from './network.ts';
import { pod, Scene } from './scene.ts';

const scene = new Scene();
const FIRST = { transport: 'TCP', v: 0, cluster: '10.96.0.1' } as const;
const CASES = (['TCP', 'UDP'] as const).flatMap((transport) => [
  { transport, family: 'IPv4', v: 0, cluster: '10.96.0.1', other: '10.96.0.2' } as const,
  { transport, family: 'IPv6', v: 1, cluster: 'fd00:96::1', other: 'fd00:96::2' } as const,
]);
const CLIENTS = 40;
/** The client knows no way to pods that answer past the node. */
const NODE_TEXT = { addresses: NODE, masqueradeAll: true };

beforeAll(async () => {
  await scene.start(NODE_TEXT);
  await scene.servePods();
  const addresses = Array.from({ length: CLIENTS }, (_, i) => [sourceOf(0, i), sourceOf(1, i)]).flat();
  const commands = addresses.map((address) => `ip addr add ${address} dev eth0`);
  inNamespace(scene.network.namespaceOf('client'), commands.join('; '));
});
beforeEach(() => scene.clear());
afterAll(() => scene.remove());

function sourceOf(v: 0 | 1, i: number): string {
  return v === 0 ? `192.0.2.${100 + i}` : `2001:db8:1::1:${(100 + i).toString(16)}`;
}

async function given(
  { transport, v, cluster }: { transport: Transport; v: 0 | 1; cluster: string },
  annotations: Record<string, string>,
  pods: readonly (keyof typeof POD)[] = ['a', 'b', 'c'],
  name = 'web',
): Promise<void> {
  const endpoints = pods.map((each) => pod(each, v));
  await scene.given(transport, { clusterIPs: [cluster] }, endpoints, { annotations }, name);
}

async function asked(transport: Transport, address: string, more: Partial<Question> = {}): Promise<string> {
  const question: Question = { transport, address, port: 80, ...more };
  const reply = await scene.network.hosts.client.call<Reply>('ask', question);
  return 'name' in reply ? reply.name : reply.error;
}

describe.each(CASES)('$transport over $family', (each) => {
  const { transport, v, cluster, other } = each;

  it('in turn goes to one endpoint after the other, whatever goes to other Services', async () => {
    const annotations = { 'fairlead.dev/load-balancing': 'round-robin' };
    await given(each, annotations);
    await given({ ...each, cluster: other }, annotations, ['a', 'b'], 'other');
    const names: string[] = [];
    const others: string[] = [];
    for (let i = 0; i < 6; i++) {
      names.push(await asked(transport, cluster));
      if (i < 4) others.push(await asked(transport, other));
    }
    expect(names.slice(0, 3).toSorted()).toEqual(['a', 'b', 'c']);
    expect(names.slice(3)).toEqual(names.slice(0, 3));
    expect(others.slice(0, 2).toSorted()).toEqual(['a', 'b']);
    expect(others.slice(2)).toEqual(others.slice(0, 2));
    await given(each, annotations, ['a', 'c']);
    const after = [await asked(transport, cluster), await asked(transport, cluster)];
    expect(after.toSorted()).toEqual(['a', 'c']);
    await scene.clear();
    const rules = inNamespace(scene.network.namespaceOf('node'), 'nft list table inet fairlead');
    expect(rules).not.toContain('-turn-');
  });

  it('by weight goes to an endpoint as often as its address, node or zone weighs', async () => {
    const weights = `${pod('a', v).address}=9,node/node2=0,*=1`;
    await given(each, {
      'fairlead.dev/load-balancing': 'weighted',
      'fairlead.dev/endpoint-weights': weights,
    });
    const counts = { a: 0, b: 0, c: 0 };
    for (let i = 0; i < 100; i++) counts[(await asked(transport, cluster)) as keyof typeof counts]++;
    expect(counts.c).toBe(0);
    // Of 100 at 9 in 10, fewer than 60 come once in 10^14 runs, and 100 once in 37,000: of b nothing is asked here.
    expect(counts.a).toBeGreaterThan(60);
    expect(counts.a + counts.b).toBe(100);
  });

  it('by source hash keeps each client on its endpoint, also when that of others goes and comes', async () => {
    const annotations = { 'fairlead.dev/load-balancing': 'source-hash' };
    const round = async () => {
      const names: string[] = [];
      for (let i = 0; i < CLIENTS; i++)
        names.push(await asked(transport, cluster, { source: sourceOf(v, i) }));
      return names;
    };
    await given(each, annotations);
    const before = await round();
    expect([...new Set(before)].sort()).toEqual(['a', 'b', 'c']);
    expect(await round()).toEqual(before);
    await given(each, annotations, ['a', 'b']);
    const without = await round();
    for (const [i, name] of before.entries())
      if (name !== 'c') expect(without[i]).toBe(name);
      else expect(without[i]).toMatch(/^[ab]$/);
    await given(each, annotations);
    expect(await round()).toEqual(before);
  });

  it('by least connections is served at random, and told', async () => {
    await given(each, { 'fairlead.dev/load-balancing': 'least-connections' }, ['a']);
    expect(await asked(transport, cluster)).toBe('a');
    const told = await scene.proxy.call<string[][]>('complaints');
    expect(told.map(([key]) => key)).toContain('default/web');
    expect(told.flat().join()).toContain('nftables does not know how many connections');
    expect(await scene.proxy.call('metric', 'fairlead_proxy_services_with_complaints')).toEqual([1]);
    await given(each, {}, ['a']);
    expect(await scene.proxy.call('metric', 'fairlead_proxy_services_with_complaints')).toEqual([0]);
  });
});

it('goes on in turn after a restart, and leaves no chain behind', async () => {
  const { transport, cluster } = FIRST;
  const annotations = { 'fairlead.dev/load-balancing': 'round-robin' };
  await given(FIRST, annotations);
  const first = [await asked(transport, cluster), await asked(transport, cluster)];
  await scene.proxy.kill();
  await scene.start(NODE_TEXT);
  await given(FIRST, annotations);
  const third = await asked(transport, cluster);
  expect([...first, third].toSorted()).toEqual(['a', 'b', 'c']);
  await scene.clear();
  const rules = inNamespace(scene.network.namespaceOf('node'), 'nft list table inet fairlead');
  expect(rules).not.toContain('-turn-');
});
