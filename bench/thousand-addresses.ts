// The same with a thousand addresses: how long one is not answered for when the node of a third of them loses its
// power, until when the last of them is announced elsewhere; and what an agent costs while nothing happens.
import { mkdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { WireObserver } from '../src/demo/wire-observer.ts';
import type { KubeObject } from '../src/kube/objects.ts';
import { ANNOUNCEMENTS, IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Cluster } from '../src/lab/cluster.ts';
import { cutOff, macOf, plugIn } from '../src/lab/network.ts';
import type { LabNode } from '../src/lab/plan.ts';
import type { Ip } from '../src/net/address.ts';
import type { Mac } from '../src/net/mac.ts';
import { ADDRESS, runs, SETTLE } from './failover.ts';
import { processorTime } from './processor-time.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

const ADDRESSES = 1_000;
const RUNS = 5;
const IDLE_FOR = 10_000;
/** Milliseconds in which announcements are repeated, verified and written: then there is nothing left to do. */
const CALM = 60_000;
const PATIENCE = 120_000;

export async function thousandAddresses(): Promise<BenchRow[]> {
  const folder = '/run/fairlead-thousand';
  mkdirSync(folder);
  const cluster = await Cluster.start({ nodes: 3, podsANode: 1, folder });
  const wire = new WireObserver(cluster.plan.client);
  try {
    await cluster.startController();
    for (const node of cluster.plan.nodes) await cluster.startAgent(node);
    await createServices(cluster);
    const ownersNow = followOwners(wire);
    await until('every address to be announced', () => ownersNow().size >= ADDRESSES);
    await wait(CALM);
    const idle = await idleCost(cluster);
    const stopAsking = wire.keepAsking(ADDRESS);
    const last: number[] = [];
    let moved = Promise.resolve();
    const gaps = await runs(
      cluster,
      wire,
      async (node) => {
        const mac = macOf(node);
        const own = [...ownersNow()].filter(([, owner]) => owner === mac).map(([address]) => address);
        const began = performance.now();
        cutOff(node);
        await cluster.agents.get(node.name)?.stop('SIGKILL');
        moved = until('every address to move', () => {
          const owners = ownersNow();
          return own.every((address) => owners.get(address) !== mac);
        }).then(() => void last.push(performance.now() - began));
      },
      async (node: LabNode) => {
        await moved;
        plugIn(node);
        await cluster.startAgent(node);
        await wait(SETTLE);
      },
      { count: RUNS },
    );
    stopAsking();
    const silent = gaps.map((gap) => gap.silent);
    const name = `power loss at ${ADDRESSES} addresses`;
    return [
      {
        name: `${name}: median without an answer`,
        value: quantile(silent, 0.5),
        unit: 'ms',
        target: '< 600',
      },
      {
        name: `${name}: longest without an answer`,
        value: Math.max(...silent),
        unit: 'ms',
        target: '< 1000',
      },
      {
        name: `${name}: until the last of the node's is announced elsewhere`,
        value: quantile(last, 0.5),
        unit: 'ms',
      },
      {
        name: `${name}: answers of the old owner after the new one`,
        value: gaps.reduce((sum, { late }) => sum + late, 0),
        unit: 'frames',
        target: '0',
      },
      ...idle,
    ];
  } finally {
    wire.close();
    await cluster.close();
  }
}

/** Who spoke for each address last; each call looks at what is new, or the bench would starve what it measures. */
function followOwners({ sightings }: WireObserver): () => ReadonlyMap<Ip, Mac> {
  const owners = new Map<Ip, Mac>();
  let seen = 0;
  return () => {
    for (; seen < sightings.length; seen++) {
      const sighting = sightings[seen];
      if (sighting) owners.set(sighting.address, sighting.mac);
    }
    return owners;
  };
}

async function createServices({ api }: Cluster): Promise<void> {
  const pool = { metadata: { name: 'bench' }, spec: { addresses: [`${ADDRESS}/32`, '198.18.0.0/22'] } };
  await api.create(IP_ADDRESS_POOLS, { ...pool, apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool' });
  for (let i = 0; i < ADDRESSES; i++)
    await api.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `web-${i}`, namespace: 'default' },
      spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
}

/** Of the three agents, the one that costs most; and what was written to objects that tell of addresses. */
async function idleCost(cluster: Cluster): Promise<BenchRow[]> {
  const versions = async () => {
    const pages = [await cluster.api.list(SERVICES, {}), await cluster.api.list(ANNOUNCEMENTS, {})];
    return new Map(
      pages.flatMap(({ items }) =>
        (items as KubeObject[]).map(({ metadata }) => [metadata.uid, metadata.resourceVersion]),
      ),
    );
  };
  const before = await versions();
  const began = new Map(
    [...cluster.agents].map(([name, { child }]) => [name, processorTime(child.pid ?? 0)]),
  );
  await wait(IDLE_FOR);
  const spent = [...cluster.agents].map(
    ([name, { child }]) => processorTime(child.pid ?? 0) - (began.get(name) ?? 0),
  );
  const after = await versions();
  const written = [...after].filter(([uid, version]) => before.get(uid) !== version).length;
  const share = (Math.max(...spent) * 1_000 * 100) / IDLE_FOR;
  return [
    { name: `agent idle at ${ADDRESSES} addresses, of a core`, value: share, unit: '%', target: '< 1' },
    { name: `agents idle at ${ADDRESSES} addresses: objects written`, value: written, unit: '', target: '0' },
  ];
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await wait(10);
  }
}
