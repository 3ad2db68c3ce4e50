// The steps of the demonstration: each does one thing, watches what comes of it, and reports it or throws.
import { IP_ADDRESS_POOLS, SERVICES } from '../kube/resources.ts';
import type { Cluster } from '../lab/cluster.ts';
import { cutOff, macOf } from '../lab/network.ts';
import { APP } from '../lab/objects.ts';
import { type LabNode, POOL_ADDRESSES } from '../lab/plan.ts';
import type { Requester } from '../lab/requester.ts';
import { whenStored, within } from '../lab/waiting.ts';
import { type Ipv4, type Ipv6, ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import { createUntil } from './create-until.ts';
import type { Reporter } from './report.ts';
import { answerOf, http, STEADY, told, untilAnswered, untilSteady } from './traffic.ts';
import type { WireObserver } from './wire-observer.ts';

export interface Stage {
  readonly cluster: Cluster;
  readonly client: Requester;
  readonly pod: Requester;
  readonly wire: WireObserver;
  readonly reporter: Reporter;
}

/** The Service of the demonstration. */
export interface Shown {
  readonly addresses: readonly [ipv4: Ipv4, ipv6: Ipv6];
  readonly clusterIp: string;
  readonly nodePort: number;
  /** performance.now() when its creation was asked for. */
  readonly created: number;
}

const POOL = 'lan';
export const SERVICE = { namespace: 'default', name: 'web' } as const;
const SERVICE_KEY = 'default/web';
const PORT = 80;
/** Milliseconds: what takes longer has failed. */
const LIMIT = 10_000;

export async function createPool({ cluster, reporter }: Stage): Promise<void> {
  const spec = { addresses: POOL_ADDRESSES };
  const milliseconds = await createUntil(cluster.api, IP_ADDRESS_POOLS, POOL, spec, 'Valid', LIMIT);
  reporter.step({
    name: 'pool',
    what: `pool "${POOL}" with ${POOL_ADDRESSES.join(' and ')} is valid`,
    observed: { pool: POOL, addresses: POOL_ADDRESSES },
    milliseconds,
  });
}

export async function createService({ cluster, reporter }: Stage): Promise<Shown> {
  const created = performance.now();
  await cluster.api.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: SERVICE,
    spec: {
      type: 'LoadBalancer',
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: APP },
      ports: [
        { name: 'http', protocol: 'TCP', port: PORT, targetPort: 'http' },
        { name: 'udp', protocol: 'UDP', port: PORT, targetPort: 'http' },
      ],
    },
  });
  const assigned = whenStored(
    cluster.standIns.services,
    SERVICE_KEY,
    ({ status }) => (status?.loadBalancer?.ingress ?? []).length === 2,
  );
  const { spec, status } = await within(LIMIT, 'an address of each family in the status', assigned);
  const milliseconds = performance.now() - created;
  const texts = (status?.loadBalancer?.ingress ?? []).map(({ ip: text = '' }) => text);
  const [ipv4 = '', ipv6 = ''] = texts;
  reporter.step({
    name: 'assigned',
    what: `Service ${SERVICE_KEY} has ${texts.join(' and ')}, after its creation`,
    observed: { addresses: texts },
    milliseconds,
  });
  const nodePort = spec.ports?.[0]?.nodePort ?? 0;
  const addresses = [ip(ipv4), ip(ipv6)] as [Ipv4, Ipv6]; // in the order of the Service's families
  return { addresses, clusterIp: spec.clusterIP ?? '', nodePort, created };
}

/** Over IPv4 and IPv6: somebody answers for the address on the link, and a pod through it. Returns who does for IPv4. */
export async function firstAnswers(stage: Stage, { addresses, created }: Shown): Promise<LabNode> {
  const { reporter, wire, cluster, client } = stage;
  const [ipv4, ipv6] = addresses;
  const answered = untilAnswered(client, http(ipv4));
  const arp = await within(LIMIT, `an ARP reply for ${ipv4}`, wire.whoHas(ipv4));
  const owner = nodeWith(cluster, arp.mac);
  reporter.step({
    name: 'arp',
    what: `ARP: ${owner.name} answers that ${ipv4} is at ${arp.mac}, after the creation`,
    observed: { address: ipv4, mac: arp.mac, node: owner.name },
    milliseconds: arp.at - created,
  });
  const first = await within(LIMIT, `an HTTP answer from ${ipv4}`, answered);
  reporter.step({
    name: 'http',
    what: `HTTP: ${ipv4} answers from ${told(first.answer)}, after the creation`,
    observed: { ...first.answer },
    milliseconds: first.at - created,
  });
  const overIpv6 = await within(LIMIT, `an HTTP answer from ${ipv6}`, untilAnswered(client, http(ipv6)));
  const advertised = wire.first(({ address }) => address === ipv6);
  const ndp = await within(LIMIT, `a neighbour advertisement for ${ipv6}`, advertised);
  const announcer = nodeWith(cluster, ndp.mac).name;
  reporter.step({
    name: 'ipv6',
    what: `NDP and HTTP: ${announcer} advertises ${ipv6}; it answers from ${told(overIpv6.answer)}`,
    observed: { address: ipv6, mac: ndp.mac, announcer, ...overIpv6.answer },
    milliseconds: overIpv6.at - created,
  });
  return owner;
}

