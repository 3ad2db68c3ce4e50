// Forwarding on the real kernel: a client, two nodes and pods in network namespaces, with real TCP and UDP.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inNamespace } from '../sockets/netns.ts';
import { Child } from './child.ts';
import type { Question, Reply, Transport } from './host-process.ts';
import { CLIENT, makeNetwork, type Network, NODE, POD } from './network.ts';
import { type EndpointText, type Objects, service, slice } from './objects.ts';
import type { NodeText } from './proxy-process.ts';

const PORT = 8080;
const FAMILIES = [
  { family: 'IPv4', v: 0, cluster: '10.96.0.1', balanced: '198.51.100.1', external: '198.51.100.2' },
  { family: 'IPv6', v: 1, cluster: 'fd00:96::1', balanced: '2001:db8:5::1', external: '2001:db8:5::2' },
] as const;
const TRANSPORTS = ['TCP', 'UDP'] as const;
const CASES = FAMILIES.flatMap((family) => TRANSPORTS.map((transport) => ({ ...family, transport })));

let network: Network;
let proxy: Child;
const present = { services: new Set<string>(), slices: new Set<string>() };

beforeAll(async () => {
  network = makeNetwork();
  proxy = new Child(network.namespaceOf('node'), 'proxy-process.ts');
  await proxy.call('start', { addresses: NODE } satisfies NodeText);
  const { a, b, c, client, node } = network.hosts;
  await Promise.all(
    TRANSPORTS.flatMap((transport) => [
      ...Object.entries({ a, b, c }).map(([name, pod]) => pod.call('serve', name, transport, PORT)),
      a.call('serve', 'a-other', transport, PORT + 1),
      b.call('serve', 'b-third', transport, PORT + 2),
      node.call('serve', 'host', transport, PORT + 3),
      client.call('serve', 'client', transport, 80),
      client.call('serve', 'client', transport, PORT + 3),
    ]),
  );
});

afterEach(async () => {
  const gone = (keys: Set<string>) => Object.fromEntries([...keys].map((key) => [key, null]));
  await set({ services: gone(present.services), slices: gone(present.slices) });
  present.services.clear();
  present.slices.clear();
});

afterAll(async () => {
  await proxy?.kill();
  await network?.remove();
});

async function set(objects: Objects): Promise<void> {
  for (const key of Object.keys(objects.services ?? {})) present.services.add(key);
  for (const key of Object.keys(objects.slices ?? {})) present.slices.add(key);
  await proxy.call('set', objects);
}

/** A Service `web` with one port 80 and whatever else; its endpoints are pods, on their port 8080. */
async function given(
  transport: Transport,
  spec: Parameters<typeof service>[1],
  pods: readonly EndpointText[],
  status: Parameters<typeof service>[2] = {},
): Promise<void> {
  const ports = [{ protocol: transport, port: 80, ...spec.ports?.[0] }];
  await set({
    services: { 'default/web': service('web', { ...spec, ports }, status) },
    slices: { 'default/web-1': slice('web', pods, [{ protocol: transport, port: PORT }]) },
  });
}

const pod = (name: keyof typeof POD, v: 0 | 1): EndpointText => ({
  address: POD[name][v],
  node: name === 'c' ? 'node2' : 'node',
});

function ask(host: keyof Network['hosts'], transport: Transport, address: string, port = 80): Promise<Reply> {
  return network.hosts[host].call('ask', { transport, address, port } satisfies Question);
}

