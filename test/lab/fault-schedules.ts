// Random faults on real processes, while a host on the LAN asks for an address every 5 ms: who answers each question?
import { execFileSync } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { buildArp, parseArp } from '../../src/arp/arp-frame.ts';
import { buildSolicitation, parseNdp } from '../../src/arp/ndp-frame.ts';
import { cutOff, LAN_INTERFACE, macOf, namespacePath, plugIn } from '../../src/lab/network.ts';
import type { LabHost, LabNode } from '../../src/lab/plan.ts';
import { fromBigInt, type Ip, type Ipv4, type Ipv6, ip, toBigInt } from '../../src/net/address.ts';
import { BROADCAST, type Mac, multicastMac, solicitedNodeGroup, UNSPECIFIED_MAC } from '../../src/net/mac.ts';
import { openPacketSocket } from '../../src/sockets/open-packet-socket.ts';
import type { PacketSocket } from '../../src/sockets/packet-socket.ts';
import type { RunningLab } from './running-lab.ts';

/** Milliseconds between two questions. */
const ASK_AGAIN = 5;
/** Milliseconds in which the faults of a schedule begin, and the longest that one lasts. */
const BEGIN_WITHIN = 600;
const LASTS = 1_200;
/** From where each question comes, so that its answers are known: nobody is there. */
const ASKERS = { IPv4: ip('198.18.0.0'), IPv6: ip('2001:db8:0:0:5::') };
const MOST_QUESTIONS = 60_000;

const FAULTS = ['pause', 'pull cable', 'kill', 'stop', 'isolate', 'deafen', 'mute'] as const;

export interface Fault {
  readonly kind: (typeof FAULTS)[number];
  readonly node: number;
  readonly after: number;
  readonly lasts: number;
}

/** One to three faults on nodes of `nodes`; the same for the same seed. */
export function scheduleOf(seed: number, nodes: number): Fault[] {
  const random = randomFrom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  return Array.from({ length: 1 + below(3) }, () => ({
    kind: FAULTS[below(FAULTS.length)] ?? 'pause',
    node: below(nodes),
    after: below(BEGIN_WITHIN),
    lasts: 20 + below(LASTS),
  }));
}

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Does the faults to the lab, and undoes them. What one process suffers begins when it has recovered from the last. */
export async function suffer(lab: RunningLab, faults: readonly Fault[]): Promise<void> {
  const nodes = lab.cluster.plan.nodes;
  const turns = new Map<LabNode, Promise<void>>();
  const all = faults.map(async ({ kind, node: index, after, lasts }) => {
    const node = nodes[index];
    if (!node) throw new Error(`there is no node ${index}`);
    await wait(after);
    const turn = (turns.get(node) ?? Promise.resolve()).then(() => strike(lab, node, kind, lasts));
    turns.set(node, turn);
    await turn;
  });
  await Promise.all(all);
}

