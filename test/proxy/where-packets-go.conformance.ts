// Where may this packet go? A model in the words of the behaviour table, against real connections of random Services.
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import type { Question, Reply, Transport } from './host-process.ts';
import { CLIENT, NODE, POD } from './network.ts';
import { pod, type Scene } from './scene.ts';

const CIDRS = { podCidrs: ['10.244.0.0/16', 'fd00:244::/32'] };
const CLUSTER = ['10.96.0.11', 'fd00:96::11'] as const;
const BALANCED = ['198.51.100.1', '2001:db8:5::1'] as const;
const NODE_PORT = 30080;
const PODS = ['a', 'b', 'c'] as const;
type Pod = (typeof PODS)[number];
const HOSTS = ['client', 'node', 'a'] as const;
type Host = (typeof HOSTS)[number];

/** Lists of sources, for both families or one alone: the client's address, or all pods'. */
const SOURCES = {
  client: ['192.0.2.10/32', '2001:db8:1::10/128'],
  pods: ['10.244.0.0/16', 'fd00:244::/32'],
  'client by IPv4': ['192.0.2.10/32'],
} as const;

interface World {
  readonly transport: Transport;
  readonly v: 0 | 1;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
  readonly internal: 'Cluster' | 'Local';
  readonly external: 'Cluster' | 'Local';
  readonly sources: keyof typeof SOURCES | undefined;
  readonly states: Readonly<Record<Pod, 'ready' | 'draining' | 'starting' | 'absent'>>;
}

interface Probe {
  readonly from: Host;
  readonly to: 'cluster' | 'balanced' | 'node';
  readonly port: 'service' | 'node port' | 'other';
}

/** Who may answer and as whom they may see the client; or that it is refused, or ignored. */
type Fate =
  | { readonly kind: 'answered'; readonly by: readonly Pod[]; readonly seenAs: string | undefined }
  | { readonly kind: 'refused' }
  | { readonly kind: 'ignored' };

function fateOf(world: World, { from, to, port }: Probe): Fate {
  const refused: Fate = { kind: 'refused' };
  const { type, v, internal, external, states } = world;
  const servesNodePorts = type !== 'ClusterIP';
  if (to === 'node' ? port !== 'node port' || !servesNodePorts : port !== 'service') return refused;
  const usable = (pods: readonly Pod[]) => {
    const ready = pods.filter((name) => states[name] === 'ready');
    return ready.length > 0 ? ready : pods.filter((name) => states[name] === 'draining');
  };
  const [everywhere, here] = [usable(PODS), usable(['a', 'b'])];
  if (to === 'balanced' && !isLetIn(world, from)) return { kind: 'ignored' };
  if (everywhere.length === 0) return refused;
  const own = { client: CLIENT[v], node: NODE[v], a: POD.a[v] }[from];
  const answered = (by: readonly Pod[], seenAs: string): Fate =>
    by.length === 0 ? { kind: 'ignored' } : { kind: 'answered', by, seenAs };
  // Only who comes from outside the cluster is masqueraded on the way to a cluster address.
  if (to === 'cluster')
    return answered(internal === 'Local' ? here : everywhere, from === 'client' ? NODE[v] : own);
  if (external === 'Cluster') return answered(everywhere, NODE[v]);
  return answered(from === 'client' ? here : everywhere, own);
}

/** A family without ranges of its own lets everybody in. */
function isLetIn({ sources, v }: World, from: Host): boolean {
  if (sources === undefined || (sources === 'client by IPv4' && v === 1)) return true;
  return sources === 'pods' ? from === 'a' : from === 'client';
}