describe.each(CASES)('$transport over $family', ({ transport, v, cluster, balanced, external }) => {
  const loadBalancer = { type: 'LoadBalancer', clusterIPs: [cluster] } as const;

  it('reaches a cluster address from a pod, which the endpoint sees as itself', async () => {
    await given(transport, { clusterIPs: [cluster] }, [pod('b', v)]);
    expect(await ask('a', transport, cluster)).toEqual({ name: 'b', source: POD.a[v] });
    await given(transport, { clusterIPs: [cluster] }, [pod('c', v)]);
    expect(await ask('a', transport, cluster)).toEqual({ name: 'c', source: POD.a[v] });
  });

  it('reaches a cluster address from the node itself', async () => {
    await given(transport, { clusterIPs: [cluster] }, [pod('a', v)]);
    expect(await ask('node', transport, cluster)).toEqual({ name: 'a', source: NODE[v] });
    await given(transport, { clusterIPs: [cluster] }, [pod('c', v)]);
    expect(await ask('node', transport, cluster)).toEqual({ name: 'c', source: NODE[v] });
  });

  it('reaches a cluster address from outside, where that is routed to the node', async () => {
    await given(transport, { clusterIPs: [cluster] }, [pod('a', v)]);
    expect(await ask('client', transport, cluster)).toEqual({ name: 'a', source: CLIENT[v] });
  });

  it('reaches a node port on the node’s address, with the node as the source wherever the endpoint is', async () => {
    for (const name of ['a', 'c'] as const) {
      await given(
        transport,
        { type: 'NodePort', clusterIPs: [cluster], ports: [{ port: 80, nodePort: 30080 }] },
        [pod(name, v)],
      );
      expect(await ask('client', transport, NODE[v], 30080)).toEqual({ name, source: NODE[v] });
      expect(await ask('node', transport, NODE[v], 30080)).toEqual({ name, source: NODE[v] });
      expect(await ask('b', transport, NODE[v], 30080)).toEqual({ name, source: NODE[v] });
    }
  });

  it('finds no node port on loopback, a cluster address or a load balancer’s address', async () => {
    const spec = { ...loadBalancer, ports: [{ port: 80, nodePort: 30080 }] };
    await given(transport, spec, [pod('a', v)], { ingress: [{ ip: balanced }] });
    const refused = { error: 'ECONNREFUSED' };
    expect(await ask('node', transport, v === 0 ? '127.0.0.1' : '::1', 30080)).toEqual(refused);
    expect(await ask('client', transport, cluster, 30080)).toEqual(refused);
    expect(await ask('client', transport, balanced, 30080)).toEqual(refused);
    inNamespace(network.namespaceOf('node'), `ip addr add ${balanced}/${v === 0 ? 32 : 128} dev eth0`);
    try {
      expect(await ask('client', transport, balanced, 30080)).toEqual(refused);
      expect(await ask('client', transport, balanced)).toMatchObject({ name: 'a' });
    } finally {
      inNamespace(network.namespaceOf('node'), `ip addr del ${balanced}/${v === 0 ? 32 : 128} dev eth0`);
    }
  });

  it('reaches a load balancer’s address from the client, a pod and the node', async () => {
    for (const name of ['a', 'c'] as const) {
      await given(transport, loadBalancer, [pod(name, v)], { ingress: [{ ip: balanced }] });
      for (const host of ['client', 'b', 'node'] as const)
        expect(await ask(host, transport, balanced)).toEqual({ name, source: NODE[v] });
    }
    expect(await proxy.call('serves', balanced)).toBe(true);
    expect(await proxy.call('serves', external)).toBe(false);
  });

  it('reaches an external address', async () => {
    await given(transport, { clusterIPs: [cluster], externalIPs: [external] }, [pod('c', v)]);
    for (const host of ['client', 'b', 'node'] as const)
      expect(await ask(host, transport, external)).toEqual({ name: 'c', source: NODE[v] });
  });

  it('lets a pod reach itself through its Service', async () => {
    await given(transport, { ...loadBalancer, externalIPs: [external] }, [pod('a', v)], {
      ingress: [{ ip: balanced }],
    });
    for (const address of [cluster, balanced, external])
      expect(await ask('a', transport, address)).toEqual({ name: 'a', source: NODE[v] });
  });

  it('reaches an endpoint in the node’s own network, from the node and from elsewhere', async () => {
    await set({
      services: {
        'default/web': service(
          'web',
          { ...loadBalancer, ports: [{ protocol: transport, port: 80 }] },
          { ingress: [{ ip: balanced }] },
        ),
      },
      slices: {
        'default/web-1': slice('web', [{ address: NODE[v] }], [{ protocol: transport, port: PORT + 3 }]),
      },
    });
    for (const host of ['node', 'a', 'client'] as const)
      for (const address of [cluster, balanced])
        expect(await ask(host, transport, address)).toMatchObject({ name: 'host' });
  });

  it('is refused at once where there is no endpoint', async () => {
    const spec = { ...loadBalancer, externalIPs: [external], ports: [{ port: 80, nodePort: 30080 }] };
    await given(transport, spec, [], { ingress: [{ ip: balanced }] });
    for (const host of ['client', 'a', 'node'] as const) {
      for (const address of [cluster, balanced, external])
        expect(await ask(host, transport, address)).toEqual({ error: 'ECONNREFUSED' });
      expect(await ask(host, transport, NODE[v], 30080)).toEqual({ error: 'ECONNREFUSED' });
    }
    expect(await proxy.call('serves', balanced)).toBe(true);
  });

  it('is refused on a port that no Service has at its address', async () => {
    await given(transport, loadBalancer, [pod('a', v)], { ingress: [{ ip: balanced }] });
    for (const host of ['client', 'b', 'node'] as const)
      for (const address of [cluster, balanced])
        expect(await ask(host, transport, address, 81)).toEqual({ error: 'ECONNREFUSED' });
  });

  it('goes past Services to the other ports of a machine whose address is an external one, or another balancer’s', async () => {
    const spec = { ...loadBalancer, externalIPs: [NODE[v], CLIENT[v]] };
    await given(transport, spec, [pod('a', v)], { ingress: [{ ip: NODE[v] }], pooled: false });
    expect(await ask('client', transport, NODE[v])).toEqual({ name: 'a', source: NODE[v] });
    expect(await ask('client', transport, NODE[v], PORT + 3)).toEqual({ name: 'host', source: CLIENT[v] });
    expect(await ask('node', transport, NODE[v], PORT + 3)).toEqual({ name: 'host', source: NODE[v] });
    expect(await ask('node', transport, CLIENT[v], PORT + 3)).toEqual({ name: 'client', source: NODE[v] });
  });

  it('spreads evenly over the endpoints', async () => {
    await given(transport, { clusterIPs: [cluster] }, [pod('a', v), pod('b', v), pod('c', v)]);
    const question: Question = { transport, address: cluster, port: 80 };
    const replies = await network.hosts.node.call<Reply[]>('askTimes', question, 300);
    const counts = Object.groupBy(replies, (reply) => ('name' in reply ? reply.name : reply.error));
    expect(Object.keys(counts).sort()).toEqual(['a', 'b', 'c']);
    // 100 each are expected; fewer than 40 come once in 10^12 runs.
    for (const answered of Object.values(counts)) expect(answered?.length).toBeGreaterThan(40);
  });

  it('follows a change of endpoints with the next connection', async () => {
    for (const name of ['a', 'b', 'c', 'a'] as const) {
      await given(transport, { clusterIPs: [cluster] }, [pod(name, v)]);
      expect(await ask('node', transport, cluster)).toMatchObject({ name });
    }
  });

  it('does not meet the other protocol’s Service on the same address and port', async () => {
    const other = transport === 'TCP' ? 'UDP' : 'TCP';
    const ports = [
      { name: 'one', protocol: transport, port: 80 },
      { name: 'two', protocol: other, port: 80 },
    ] as const;
    await set({
      services: { 'default/web': service('web', { clusterIPs: [cluster], ports }) },
      slices: {
        'default/web-1': slice('web', [pod('a', v)], [{ name: 'one', protocol: transport, port: PORT }]),
        'default/web-2': slice('web', [pod('b', v)], [{ name: 'two', protocol: other, port: PORT }]),
      },
    });
    expect(await ask('node', transport, cluster)).toMatchObject({ name: 'a' });
    expect(await ask('node', other, cluster)).toMatchObject({ name: 'b' });
    await given(transport, { clusterIPs: [cluster] }, [pod('a', v)]);
    expect(await ask('node', other, cluster)).toEqual({ error: 'ECONNREFUSED' });
  });

  it('leaves an address to the load balancer whose mode is Proxy', async () => {
    await given(transport, loadBalancer, [pod('a', v)], { ingress: [{ ip: CLIENT[v], ipMode: 'Proxy' }] });
    expect(await ask('node', transport, CLIENT[v])).toEqual({ name: 'client', source: NODE[v] });
    expect(await proxy.call('serves', CLIENT[v])).toBe(false);
  });
});

