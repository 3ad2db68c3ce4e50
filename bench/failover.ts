// How long an address is not answered for when its owner fails: ARP asked for every 10 ms from a host on the LAN,
// three nodes, one agent each. Beside are the ends of the range that
// MetalLB was measured to have, in the same way.
import { mkdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { type Sighting, WireObserver } from '../src/demo/wire-observer.ts';
import { IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Cluster } from '../src/lab/cluster.ts';
import { cutOff, macOf, plugIn } from '../src/lab/network.ts';
import type { LabNode } from '../src/lab/plan.ts';
import { whenStored, within } from '../src/lab/waiting.ts';
import { type Ipv4, ip } from '../src/net/address.ts';
import { SecondLan } from '../test/lab/second-lan.ts';
import type { BenchRow } from './row.ts';

export const ADDRESS = ip('192.0.2.200') as Ipv4; // written in IPv4
const RUNS = 10;
const LIMIT = 30_000;
/** Milliseconds in which a node that returned finds its place again, and would take back what it had. */
export const SETTLE = 2_500;

type Fault = (node: LabNode) => Promise<unknown>;

export async function failover(): Promise<BenchRow[]> {
  const folder = '/run/fairlead-failover';
  mkdirSync(folder);
  const cluster = await Cluster.start({ nodes: 3, podsANode: 1, folder });
  const wire = new WireObserver(cluster.plan.client);
  const stop = (signal: NodeJS.Signals) => async (node: LabNode) =>
    cluster.agents.get(node.name)?.stop(signal);
  try {
    await cluster.startController();
    for (const node of cluster.plan.nodes) await cluster.startAgent(node);
    await createService(cluster, 'web', ADDRESS);
    const stopAsking = wire.keepAsking(ADDRESS);
    await wait(2 * SETTLE);
    const restart = (node: LabNode) => cluster.startAgent(node);
    const measured = [
      {
        what: 'power loss (link and process)',
        metallb: [5_000, 5_900],
        target: [600, 1_000],
        gaps: await runs(
          cluster,
          wire,
          async (node) => {
            cutOff(node);
            await stop('SIGKILL')(node);
          },
          (node) => {
            plugIn(node);
            return restart(node);
          },
        ),
      },
      {
        what: 'agent killed',
        metallb: [5_200, 7_300],
        target: [600, 1_000],
        gaps: await runs(cluster, wire, stop('SIGKILL'), restart),
      },
      {
        what: 'link lost, agent alive',
        metallb: [5_100, 7_000],
        target: [600, 1_000],
        gaps: await runs(
          cluster,
          wire,
          async (node) => cutOff(node),
          async (node) => plugIn(node),
        ),
      },
      {
        what: 'clean stop',
        metallb: [59, 162],
        target: [50, 50],
        gaps: await runs(cluster, wire, stop('SIGTERM'), restart),
      },
    ];
    stopAsking();
    measured.push(await carrierLoss(cluster));
    return measured.flatMap(({ what, metallb, target, gaps }) => {
      const sorted = gaps.map(({ silent }) => silent).sort((a, b) => a - b);
      const of = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
      const row = (name: string, value: number, limit = 0, other = 0) => ({
        name: `${what}: ${name} without an answer`,
        value,
        unit: 'ms',
        target: `< ${limit}`,
        alternative: { name: `MetalLB, ${name === 'median' ? 'shortest' : 'longest'}`, value: other },
      });
      return [
        row('median', of(0.5), target[0], metallb[0]),
        row('longest', of(1), target[1], metallb[1]),
        {
          name: `${what}: answers of the old owner after the new one`,
          value: gaps.reduce((sum, { late }) => sum + late, 0),
          unit: 'frames',
          target: '0',
        },
      ];
    });
  } finally {
    wire.close();
    await cluster.close();
  }
}

/** An address on a LAN of its own, where the owner's interface loses its carrier: it is heard on the other one. */
async function carrierLoss(cluster: Cluster) {
  const lan = new SecondLan(cluster.plan.nodes);
  const wire = new WireObserver(lan.client);
  const address = ip('203.0.113.200') as Ipv4; // written in IPv4
  try {
    await createService(cluster, 'second', address);
    const stopAsking = wire.keepAsking(address);
    await wait(2 * SETTLE);
    const gaps = await runs(
      cluster,
      wire,
      async (node) => lan.setCarrier(node, false),
      async (node) => lan.setCarrier(node, true),
      { address, macOf: (node) => lan.macOf(node) },
    );
    stopAsking();
    return {
      what: 'carrier lost, on an interface of its own',
      metallb: [5_100, 7_000],
      target: [300, 300],
      gaps,
    };
  } finally {
    wire.close();
    lan.remove();
  }
}

/** Makes the owner fail, again and again: how long nobody answered, and how often the old owner did after the new one. */
export async function runs(
  cluster: Cluster,
  wire: WireObserver,
  fault: Fault,
  mend: Fault,
  { address = ADDRESS, macOf: macOfNode = macOf as (node: LabNode) => string, count = RUNS } = {},
) {
  const isAnswer = (each: Sighting) => each.address === address;
  const gaps: { silent: number; late: number }[] = [];
  for (let i = 0; i < count; i++) {
    const { mac } = await wire.first((each) => isAnswer(each), wire.sightings.length);
    const owner = cluster.plan.nodes.find((node) => macOfNode(node) === mac);
    if (!owner) throw new Error(`${mac} is no node's`);
    const from = wire.sightings.length;
    const done = fault(owner);
    const next = await within(
      LIMIT,
      'another owner',
      wire.first((each) => isAnswer(each) && each.mac !== mac, from),
    );
    const last = wire.sightings
      .filter((each) => isAnswer(each) && each.mac === mac && each.at < next.at)
      .at(-1);
    await done;
    await mend(owner);
    await wait(SETTLE);
    const late = wire.sightings.filter(
      (each) => isAnswer(each) && each.mac === mac && each.at > next.at,
    ).length;
    gaps.push({ silent: next.at - (last?.at ?? next.at), late });
  }
  return gaps;
}

async function createService({ api, standIns }: Cluster, name: string, address: Ipv4): Promise<void> {
  const kind = { apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool' };
  await api.create(IP_ADDRESS_POOLS, {
    ...kind,
    metadata: { name },
    spec: { addresses: [`${address}/32`] },
  } as never);
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
  await within(LIMIT, 'an address', assigned);
}
