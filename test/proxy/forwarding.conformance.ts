// Forwarding on the real kernel: a client, two nodes and pods in network namespaces, with real TCP and UDP; the objects
// come from wherever the scene has them.
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inNamespace } from '../sockets/netns.ts';
import type { Question, Reply } from './host-process.ts';
import { CLIENT, NODE, POD } from './network.ts';
import { service, slice } from './objects.ts';
import { pod, type Scene } from './scene.ts';

const PORT = 8080;
const FAMILIES = [
  { family: 'IPv4', v: 0, cluster: '10.96.0.11', balanced: '198.51.100.1', external: '198.51.100.2' },
  { family: 'IPv6', v: 1, cluster: 'fd00:96::11', balanced: '2001:db8:5::1', external: '2001:db8:5::2' },
] as const;
const TRANSPORTS = ['TCP', 'UDP'] as const;
const CASES = FAMILIES.flatMap((family) => TRANSPORTS.map((transport) => ({ ...family, transport })));

export function describeForwarding(scene: Scene): void {
  const { network } = scene;
  const { given, set, ask } = bound(scene);

  beforeAll(async () => {
    await scene.start({ addresses: NODE });
    await scene.servePods();
    for (const transport of TRANSPORTS) {
      await scene.serve('a', 'a-other', transport, PORT + 1);
      await scene.serve('b', 'b-third', transport, PORT + 2);
      await scene.serve('node', 'host', transport, PORT + 3);
      await scene.serve('client', 'client', transport, 80);
      await scene.serve('client', 'client', transport, PORT + 3);
    }
  });
  afterEach(() => scene.clear());

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

    it('reaches an endpoint outside the cluster, which a hand-written slice names', async () => {
      await set({
        services: {
          'default/web': service('web', { ...loadBalancer, ports: [{ protocol: transport, port: 80 }] }),
        },
        slices: {
          'default/web-1': slice(
            'web',
            [{ address: CLIENT[v], node: null }],
            [{ protocol: transport, port: PORT + 3 }],
          ),
        },
      });
      expect(await ask('node', transport, cluster)).toEqual({ name: 'client', source: NODE[v] });
    });

    it('is refused at once where there is no endpoint', async () => {
      const spec = { ...loadBalancer, externalIPs: [external], ports: [{ port: 80, nodePort: 30080 }] };
      await given(transport, spec, [], { ingress: [{ ip: balanced }] });
      for (const host of ['client', 'a', 'node'] as const) {
        for (const address of [cluster, balanced, external])
          expect(await ask(host, transport, address)).toEqual({ error: 'ECONNREFUSED' });
        expect(await ask(host, transport, NODE[v], 30080)).toEqual({ error: 'ECONNREFUSED' });
      }
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
    });
  });

  describe.each(FAMILIES)('over $family', ({ v, cluster, balanced }) => {
    it('a load balancer’s address answers ping, a cluster address says that it has no such port', async () => {
      await given('TCP', { type: 'LoadBalancer', clusterIPs: [cluster] }, [], {
        ingress: [{ ip: balanced }],
      });
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

  describe('a Service of both families', () => {
    it.each(TRANSPORTS)('is reached by either, each with endpoints of its own, by %s', async (transport) => {
      const ports = [{ protocol: transport, port: 80 }] as const;
      const target = [{ protocol: transport, port: PORT }] as const;
      await set({
        services: {
          'default/web': service('web', { clusterIPs: FAMILIES.map(({ cluster }) => cluster), ports }),
        },
        slices: {
          'default/web-4': slice('web', [pod('a', 0)], target),
          'default/web-6': slice('web', [pod('c', 1)], target),
        },
      });
      expect(await ask('b', transport, FAMILIES[0].cluster)).toEqual({ name: 'a', source: POD.b[0] });
      expect(await ask('b', transport, FAMILIES[1].cluster)).toEqual({ name: 'c', source: POD.b[1] });
    });
  });

  describe('a Service with more endpoints than there are chains for at first', () => {
    it.each(TRANSPORTS)('reaches each of them by %s', async (transport) => {
      const ports = Array.from({ length: 20 }, (_, i) => 9001 + i);
      for (const port of ports) await scene.serve('a', `a${port}`, transport, port);
      const { cluster } = FAMILIES[0];
      const slices = ports.map((port) => [
        `default/web-${port}`,
        slice('web', [pod('a', 0)], [{ protocol: transport, port }]),
      ]);
      await set({
        services: {
          'default/web': service('web', {
            clusterIPs: [cluster],
            ports: [{ protocol: transport, port: 80 }],
          }),
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
      const other = service('other', { clusterIPs: ['10.96.0.19'], ports: [{ protocol: 'UDP', port: 80 }] });
      await set({ services: { 'default/other': other } });
      expect(await asFrom('a', cluster, 80, 5_010)).toMatchObject({ name: 'b' });
    });
  });
}

function bound(scene: Scene) {
  return {
    given: scene.given.bind(scene),
    set: scene.set.bind(scene),
    ask: scene.ask.bind(scene),
  };
}
