// What an agent costs on a node of an idle cluster with 100 Services of type LoadBalancer: how soon it forwards
// and announces, and how much memory it keeps.
import { mkdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Cluster } from '../src/lab/cluster.ts';
import { whenStored, within } from '../src/lab/waiting.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

const SERVICE_COUNT = 100;
const STARTS = 5;
/** Milliseconds after which an agent that has nothing to do counts as idle. */
const IDLE_AFTER = 3_000;
const LIMIT = 30_000;

export async function agent(): Promise<BenchRow[]> {
  const folder = '/run/fairlead-bench';
  mkdirSync(folder);
  const cluster = await Cluster.start({ nodes: 1, podsANode: 1, folder });
  const [node] = cluster.plan.nodes;
  if (!node) throw new Error('the lab has no node');
  try {
    await cluster.startController();
    await createServices(cluster);
    const starts: number[] = [];
    let resident = 0;
    for (let i = 0; i < STARTS; i++) {
      const began = performance.now();
      const { child, stop } = await cluster.startAgent(node);
      starts.push(performance.now() - began);
      if (i === STARTS - 1) {
        await wait(IDLE_AFTER);
        resident = residentMegabytes(child.pid ?? 0);
      }
      await stop();
    }
    const median = quantile(starts, 0.5);
    return [
      {
        name: `agent ready after its start (${SERVICE_COUNT} Services)`,
        value: median,
        unit: 'ms',
        target: '< 1000',
      },
      {
        name: `agent resident memory, idle (${SERVICE_COUNT} Services)`,
        value: resident,
        unit: 'MB',
        target: '< 110',
      },
    ];
  } finally {
    await cluster.close();
  }
}

async function createServices({ api, standIns }: Cluster): Promise<void> {
  const pool = { metadata: { name: 'bench' }, spec: { addresses: ['192.0.2.100-192.0.2.250'] } };
  await api.create(IP_ADDRESS_POOLS, { ...pool, apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool' });
  for (let i = 0; i < SERVICE_COUNT; i++) {
    const name = `web-${i}`;
    await api.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
    const assigned = whenStored(
      standIns.services,
      `default/${name}`,
      ({ status }) => status?.loadBalancer?.ingress?.[0] !== undefined,
    );
    await within(LIMIT, `an address of ${name}`, assigned);
  }
}

/** VmRSS in /proc/PID/status, proc(5). */
function residentMegabytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}
