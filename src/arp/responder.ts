// Answers on one interface: hears requests for addresses, and sends what it is told to send.
import { familyOf, type Ip, type Ipv4, type Ipv6 } from '../net/address.ts';
import { solicitedNodeGroup } from '../net/mac.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket } from '../sockets/packet-socket.ts';
import { arpReply, gratuitousArp, parseArp } from './arp-frame.ts';
import type { EligibleInterface } from './eligible-interfaces.ts';
import type { DropReason } from './frame-drop.ts';
import type { ArpMetrics } from './metrics.ts';
import { answerTo, parseNdp, unsolicited } from './ndp-frame.ts';

export interface ResponderOptions {
  readonly open: OpenPacketSocket;
  readonly interface: EligibleInterface;
  readonly metrics: ArpMetrics;
  /** Asked right before each frame leaves; a reason why this address must not be answered for here, or undefined. */
  readonly refuses: (address: Ip) => DropReason | undefined;
  readonly onError: (error: Error) => void;
}

export class Responder {
  readonly interface: EligibleInterface;
  readonly #options: ResponderOptions;
  readonly #sockets: Readonly<Record<PacketProtocol, PacketSocket>>;
  /** The announced addresses that need each solicited-node group. */
  readonly #groups = new Map<Ipv6, Set<Ip>>();

  /** Opens both sockets. Throws what the kernel says, EPERM with the capability that is missing. */
  constructor(options: ResponderOptions) {
    this.#options = options;
    this.interface = options.interface;
    const arp = this.#open('arp', (frame) => this.#onArp(frame));
    try {
      this.#sockets = { arp, ndp: this.#open('ndp', (frame) => this.#onNdp(frame)) };
    } catch (error) {
      arp.close();
      throw error;
    }
  }

  /** Joins the group that solicitations for an IPv6 address come to. Throws what the kernel says. */
  join(address: Ip): void {
    if (familyOf(address) === 'IPv4') return;
    const group = solicitedNodeGroup(address);
    const users = this.#groups.get(group) ?? new Set();
    this.#groups.set(group, users.add(address));
    this.#sockets.ndp.joinGroup(group);
  }

  leave(address: Ip): void {
    if (familyOf(address) === 'IPv4') return;
    const group = solicitedNodeGroup(address);
    const users = this.#groups.get(group);
    if (!users?.delete(address) || users.size > 0) return;
    this.#groups.delete(group);
    this.#sockets.ndp.leaveGroup(group);
  }

  /** Tells everybody on the link, unasked. */
  announce(address: Ip): void {
    const { mac } = this.interface;
    const isIpv4 = familyOf(address) === 'IPv4';
    const frames = isIpv4 ? gratuitousArp(address as Ipv4, mac) : unsolicited(address as Ipv6, mac); // by its family
    const protocol = isIpv4 ? 'arp' : 'ndp';
    const sent = frames.filter((frame) => this.#send(protocol, address, () => frame)).length;
    this.#options.metrics.gratuitous.inc({ protocol }, sent);
  }

  close(): void {
    this.#sockets.arp.close();
    this.#sockets.ndp.close();
  }

  #open(protocol: PacketProtocol, onFrame: (frame: Uint8Array) => void): PacketSocket {
    const { open, onError } = this.#options;
    return open({ interfaceName: this.interface.name, protocol, onFrame, onError });
  }

  #onArp(frame: Uint8Array): void {
    this.#options.metrics.received.inc({ protocol: 'arp' });
    const heard = parseArp(frame);
    if (heard.kind === 'malformed') this.#drop(heard.reason);
    else if (heard.operation !== 'request') this.#drop('not a request');
    else this.#answer('arp', heard.targetIp, () => arpReply(heard, this.interface.mac));
  }

  #onNdp(frame: Uint8Array): void {
    this.#options.metrics.received.inc({ protocol: 'ndp' });
    const heard = parseNdp(frame);
    if (heard.kind === 'malformed') this.#drop(heard.reason);
    else if (heard.kind !== 'solicitation') this.#drop('not a request');
    else this.#answer('ndp', heard.targetIp, () => answerTo(heard, this.interface.mac));
  }

  #answer(protocol: PacketProtocol, address: Ip, build: () => Uint8Array): void {
    if (this.#send(protocol, address, build)) this.#options.metrics.answered.inc({ protocol });
  }

  #send(protocol: PacketProtocol, address: Ip, build: () => Uint8Array): boolean {
    const refusal = this.#options.refuses(address);
    if (refusal) {
      this.#drop(refusal);
      return false;
    }
    try {
      this.#sockets[protocol].send(build());
      return true;
    } catch {
      // ENETDOWN, ENOBUFS: the frame is lost, as frames are; whoever asked asks again.
      this.#drop('send failed');
      return false;
    }
  }

  #drop(reason: DropReason): void {
    this.#options.metrics.dropped.inc({ reason });
  }
}
