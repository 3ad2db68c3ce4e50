// What a host on the LAN sees of ARP and NDP: who says that an address is where.
import { buildArp, parseArp } from '../arp/arp-frame.ts';
import { parseNdp } from '../arp/ndp-frame.ts';
import { LAN_INTERFACE, macOf, namespacePath } from '../lab/network.ts';
import type { LabHost } from '../lab/plan.ts';
import type { Ip, Ipv4 } from '../net/address.ts';
import { BROADCAST, type Mac, UNSPECIFIED_MAC } from '../net/mac.ts';
import { openPacketSocket } from '../sockets/open-packet-socket.ts';
import type { PacketSocket } from '../sockets/packet-socket.ts';

export interface Sighting {
  readonly address: Ip;
  readonly mac: Mac;
  readonly how: 'ARP reply' | 'gratuitous ARP' | 'neighbour advertisement';
  /** performance.now() when the frame was read. */
  readonly at: number;
}

/** Milliseconds between two questions for an address. */
const ASK_AGAIN = 10;

export class WireObserver {
  readonly sightings: Sighting[] = [];
  readonly #host: LabHost;
  readonly #arp: PacketSocket;
  readonly #ndp: PacketSocket;
  readonly #listeners = new Set<(sighting: Sighting) => void>();
  readonly #asking = new Set<NodeJS.Timeout>();

  /** Listens at the host's own interface: what it shows, the host has heard. */
  constructor(host: LabHost) {
    this.#host = host;
    const place = { interfaceName: LAN_INTERFACE, networkNamespace: namespacePath(host.name) };
    const onError = (error: Error) =>
      console.error(`fairlead lab: the observer went blind: ${error.message}`);
    this.#arp = openPacketSocket({
      ...place,
      protocol: 'arp',
      onFrame: (frame) => this.#onArp(frame),
      onError,
    });
    this.#ndp = openPacketSocket({
      ...place,
      protocol: 'ndp',
      onFrame: (frame) => this.#onNdp(frame),
      onError,
    });
  }

  /** The first sighting that fits, among those there were from the `from`-th on and those to come. */
  first(fits: (sighting: Sighting) => boolean, from = 0): Promise<Sighting> {
    const known = this.sightings.slice(from).find(fits);
    if (known) return Promise.resolve(known);
    return new Promise((resolve) => {
      const listener = (sighting: Sighting) => {
        if (!fits(sighting)) return;
        this.#listeners.delete(listener);
        resolve(sighting);
      };
      this.#listeners.add(listener);
    });
  }

  /** Asks who has the address, as the host, until somebody answers. */
  async whoHas(address: Ipv4): Promise<Sighting> {
    const heard = this.sightings.length;
    const stop = this.keepAsking(address);
    try {
      return await this.first((each) => each.address === address && each.how === 'ARP reply', heard);
    } finally {
      stop();
    }
  }

  /** Asks who has the address, as the host, again and again. Returns the way to stop. */
  keepAsking(address: Ipv4): () => void {
    const mac = macOf(this.#host);
    const request = buildArp({
      operation: 'request',
      destination: BROADCAST,
      source: mac,
      senderMac: mac,
      senderIp: this.#host.addresses[0] as Ipv4, // a lab host's first address is its IPv4 one
      targetMac: UNSPECIFIED_MAC,
      targetIp: address,
    });
    const asking = setInterval(() => this.#arp.send(request), ASK_AGAIN);
    this.#asking.add(asking);
    return () => {
      clearInterval(asking);
      this.#asking.delete(asking);
    };
  }

  close(): void {
    for (const asking of this.#asking) clearInterval(asking);
    this.#arp.close();
    this.#ndp.close();
  }

  #onArp(frame: Uint8Array): void {
    const arp = parseArp(frame);
    if (arp.kind === 'malformed') return;
    const gratuitous = arp.senderIp === arp.targetIp && arp.destination === BROADCAST;
    if (arp.operation === 'request' && !gratuitous) return;
    this.#saw(arp.senderIp, arp.senderMac, gratuitous ? 'gratuitous ARP' : 'ARP reply');
  }

  #onNdp(frame: Uint8Array): void {
    const message = parseNdp(frame);
    if (message.kind !== 'advertisement') return;
    this.#saw(message.targetIp, message.targetMac ?? message.source, 'neighbour advertisement');
  }

  #saw(address: Ip, mac: Mac, how: Sighting['how']): void {
    const sighting = { address, mac, how, at: performance.now() };
    this.sightings.push(sighting);
    for (const listener of [...this.#listeners]) listener(sighting);
  }
}
