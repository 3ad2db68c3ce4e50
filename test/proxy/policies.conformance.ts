// Traffic policies, source ranges, affinity and masquerading on the real kernel, for pods, the node and outsiders; the
// objects come from wherever the scene has them.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inNamespace } from '../sockets/netns.ts';
import { CLIENT, NODE, POD } from './network.ts';
import type { NodeText } from './proxy-process.ts';
import { pod, type Scene } from './scene.ts';

const FAMILIES = [
  { family: 'IPv4', v: 0, cluster: '10.96.0.11', balanced: '198.51.100.1', external: '198.51.100.2' },
  { family: 'IPv6', v: 1, cluster: 'fd00:96::11', balanced: '2001:db8:5::1', external: '2001:db8:5::2' },
] as const;
const CASES = [
  { ...FAMILIES[0], transport: 'TCP' },
  { ...FAMILIES[1], transport: 'UDP' },
] as const;
const ALL_CASES = FAMILIES.flatMap((family) =>
  (['TCP', 'UDP'] as const).map((transport) => ({ ...family, transport })),
);
const POD_CIDRS = ['10.244.0.0/16', 'fd00:244::/32'];
const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:96::/112'];
const USUAL: NodeText = {
  addresses: NODE,
  podCidrs: POD_CIDRS,
  serviceCidrs: SERVICE_CIDRS,
  zone: 'here',
};
const SILENCE = 'no answer';
const REFUSED = { error: 'ECONNREFUSED' };
const PORTS = [{ port: 80, nodePort: 30080 }] as const;

