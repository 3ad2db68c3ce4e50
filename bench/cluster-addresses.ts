// How soon Services get their addresses on a real API server while three agents run, what each costs, and whether the
// four thousandth costs what the first did.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { KubeObject } from '../src/kube/objects.ts';
import { IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Cluster } from '../src/lab/cluster.ts';
import { findKubernetes } from '../src/lab/kubernetes-binaries.ts';
import { writesIn } from './audit-writes.ts';
import { processorTime } from './processor-time.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';
import { createServices, type ServicesView, viewOf } from './services.ts';

const FOLDER = '/run/fairlead-cluster-addresses';
const AGENTS = 3;
const WARM = 50;
const SINGLES = 200;
const BURST = 1_000;
const MANY = 4_000;
const DELETIONS = 20;
/** Milliseconds. */
const SPACED = 100;
const LARGE_BURST = 10_000;
/** Milliseconds in which what a burst set off (events, announcements, the pool's status) is written. */
const CALM = 20_000;

/** No rows, and a word why, where there is neither etcd nor kube-apiserver. */
export function clusterAddresses(): Promise<BenchRow[]> {
  return inCluster(async (scene) => {
    const { cluster, view } = scene;
    const first = await oneByOne(scene, 'first', SPACED);
    const pressed = await oneByOne(scene, 'pressed', 0);
    const before = writesIn(scene.auditLog);
    const burst = await createServices(view, cluster.api, 'burst', BURST);
    await wait(CALM);
    const wrote = before.since();
    await createServices(view, cluster.api, 'more', MANY - WARM - 3 * SINGLES - BURST);
    await wait(CALM);
    const late = await oneByOne(scene, 'late', SPACED);
    const others: number[] = [];
    for (let i = 0; i < DELETIONS; i++) {
      await cluster.api.delete(SERVICES, { namespace: 'default', name: `more-${i}` });
      others.push(...(await createServices(view, cluster.api, `next${i}`, 1)).latencies);
      await wait(SPACED);
    }
    const withAgents = `${AGENTS} agents, real API server`;
    const spaced = `one every ${SPACED} ms`;
    const ordinal = `numbers ${MANY - SINGLES + 1} to ${MANY}`;
    return [
      ...latencyRows(`create → address, ${withAgents}, ${spaced}`, first),
      ...latencyRows(`create → address, ${withAgents}, each as soon as the one before has its own`, pressed),
      ...latencyRows(`create → address, ${withAgents}, ${spaced}, ${ordinal}`, late),
      {
        name: `create → address, ${MANY} Services, right after another was deleted, median of ${DELETIONS}`,
        value: quantile(others, 0.5),
        unit: 'ms',
        alternative: { name: 'longest', value: Math.max(...others) },
      },
      {
        name: `controller's processor time a Service, ${ordinal}`,
        value: late.processor,
        unit: 'ms',
        alternative: { name: `the first ${SINGLES}`, value: first.processor },
      },
      burstRow(BURST, burst),
      {
        name: "API writes a Service, the controller's, its event included",
        value: wrote.count('fairlead-controller', ['services', 'events']) / BURST,
        unit: '',
        target: '<= 2',
        alternative: {
          name: "the agents', of Announcements and their events",
          value: wrote.count('fairlead-agent', ['announcements', 'events']) / BURST,
        },
      },
      {
        name: 'shortest time between two writes of the pool in that burst',
        value: wrote.closest('ipaddresspools'),
        unit: 'ms',
        target: '>= 1000',
      },
    ];
  });
}

/** The burst of 10,000, and the restart with as many. */
export function clusterBurst(): Promise<BenchRow[]> {
  return inCluster(async ({ cluster, view }) => {
    const burst = await createServices(view, cluster.api, 'burst', LARGE_BURST);
    await wait(CALM);
    await cluster.controller?.stop();
    const versions = view.versions();
    const began = performance.now();
    const starting = cluster.startController();
    await createServices(view, cluster.api, 'late', 1);
    const served = performance.now() - began;
    await starting;
    await wait(CALM);
    const after = view.versions();
    return [
      burstRow(LARGE_BURST, burst),
      {
        name: `controller restart with ${LARGE_BURST} Services, until a new one is served`,
        value: served,
        unit: 'ms',
        target: '< 3000',
      },
      {
        name: 'Services written at that restart that are unchanged',
        value: [...versions].filter(([key, version]) => after.get(key) !== version).length,
        unit: '',
        target: '0',
      },
    ];
  });
}

interface Scene {
  readonly cluster: Cluster;
  readonly view: ServicesView;
  readonly auditLog: string;
}

async function inCluster(measure: (scene: Scene) => Promise<BenchRow[]>): Promise<BenchRow[]> {
  const binaries = findKubernetes();
  if (binaries.kind === 'missing') {
    console.error(`left out: ${binaries.problem}`);
    return [];
  }
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  const cluster = await Cluster.start({ nodes: AGENTS, podsANode: 1, folder: FOLDER, apiServer: 'real' });
  try {
    await cluster.api.create(IP_ADDRESS_POOLS, {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name: 'bench' },
      spec: { addresses: ['198.18.0.0/15'] },
    } as KubeObject);
    await cluster.startController();
    for (const node of cluster.plan.nodes) await cluster.startAgent(node);
    const view = viewOf(cluster.standIns.services);
    await createServices(view, cluster.api, 'warm', WARM);
    await wait(CALM / 4);
    return await measure({ cluster, view, auditLog: join(FOLDER, 'kubernetes/audit.log') });
  } finally {
    await cluster.close();
  }
}

interface Singles {
  readonly latencies: readonly number[];
  readonly creates: readonly number[];
  /** Of the controller, in milliseconds a Service. */
  readonly processor: number;
}

/** `pause`: milliseconds from one address to the next create. */
async function oneByOne({ cluster, view }: Scene, name: string, pause: number): Promise<Singles> {
  const [latencies, creates]: [number[], number[]] = [[], []];
  const pid = cluster.controller?.child.pid ?? 0;
  const began = processorTime(pid);
  for (let i = 0; i < SINGLES; i++) {
    const one = await createServices(view, cluster.api, `${name}${i}`, 1);
    latencies.push(...one.latencies);
    creates.push(...one.creates);
    await wait(pause);
  }
  return { latencies, creates, processor: ((processorTime(pid) - began) * 1_000) / SINGLES };
}

function latencyRows(name: string, { latencies, creates }: Singles): BenchRow[] {
  return [
    {
      name: `${name}, median of ${SINGLES}`,
      value: quantile(latencies, 0.5),
      unit: 'ms',
      target: '< 3',
      alternative: { name: 'the create itself', value: quantile(creates, 0.5) },
    },
    {
      name: `${name}, 99th percentile`,
      value: quantile(latencies, 0.99),
      unit: 'ms',
      target: '< 15',
      alternative: { name: 'the create itself', value: quantile(creates, 0.99) },
    },
  ];
}

function burstRow(size: number, { tail, took }: { readonly tail: number; readonly took: number }): BenchRow {
  return {
    name: `last address after the last create, burst of ${size}, ${AGENTS} agents, real API server`,
    value: tail,
    unit: 'ms',
    target: '< 1000',
    alternative: { name: 'their creations, as fast as the API server takes them', value: took },
  };
}