const world: fc.Arbitrary<World> = fc.record({
  transport: fc.constantFrom('TCP' as const, 'UDP' as const),
  v: fc.constantFrom(0 as const, 1 as const),
  type: fc.constantFrom(
    'ClusterIP' as const,
    'NodePort' as const,
    'LoadBalancer' as const,
    'LoadBalancer' as const,
  ),
  internal: fc.constantFrom('Cluster' as const, 'Local' as const),
  external: fc.constantFrom('Cluster' as const, 'Local' as const),
  sources: fc.option(fc.constantFrom('client' as const, 'pods' as const, 'client by IPv4' as const), {
    nil: undefined,
  }),
  states: fc.record({ a: state(), b: state(), c: state() }),
});
const probe: fc.Arbitrary<Probe> = fc.record({
  from: fc.constantFrom(...HOSTS),
  to: fc.constantFrom('cluster' as const, 'balanced' as const, 'node' as const),
  port: fc.constantFrom('service' as const, 'service' as const, 'node port' as const, 'other' as const),
});

function state() {
  return fc.constantFrom(
    'ready' as const,
    'ready' as const,
    'draining' as const,
    'starting' as const,
    'absent' as const,
  );
}

async function build(
  scene: Scene,
  { transport, v, type, internal, external, sources, states }: World,
): Promise<void> {
  const endpoints = PODS.filter((name) => states[name] !== 'absent').map((name) =>
    pod(name, v, {
      ready: states[name] === 'ready',
      serving: states[name] !== 'starting',
      terminating: states[name] === 'draining',
    }),
  );
  const spec = {
    type,
    clusterIPs: [CLUSTER[v]],
    internalTrafficPolicy: internal,
    ...(type === 'ClusterIP'
      ? {}
      : { externalTrafficPolicy: external, ports: [{ port: 80, nodePort: NODE_PORT }] }),
    ...(sources === undefined ? {} : { loadBalancerSourceRanges: [...SOURCES[sources]] }),
  };
  await scene.given(transport, spec, endpoints, { ingress: [{ ip: BALANCED[v] }] });
}

/** `runs`: so many random Services, with some questions each. */
export function describeWherePacketsGo(scene: Scene, runs: number): void {
  beforeAll(async () => {
    await scene.start({ addresses: NODE, ...CIDRS });
    await scene.servePods();
  });

  it('go where the model says, are seen as it says, and are refused or ignored where it says', async () => {
    const seen = { answered: 0, refused: 0, ignored: 0 };
    const histories = fc.tuple(world, fc.array(probe, { minLength: 4, maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(histories, async ([each, probes]) => {
        await scene.clear();
        await build(scene, each);
        for (const { from, to, port } of probes) {
          // Nobody has this address then.
          if (to === 'balanced' && each.type !== 'LoadBalancer') continue;
          const address = { cluster: CLUSTER, balanced: BALANCED, node: NODE }[to][each.v];
          const number = { service: 80, 'node port': NODE_PORT, other: 81 }[port];
          const fate = fateOf(each, { from, to, port });
          seen[fate.kind]++;
          const { transport } = each;
          const question: Question = {
            transport,
            address,
            port: number,
            ...(fate.kind === 'ignored' ? { patience: 100 } : {}),
          };
          const replies = await scene.network.hosts[from].call<Reply[]>(
            'askTimes',
            question,
            fate.kind === 'ignored' ? 1 : 3,
          );
          const where = JSON.stringify({ each, from, to, port });
          for (const reply of replies) {
            if (fate.kind !== 'answered') {
              expect(reply, where).toEqual({ error: fate.kind === 'refused' ? 'ECONNREFUSED' : 'no answer' });
              continue;
            }
            expect(reply, where).toHaveProperty('name');
            if (!('name' in reply)) continue;
            expect(fate.by, where).toContain(reply.name);
            // A pod that reaches itself sees an address of the node.
            if (reply.name !== from) expect(reply.source, where).toBe(fate.seenAs);
          }
        }
      }),
      { numRuns: runs },
    );
    expect(seen.answered).toBeGreaterThan(runs / 2);
    expect(seen.refused).toBeGreaterThan(runs / 4);
    expect(seen.ignored).toBeGreaterThan(0);
  }, 60_000);
}