export function describePolicies(scene: Scene): void {
  beforeAll(async () => {
    await scene.start(USUAL);
    await scene.servePods();
  });
  beforeEach(() => scene.setNode(USUAL));
  afterEach(() => scene.clear());

  describe.each(CASES)('$transport over $family', ({ transport, v, cluster, balanced, external }) => {
    const spec = {
      type: 'LoadBalancer',
      clusterIPs: [cluster],
      externalIPs: [external],
      ports: PORTS,
    } as const;
    const status = { ingress: [{ ip: balanced }] };
    const outside = [
      [balanced, 80],
      [external, 80],
      [NODE[v], 30080],
    ] as const;

    describe('with externalTrafficPolicy Local', () => {
      const local = { ...spec, externalTrafficPolicy: 'Local' } as const;

      it('clients outside reach this node’s endpoints alone, and are seen as themselves', async () => {
        await scene.given(transport, local, [pod('a', v), pod('c', v)], status);
        for (const [address, port] of outside) {
          expect(await scene.ask('client', transport, address, port)).toEqual({
            name: 'a',
            source: CLIENT[v],
          });
          expect(await scene.names('client', transport, address, port)).toEqual(['a']);
        }
      });

      it('pods reach every endpoint as themselves, and the node reaches every endpoint', async () => {
        await scene.given(transport, local, [pod('c', v)], status);
        for (const [address, port] of outside) {
          expect(await scene.ask('b', transport, address, port)).toEqual({ name: 'c', source: POD.b[v] });
          expect(await scene.ask('node', transport, address, port)).toEqual({ name: 'c', source: NODE[v] });
        }
        await scene.given(transport, local, [pod('a', v), pod('c', v)], status);
        expect(await scene.names('b', transport, balanced)).toEqual(['a', 'c']);
        expect(await scene.names('node', transport, NODE[v], 30080)).toEqual(['a', 'c']);
      });

      it('cluster addresses lead to every endpoint', async () => {
        await scene.given(transport, local, [pod('a', v), pod('c', v)], status);
        expect(await scene.names('b', transport, cluster)).toEqual(['a', 'c']);
      });

      it('a pod reaches itself', async () => {
        await scene.given(transport, local, [pod('a', v)], status);
        expect(await scene.ask('a', transport, balanced)).toMatchObject({ name: 'a' });
      });

      it('clients are ignored where only other nodes have endpoints, and refused where none has', async () => {
        await scene.given(transport, local, [pod('c', v)], status);
        const silent = await Promise.all(
          outside.map(([address, port]) => scene.silence('client', transport, address, port)),
        );
        expect(silent).toEqual([SILENCE, SILENCE, SILENCE]);
        await scene.given(transport, local, [], status);
        for (const [address, port] of outside)
          expect(await scene.ask('client', transport, address, port)).toEqual(REFUSED);
      });

      it('follows endpoints that come to this node and leave it', async () => {
        for (const name of ['a', 'b', 'a'] as const) {
          await scene.given(transport, local, [pod(name, v), pod('c', v)], status);
          expect(await scene.ask('client', transport, balanced)).toEqual({ name, source: CLIENT[v] });
        }
      });

      it('prefers this node’s draining endpoint for outsiders while others are ready elsewhere', async () => {
        const draining = { ready: false, serving: true, terminating: true };
        await scene.given(transport, local, [pod('a', v, draining), pod('c', v)], status);
        expect(await scene.names('b', transport, cluster)).toEqual(['c']);
        expect(await scene.ask('client', transport, balanced)).toEqual({ name: 'a', source: CLIENT[v] });
      });

      it('becomes Cluster, and Local again, with the next connection', async () => {
        for (const policy of ['Local', 'Cluster', 'Local'] as const) {
          await scene.given(transport, { ...spec, externalTrafficPolicy: policy }, [pod('a', v)], status);
          const source = policy === 'Local' ? CLIENT[v] : NODE[v];
          expect(await scene.ask('client', transport, balanced)).toEqual({ name: 'a', source });
        }
      });
    });

    describe('with internalTrafficPolicy Local', () => {
      const local = { ...spec, internalTrafficPolicy: 'Local' } as const;

      it('cluster addresses lead to this node’s endpoints alone, and the others to every endpoint', async () => {
        await scene.given(transport, local, [pod('a', v), pod('c', v)], status);
        for (const host of ['b', 'node', 'client'] as const)
          expect(await scene.names(host, transport, cluster)).toEqual(['a']);
        expect(await scene.names('client', transport, balanced)).toEqual(['a', 'c']);
      });

      it('what only other nodes could answer is ignored, and refused where nobody could', async () => {
        await scene.given(transport, local, [pod('c', v)], status);
        expect(await scene.ask('client', transport, balanced)).toEqual({ name: 'c', source: NODE[v] });
        expect(await scene.silence('b', transport, cluster)).toBe(SILENCE);
        await scene.given(transport, local, [], status);
        expect(await scene.ask('b', transport, cluster)).toEqual(REFUSED);
      });
    });

    it('lets only the listed sources in through a load balancer’s address: pods and the node too', async () => {
      const listed = (...loadBalancerSourceRanges: string[]) =>
        scene.given(transport, { ...spec, loadBalancerSourceRanges }, [pod('a', v)], status);
      const expectLetIn = async (...hosts: readonly ('client' | 'b' | 'node')[]) => {
        for (const host of ['client', 'b', 'node'] as const) {
          if (hosts.includes(host))
            expect(await scene.ask(host, transport, balanced)).toMatchObject({ name: 'a' });
          else expect(await scene.silence(host, transport, balanced), host).toMatch(/no answer|EPERM/);
        }
      };
      const single = (address: string) => ` ${address}/${v === 0 ? 32 : 128} `;
      await listed(single(CLIENT[v]), v === 0 ? '10.0.0.0/28' : 'fd99::/64');
      await expectLetIn('client');
      for (const [address, port] of [
        [external, 80],
        [NODE[v], 30080],
        [cluster, 80],
      ] as const)
        expect(await scene.ask('b', transport, address, port)).toMatchObject({ name: 'a' });
      await listed(single(POD.b[v]), single(NODE[v]));
      await expectLetIn('b', 'node');
      // A wider range takes the place of one that it overlaps.
      await listed(v === 0 ? '192.0.2.0/24' : '2001:db8:1::/64');
      await expectLetIn('client', 'node');
      await listed(v === 0 ? '0.0.0.0/0' : '::/0');
      await expectLetIn('client', 'b', 'node');
      await listed(v === 0 ? '2001:db8::/32' : '10.0.0.0/8');
      await expectLetIn('client', 'b', 'node');
      await listed();
      await expectLetIn('client', 'b', 'node');
    });

    it('masquerades what comes to a cluster address from outside the pods’ addresses, or everything', async () => {
      await scene.given(transport, { clusterIPs: [cluster] }, [pod('a', v)]);
      const sources = async () => [
        await scene.ask('client', transport, cluster),
        await scene.ask('b', transport, cluster),
      ];
      expect(await sources()).toMatchObject([{ source: NODE[v] }, { source: POD.b[v] }]);
      await scene.setNode({ ...USUAL, masqueradeAll: true });
      expect(await sources()).toMatchObject([{ source: NODE[v] }, { source: NODE[v] }]);
      // Without a range of the family nobody is taken for an outsider.
      await scene.setNode({ ...USUAL, podCidrs: [POD_CIDRS[1 - v] ?? ''] });
      expect(await sources()).toMatchObject([{ source: CLIENT[v] }, { source: POD.b[v] }]);
    });

    it('without a way to tell pods from others, pods too reach only this node’s endpoints by policy Local', async () => {
      await scene.setNode({ ...USUAL, podCidrs: [] });
      const local = { ...spec, externalTrafficPolicy: 'Local' } as const;
      await scene.given(transport, local, [pod('a', v), pod('c', v)], status);
      expect(await scene.names('b', transport, balanced)).toEqual(['a']);
    });

    it('serves node ports on the node’s own addresses as they change, and on no others', async () => {
      await scene.given(transport, spec, [pod('a', v)], status);
      expect(await scene.ask('client', transport, NODE[v], 30080)).toMatchObject({ name: 'a' });
      await scene.setNode({ ...USUAL, addresses: [] });
      expect(await scene.ask('client', transport, NODE[v], 30080)).toEqual(REFUSED);
      await scene.setNode(USUAL);
      expect(await scene.ask('client', transport, NODE[v], 30080)).toMatchObject({ name: 'a' });
    });

    it('drops what goes to an address of the cluster’s ranges that no Service has', async () => {
      await scene.given(transport, { clusterIPs: [cluster] }, [pod('a', v)]);
      const free = v === 0 ? '10.96.0.77' : 'fd00:96::77';
      expect(await scene.silence('b', transport, free)).toBe(SILENCE);
      expect(await scene.ask('b', transport, cluster, 81)).toEqual(REFUSED);
    });

    it('keeps to the endpoints that are hinted to this zone, where all have hints', async () => {
      const zones = (forZones: readonly string[], more: readonly string[] = ['there']) =>
        scene.given(transport, spec, [pod('a', v, { forZones }), pod('c', v, { forZones: more })], status);
      await zones(['here']);
      expect(await scene.names('b', transport, cluster)).toEqual(['a']);
      expect(await scene.names('client', transport, balanced)).toEqual(['a']);
      await zones(['elsewhere']);
      expect(await scene.names('b', transport, cluster)).toEqual(['a', 'c']);
      await zones(['here'], []);
      expect(await scene.names('b', transport, cluster)).toEqual(['a', 'c']);
      await zones(['here']);
      await scene.setNode({ ...USUAL, zone: 'there' });
      expect(await scene.names('b', transport, cluster)).toEqual(['c']);
    });
  });

  describe.each(ALL_CASES)(
    'session affinity of $transport over $family',
    ({ transport, v, cluster, balanced }) => {
      const spec = {
        type: 'LoadBalancer',
        clusterIPs: [cluster],
        ports: PORTS,
        sessionAffinity: 'ClientIP',
      } as const;
      const status = { ingress: [{ ip: balanced }] };
      const three = [pod('a', v), pod('b', v), pod('c', v)];
      const node = () => scene.network.namespaceOf('node');
      const digit = v === 0 ? 4 : 6;

      it('keeps a client on its endpoint through every address, through changes and a restart', async () => {
        await scene.given(transport, spec, three, status);
        const [name = ''] = await scene.names('client', transport, balanced);
        const held = async () => [
          ...(await scene.names('client', transport, balanced)),
          ...(await scene.names('client', transport, NODE[v], 30080)),
        ];
        expect(await held()).toEqual([name, name]);
        const others = three.filter(({ address }) => address !== POD[name as 'a'][v]);
        await scene.given(transport, spec, [pod(name as 'a', v), ...others.slice(1)], status);
        expect(await held()).toEqual([name, name]);
        await scene.kill();
        await scene.start(USUAL);
        await scene.given(transport, spec, three, status);
        expect(await held()).toEqual([name, name]);
        // Its endpoint goes: the client has another one, and keeps that.
        await scene.given(transport, spec, others, status);
        const [second = ''] = await scene.names('client', transport, balanced);
        expect(second).not.toBe(name);
        await scene.given(transport, spec, three, status);
        expect(await held()).toEqual([second, second]);
      });

      it('lasts as long as the Service says after the last connection, and no longer', async () => {
        const short = { ...spec, sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } };
        await scene.given(transport, short, three, status);
        const remembered = () =>
          inNamespace(node(), `nft list map inet fairlead ${transport.toLowerCase()}-affinity${digit}`);
        await scene.ask('client', transport, balanced);
        expect(remembered()).toContain('timeout 1s');
        await expect.poll(remembered, { timeout: 20_000 }).not.toContain('timeout 1s');
      });

      it('ends with the field', async () => {
        await scene.given(transport, spec, three, status);
        await scene.ask('client', transport, balanced);
        await scene.given(transport, { ...spec, sessionAffinity: 'None' }, three, status);
        expect(await scene.names('client', transport, balanced)).toEqual(['a', 'b', 'c']);
        const map = inNamespace(
          node(),
          `nft list map inet fairlead ${transport.toLowerCase()}-affinity${digit}`,
        );
        expect(map).not.toContain('elements');
      });
    },
  );

  describe('with pods told by their interface', () => {
    beforeAll(async () => {
      await scene.kill();
      await scene.start(USUAL, { POD_INTERFACE: 'pod-*' });
    });

    it.each(FAMILIES)(
      'pods reach every endpoint as themselves over $family, and outsiders do not',
      async (each) => {
        const { v, cluster, balanced } = each;
        const spec = {
          type: 'LoadBalancer',
          clusterIPs: [cluster],
          externalTrafficPolicy: 'Local',
        } as const;
        const status = { ingress: [{ ip: balanced }] };
        await scene.given('TCP', spec, [pod('c', v)], status);
        expect(await scene.ask('b', 'TCP', balanced)).toEqual({ name: 'c', source: POD.b[v] });
        expect(await scene.ask('b', 'TCP', cluster)).toEqual({ name: 'c', source: POD.b[v] });
        expect(await scene.ask('node', 'TCP', balanced)).toMatchObject({ name: 'c' });
        expect(await scene.silence('client', 'TCP', balanced)).toBe(SILENCE);
        await scene.given('TCP', spec, [pod('a', v)], status);
        expect(await scene.ask('client', 'TCP', balanced)).toEqual({ name: 'a', source: CLIENT[v] });
        expect(await scene.ask('client', 'TCP', cluster)).toEqual({ name: 'a', source: NODE[v] });
      },
    );
  });
}