describe.each(FAMILIES)('over $family', ({ v, cluster, balanced }) => {
  it('a load balancer’s address answers ping, a cluster address says that it has no such port', async () => {
    await given('TCP', { type: 'LoadBalancer', clusterIPs: [cluster] }, [], { ingress: [{ ip: balanced }] });
    for (const host of ['client', 'b', 'node'] as const) {
      const ping = (address: string) =>
        inNamespace(network.namespaceOf(host), `ping -c 1 -W 5 ${address} 2>&1 || true`);
      expect(ping(balanced), host).toContain(' 0% packet loss');
      // A process of the node has it from its own kernel, which says EPERM.
      expect(ping(cluster)).toMatch(/Port [Uu]nreachable|not permitted/);
    }
  });

  it('a named port may be another number in each slice, and slices add up', async () => {
    const ports = [{ name: 'web', port: 80, targetPort: 'http' }] as const;
    await set({
      services: { 'default/web': service('web', { clusterIPs: [cluster], ports }) },
      slices: {
        'default/web-1': slice('web', [pod('a', v)], [{ name: 'web', port: PORT + 1 }]),
        'default/web-2': slice('web', [pod('b', v)], [{ name: 'web', port: PORT + 2 }]),
        'default/web-3': slice('web', [pod('c', v), pod('a', v)], [{ name: 'web', port: PORT }]),
      },
    });
    const question: Question = { transport: 'TCP', address: cluster, port: 80 };
    const replies = await network.hosts.node.call<Reply[]>('askTimes', question, 120);
    const names = new Set(replies.map((reply) => ('name' in reply ? reply.name : reply.error)));
    expect([...names].sort()).toEqual(['a', 'a-other', 'b-third', 'c']);
  });
});