export async function spread(stage: Stage, { addresses }: Shown): Promise<void> {
  const began = performance.now();
  const nodes = new Map<string, number>();
  for (let i = 0; i < 30; i++) {
    const { node } = answerOf(await stage.client.ask(http(addresses[0])), addresses[0]);
    nodes.set(node, (nodes.get(node) ?? 0) + 1);
  }
  if (nodes.size < 2) throw new Error(`all answers came from pods on ${[...nodes.keys()].join()}`);
  const counts = Object.fromEntries([...nodes].sort());
  const text = Object.entries(counts).map(([node, count]) => `${node} ${count}`);
  stage.reporter.step({
    name: 'spread',
    what: `30 connections: pods on ${text.join(', ')} answered`,
    observed: { answers: counts },
    milliseconds: performance.now() - began,
  });
}

/** The other ways to the same pods. */
export async function otherFrontends(stage: Stage, { addresses, clusterIp, nodePort }: Shown): Promise<void> {
  const [{ addresses: nodeAddresses } = { addresses: [''] }] = stage.cluster.plan.nodes;
  const ways = [
    { name: 'udp', by: stage.client, to: { ...http(addresses[0]), protocol: 'udp' } },
    { name: 'cluster-ip', by: stage.pod, to: http(clusterIp) },
    { name: 'node-port', by: stage.client, to: http(nodeAddresses[0], nodePort) },
  ] as const;
  for (const { name, by, to } of ways) {
    const began = performance.now();
    const { answer } = await within(
      LIMIT,
      `an answer from ${to.host} port ${to.port}`,
      untilAnswered(by, to),
    );
    const from = by === stage.client ? 'the client' : 'a pod';
    stage.reporter.step({
      name,
      what: `${to.protocol.toUpperCase()} from ${from} to ${to.host} port ${to.port}: ${told(answer)} answers`,
      observed: { ...answer },
      milliseconds: performance.now() - began,
    });
  }
}

/** Cuts the owner off the LAN and watches the address move; until then nobody but the owner may have answered. */
export async function failover(stage: Stage, { addresses }: Shown, owner: LabNode): Promise<void> {
  const { wire, reporter, cluster, client } = stage;
  const [address] = addresses;
  const claimants = new Set(wire.sightings.filter((each) => each.address === address).map(({ mac }) => mac));
  if (claimants.size !== 1) throw new Error(`${claimants.size} nodes said that ${address} is theirs`);
  const ownerMac = macOf(owner);
  reporter.progress('waiting for the agents to agree, by leases, who announces');
  const agreed = Promise.all(cluster.plan.nodes.map((node) => cluster.takesPart(node)));
  await within(3 * LIMIT, 'a majority of the voters at each agent', agreed);
  cutOff(owner);
  const cut = performance.now();
  reporter.progress(`cut ${owner.name} off the LAN; waiting for another node to take over`);
  const other = wire.first(({ address: is, mac, at }) => is === address && mac !== ownerMac && at > cut);
  const steady = untilSteady(client, http(address), owner);
  const taken = await within(3 * LIMIT, `another node to announce ${address}`, other);
  const heir = nodeWith(cluster, taken.mac);
  reporter.step({
    name: 'moved',
    what: `${owner.name} is cut off the LAN: ${heir.name} announces ${address} (${taken.how})`,
    observed: { from: owner.name, to: heir.name, mac: taken.mac },
    milliseconds: taken.at - cut,
  });
  const resumed = await within(3 * LIMIT, `${STEADY} answers in a row from ${address}`, steady);
  reporter.step({
    name: 'resumed',
    what: `traffic goes on: the first of ${STEADY} answers without a failure, after the cut`,
    observed: { pods: resumed.pods },
    milliseconds: resumed.at - cut,
  });
}

/** Deletes the Service: nobody answers for its address any more. */
export async function release(stage: Stage, { addresses }: Shown): Promise<void> {
  const { cluster, client, reporter } = stage;
  const began = performance.now();
  await cluster.api.delete(SERVICES, SERVICE);
  const gone = async () => {
    while ((await client.ask(http(addresses[0]))).kind === 'answered');
  };
  await within(LIMIT, `silence at ${addresses[0]}`, gone());
  reporter.step({
    name: 'released',
    what: `the Service is deleted: ${addresses[0]} answers no more`,
    observed: { address: addresses[0] },
    milliseconds: performance.now() - began,
  });
}

function nodeWith({ plan }: Cluster, mac: Mac): LabNode {
  const node = plan.nodes.find((each) => macOf(each) === mac);
  if (!node) throw new Error(`${mac} answers, and is no node's`);
  return node;
}