async function strike(lab: RunningLab, node: LabNode, kind: Fault['kind'], lasts: number): Promise<void> {
  const agent = lab.cluster.agents.get(node.name);
  const [address] = node.addresses;
  switch (kind) {
    case 'pause':
      agent?.child.kill('SIGSTOP');
      await wait(lasts);
      agent?.child.kill('SIGCONT');
      return;
    case 'pull cable':
      cutOff(node);
      await wait(lasts);
      plugIn(node);
      return;
    case 'kill':
    case 'stop':
      await agent?.stop(kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
      await lab.cluster.startAgent(node);
      return;
    case 'isolate':
      return without([`ip saddr ${address}`, `ip daddr ${address}`], lasts);
    case 'deafen':
      return without([`ip daddr ${address}`], lasts);
    case 'mute':
      return without([`ip saddr ${address}`], lasts);
  }
}

let tables = 0;

/** For a while the LAN's bridge drops what agents say to each other, as far as it matches; clients notice nothing. */
async function without(matches: readonly string[], lasts: number): Promise<void> {
  const table = `bridge fairlead-faults-${++tables}`;
  nft([
    `add table ${table}`,
    `add chain ${table} forward { type filter hook forward priority 0; }`,
    ...matches.map((match) => `add rule ${table} forward ${match} udp dport 9123 drop`),
  ]);
  await wait(lasts);
  nft([`delete table ${table}`]);
}

function nft(lines: readonly string[]): void {
  execFileSync('nft', ['-f', '-'], { input: lines.join('\n') });
}

/** Asks for addresses, each time as somebody else, and tells which nodes answered each question. */
export class Questions {
  readonly #mac: Mac;
  readonly #arp: PacketSocket;
  readonly #ndp: PacketSocket;
  readonly #addresses: readonly Ip[];
  readonly #timer: NodeJS.Timeout;
  readonly #answers = new Map<Ip, Set<Mac>>();
  #asked = 0;

  constructor(client: LabHost, addresses: readonly Ip[]) {
    this.#mac = macOf(client);
    this.#addresses = addresses;
    const place = { interfaceName: LAN_INTERFACE, networkNamespace: namespacePath(client.name) };
    const onError = (error: Error) => {
      throw error;
    };
    this.#arp = openPacketSocket({
      ...place,
      protocol: 'arp',
      onError,
      onFrame: (frame) => {
        const arp = parseArp(frame);
        if (arp.kind === 'arp' && arp.operation === 'reply') this.#heard(arp.targetIp, arp.senderMac);
      },
    });
    this.#ndp = openPacketSocket({
      ...place,
      protocol: 'ndp',
      onError,
      onFrame: (frame) => {
        const said = parseNdp(frame);
        if (said.kind === 'advertisement') this.#heard(said.destinationIp, said.targetMac ?? said.source);
      },
    });
    this.#timer = setInterval(() => this.#ask(), ASK_AGAIN);
  }

  get answered(): number {
    return this.#answers.size;
  }

  /** Questions that more than one node answered, by who asked. */
  get answeredTwice(): [Ip, Mac[]][] {
    return [...this.#answers].flatMap(([asker, macs]) =>
      macs.size > 1 ? [[asker, [...macs]] as [Ip, Mac[]]] : [],
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.#arp.close();
    this.#ndp.close();
  }

  #heard(asker: Ip, mac: Mac): void {
    const base = toBigInt(asker.includes(':') ? ASKERS.IPv6 : ASKERS.IPv4);
    const number = toBigInt(asker) - base;
    if (number < 0n || number > BigInt(MOST_QUESTIONS)) return;
    this.#answers.set(asker, (this.#answers.get(asker) ?? new Set()).add(mac));
  }

  #ask(): void {
    if (++this.#asked > MOST_QUESTIONS) throw new Error('a schedule that takes too long');
    for (const address of this.#addresses) {
      const isIpv4 = !address.includes(':');
      const family = isIpv4 ? 'IPv4' : 'IPv6';
      const asker = fromBigInt(family, toBigInt(ASKERS[family]) + BigInt(this.#asked));
      if (isIpv4)
        this.#arp.send(request(address as Ipv4, asker as Ipv4, this.#mac)); // by its family
      else this.#ndp.send(solicitation(address as Ipv6, asker as Ipv6, this.#mac)); // by its family
    }
  }
}

function request(targetIp: Ipv4, senderIp: Ipv4, mac: Mac): Uint8Array {
  const ends = { source: mac, destination: BROADCAST, senderMac: mac, targetMac: UNSPECIFIED_MAC };
  return buildArp({ operation: 'request', ...ends, senderIp, targetIp });
}

function solicitation(targetIp: Ipv6, senderIp: Ipv6, mac: Mac): Uint8Array {
  const group = solicitedNodeGroup(targetIp);
  const ends = { source: mac, destination: multicastMac(group), senderMac: mac };
  return buildSolicitation({ ...ends, senderIp, targetIp }, group);
}