describe('a Service with more endpoints than there are chains for at first', () => {
  it.each(TRANSPORTS)('reaches each of them by %s', async (transport) => {
    const ports = Array.from({ length: 20 }, (_, i) => 9001 + i);
    await Promise.all(ports.map((port) => network.hosts.a.call('serve', `a${port}`, transport, port)));
    const { cluster } = FAMILIES[0];
    const slices = ports.map((port) => [
      `default/web-${port}`,
      slice('web', [pod('a', 0)], [{ protocol: transport, port }]),
    ]);
    await set({
      services: {
        'default/web': service('web', { clusterIPs: [cluster], ports: [{ protocol: transport, port: 80 }] }),
      },
      slices: Object.fromEntries(slices),
    });
    const question: Question = { transport, address: cluster, port: 80 };
    const replies = await network.hosts.node.call<Reply[]>('askTimes', question, 800);
    const names = new Set(replies.map((reply) => ('name' in reply ? reply.name : reply.error)));
    // That one of them is not picked in 800 times comes once in 10^16 runs.
    expect([...names].sort()).toEqual(ports.map((port) => `a${port}`).sort());
  });
});

describe('a change of endpoints', () => {
  it('loses no connection while each endpoint that it leads to lives', async () => {
    const { cluster } = FAMILIES[0];
    const [a, b] = [pod('a', 0), pod('b', 0)];
    await given('TCP', { clusterIPs: [cluster] }, [a]);
    const { node, client } = network.hosts;
    const question: Question = { transport: 'TCP', address: cluster, port: 80 };
    await Promise.all([node, client].map((host) => host.call('startAsking', question)));
    for (let i = 0; i < 60; i++)
      for (const pods of [[b], [b, a], [a]]) await given('TCP', { clusterIPs: [cluster] }, pods);
    const replies = (
      await Promise.all([node, client].map((host) => host.call<Reply[]>('stopAsking')))
    ).flat();
    expect(replies.filter((reply) => 'error' in reply)).toEqual([]);
    expect(replies.length).toBeGreaterThan(20);
  });
});

describe('UDP flows that a client keeps to its source port', () => {
  const asFrom = (host: 'client' | 'a' | 'node', address: string, port: number, from: number) =>
    network.hosts[host].call<Reply>('ask', { transport: 'UDP', address, port, from } satisfies Question);

  it.each(FAMILIES)(
    'move to the endpoint that is there, or are refused, over $family',
    async ({ v, cluster, balanced }) => {
      const spec = {
        type: 'LoadBalancer',
        clusterIPs: [cluster],
        ports: [{ port: 80, nodePort: 30080 }],
      } as const;
      const asks = () =>
        Promise.all([
          asFrom('a', cluster, 80, 5_001),
          asFrom('client', balanced, 80, 5_002),
          asFrom('client', NODE[v], 30080, 5_003),
          asFrom('node', NODE[v], 30080, 5_004),
        ]);
      const four = (reply: object) => Array(4).fill(expect.objectContaining(reply));
      const status = { ingress: [{ ip: balanced }] };
      await given('UDP', spec, [], status);
      expect(await asks()).toEqual(four({ error: 'ECONNREFUSED' }));
      await given('UDP', spec, [pod('b', v)], status);
      expect(await asks()).toEqual(four({ name: 'b' }));
      await given('UDP', spec, [pod('c', v)], status);
      expect(await asks()).toEqual(four({ name: 'c' }));
      await given('UDP', spec, [], status);
      expect(await asks()).toEqual(four({ error: 'ECONNREFUSED' }));
      await given('UDP', spec, [pod('b', v)], status);
      expect(await asks()).toEqual(four({ name: 'b' }));
      await set({ services: { 'default/web': null } });
      const afterwards = await asFrom('node', NODE[v], 30080, 5_004);
      expect(afterwards).toEqual({ error: 'ECONNREFUSED' });
    },
  );

  it('stay where they are when other endpoints come or another Service changes', async () => {
    const { cluster } = FAMILIES[0];
    await given('UDP', { clusterIPs: [cluster] }, [pod('b', 0)]);
    expect(await asFrom('a', cluster, 80, 5_010)).toMatchObject({ name: 'b' });
    await given('UDP', { clusterIPs: [cluster] }, [pod('b', 0), pod('c', 0)]);
    for (let i = 0; i < 8; i++) expect(await asFrom('a', cluster, 80, 5_010)).toMatchObject({ name: 'b' });
    const other = service('other', { clusterIPs: ['10.96.0.9'], ports: [{ protocol: 'UDP', port: 80 }] });
    await set({ services: { 'default/other': other } });
    expect(await asFrom('a', cluster, 80, 5_010)).toMatchObject({ name: 'b' });
    expect(await proxy.call('metric', 'fairlead_proxy_stale_flows_total')).toEqual([expect.any(Number), 0]);
  });
});
