// A lab with Fairlead running in it, for whole-system tests: what happens is seen from the client on the LAN.
import { mkdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { expect } from 'vitest';
import { WireObserver } from '../../src/demo/wire-observer.ts';
import { KubeError, type Resource } from '../../src/kube/kube-api.ts';
import { ANNOUNCEMENTS } from '../../src/kube/resources.ts';
import { userOf } from '../../src/lab/accounts.ts';
import { Cluster } from '../../src/lab/cluster.ts';
import { macOf, removeNetwork } from '../../src/lab/network.ts';
import type { LabNode } from '../../src/lab/plan.ts';
import { type PodAnswer, parsePodAnswer } from '../../src/lab/pod-answer.ts';
import type { Reply, Requester, Target } from '../../src/lab/requester.ts';
import { within } from '../../src/lab/waiting.ts';
import { type Ip, type Ipv4, ip } from '../../src/net/address.ts';
import type { Mac } from '../../src/net/mac.ts';
import { type AnnouncementObject, announcementName } from '../../src/status/announcement.ts';
import { AuditLog } from '../cluster/audit-log.ts';
import { addressesOf, Cluster as Objects } from '../commands/cluster.ts';
import { IS_REAL } from './apiserver/running-server.ts';

/** The lab runs once on each API server (the tests' project "real"), one after the other. */
export const FOLDER = `/run/fairlead-test${IS_REAL ? '-real' : ''}`;
/** Milliseconds; only a test that fails waits so long. */
export const DEADLINE = 15_000;
const POLL = 20;

export class RunningLab {
  readonly cluster: Cluster;
  readonly objects: Objects;
  readonly wire: WireObserver;
  readonly client: Requester;
  readonly pod: Requester;

  private constructor(cluster: Cluster, client: Requester, pod: Requester) {
    this.cluster = cluster;
    this.objects = new Objects(cluster.api);
    this.wire = new WireObserver(cluster.plan.client);
    this.client = client;
    this.pod = pod;
  }

  static async start(): Promise<RunningLab> {
    mkdirSync(FOLDER);
    const cluster = await Cluster.start({
      nodes: 3,
      podsANode: 1,
      folder: FOLDER,
      apiServer: IS_REAL ? 'real' : 'embedded',
    });
    const { plan } = cluster;
    const [client, pod] = await Promise.all([
      cluster.requesterIn(plan.client.name),
      cluster.requesterIn(plan.nodes[0]?.pods[0]?.name ?? ''),
      cluster.startController(),
      ...plan.nodes.map((node) => cluster.startAgent(node)),
    ]);
    const lab = new RunningLab(cluster, client, pod);
    await Promise.all(plan.nodes.map((node) => cluster.takesPart(node)));
    return lab;
  }

  async close(): Promise<void> {
    this.wire.close();
    await this.objects.close();
    await this.cluster.close();
    removeNetwork(this.cluster.plan);
    // The accounts are held to deploy/rbac by the real server alone.
    const denied = new AuditLog(`${FOLDER}/kubernetes/audit.log`).deniedTo([
      userOf('controller'),
      userOf('agent'),
    ]);
    expect(denied).toEqual([]);
  }

  node(name: string): LabNode {
    const node = this.cluster.plan.nodes.find((each) => each.name === name);
    if (!node) throw new Error(`the lab has no node ${name}`);
    return node;
  }

  /** The node that answers after `before`. */
  async otherOwner(address: Ipv4, before: LabNode): Promise<LabNode> {
    const mac = macOf(before);
    const other = await within(
      DEADLINE,
      `another node for ${address}`,
      this.wire.first((each) => each.address === address && each.mac !== mac, this.wire.sightings.length),
    );
    return this.#nodeOf(other.mac);
  }

  /** Asks for the address every 10 ms, from the first answer on; tells who answered, one after the other. */
  async watchAnswers(address: Ipv4): Promise<{ stop(): Mac[] }> {
    const from = this.wire.sightings.length;
    const stop = this.wire.keepAsking(address);
    await this.wire.first((each) => each.address === address, from);
    return {
      stop: () => {
        stop();
        const macs = this.wire.sightings
          .slice(from)
          .filter((each) => each.address === address)
          .map(({ mac }) => mac);
        return macs.filter((mac, i) => mac !== macs[i - 1]);
      },
    };
  }

  /** A dual-stack Service for the lab's pods, on TCP and UDP port 80; its addresses, IPv4 first. */
  async createWeb(name: string, spec: object = {}): Promise<[ipv4: Ipv4, ipv6: string]> {
    await this.objects.createService(name, {
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'web' },
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'http' },
        { name: 'udp', protocol: 'UDP', port: 80, targetPort: 'http' },
      ],
      ...spec,
    });
    const service = await this.objects.service(name, (each) => addressesOf(each).length === 2);
    const [ipv4 = '', ipv6 = ''] = addressesOf(service);
    return [ip(ipv4) as Ipv4, ipv6];
  }

  /** What is said of the address, once it is so. */
  async announcement(
    address: Ip,
    isSo: (announcement: AnnouncementObject) => boolean,
  ): Promise<AnnouncementObject> {
    const seen = await until(
      () => this.#announcement(address),
      (each) => each !== undefined && isSo(each),
    );
    if (!seen) throw new Error('unreachable: the test above says so');
    return seen;
  }

  /** Resolves once nothing is said of the address any more. */
  async noAnnouncement(address: Ip): Promise<void> {
    await until(
      () => this.#announcement(address),
      (each) => each === undefined,
    );
  }

  async #announcement(address: Ip): Promise<AnnouncementObject | undefined> {
    const resource = ANNOUNCEMENTS as Resource<AnnouncementObject>; // our own kind: its schema holds it
    try {
      return await this.cluster.api.get(resource, { name: announcementName(address) });
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The one node that answers ARP for the address. */
  async ownerOf(address: Ipv4): Promise<LabNode> {
    const { mac } = await this.wire.whoHas(address);
    return this.#nodeOf(mac);
  }

  #nodeOf(mac: Mac): LabNode {
    const node = this.cluster.plan.nodes.find((each) => macOf(each) === mac);
    if (!node) throw new Error(`${mac} is no node's`);
    return node;
  }

  /** The first answer from a pod; what fails meanwhile is tried again. */
  async answer(from: Requester, to: Partial<Target> & { host: string }): Promise<PodAnswer> {
    const reply = await until(
      () => from.ask(http(to)),
      ({ kind }) => kind === 'answered',
    );
    return parsePodAnswer(reply.kind === 'answered' ? reply.text : '');
  }

  /** Resolves once requests to the address fail. */
  async silence(host: string): Promise<Reply> {
    return until(
      () => this.client.ask(http({ host, timeout: 2_000 })),
      ({ kind }) => kind === 'failed',
    );
  }

  logOf(name: string): { msg: string; address?: string }[] {
    const lines = readFileSync(`${FOLDER}/${name}.log`, 'utf8').trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line));
  }
}

/** Asks for the address all the time. */
export function startTraffic(from: Requester, host: string): { stop(): Promise<Reply[]> } {
  const replies: Reply[] = [];
  let stopped = false;
  const run = async () => {
    while (!stopped) replies.push(await from.ask(http({ host })));
  };
  const ended = run();
  return {
    async stop() {
      stopped = true;
      await ended;
      return replies;
    },
  };
}

export function http(to: Partial<Target> & { host: string }): Target {
  return { protocol: 'http', port: 80, timeout: 5_000, ...to };
}

/** Looks again and again until it is so; rejects with what it saw last. */
export async function until<T>(look: () => T | Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const end = performance.now() + DEADLINE;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > end) throw new Error(`it did not become so: ${JSON.stringify(seen)}`);
    await wait(POLL);
  }
}
