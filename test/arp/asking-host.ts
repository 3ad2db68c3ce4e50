// A host on a wire that asks for addresses and keeps what it hears.
import { type ArpFrame, buildArp, parseArp } from '../../src/arp/arp-frame.ts';
import {
  type Advertisement,
  buildSolicitation,
  parseNdp,
  type Solicitation,
} from '../../src/arp/ndp-frame.ts';
import { type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import { BROADCAST, type Mac, multicastMac, solicitedNodeGroup, UNSPECIFIED_MAC } from '../../src/net/mac.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket } from '../../src/sockets/packet-socket.ts';

type Heard = ArpFrame | Solicitation | Advertisement;

export const HOST_MAC = '02:00:00:00:00:01' as Mac; // written as one
export const HOST_IPV4 = ip('192.0.2.1') as Ipv4; // written in IPv4
export const HOST_IPV6 = ip('fe80::1') as Ipv6; // written in IPv6

/** As a host on the link asks for an address. */
export function arpRequest(targetIp: Ipv4, changes: Partial<ArpFrame> = {}): Uint8Array {
  const ends = { source: HOST_MAC, destination: BROADCAST };
  const asked = { senderMac: HOST_MAC, senderIp: HOST_IPV4, targetMac: UNSPECIFIED_MAC, targetIp };
  return buildArp({ operation: 'request', ...ends, ...asked, ...changes });
}

export function solicitation(targetIp: Ipv6, changes: Partial<Solicitation> = {}): Uint8Array {
  const group = solicitedNodeGroup(targetIp);
  const ends = { source: HOST_MAC, destination: multicastMac(group) };
  const asked = { senderIp: HOST_IPV6, targetIp, senderMac: HOST_MAC };
  return buildSolicitation({ ...ends, ...asked, ...changes }, group);
}

export class AskingHost {
  readonly #sockets: Readonly<Record<PacketProtocol, PacketSocket>>;
  readonly heard: Heard[] = [];

  constructor(open: OpenPacketSocket) {
    const options = { interfaceName: 'eth0', onError: () => {} };
    const keep = (frame: { kind: 'malformed' } | Heard) => {
      if (frame.kind === 'malformed') throw new Error('a malformed frame was sent');
      this.heard.push(frame);
    };
    this.#sockets = {
      arp: open({ ...options, protocol: 'arp', onFrame: (frame) => keep(parseArp(frame)) }),
      ndp: open({ ...options, protocol: 'ndp', onFrame: (frame) => keep(parseNdp(frame)) }),
    };
  }

  send(protocol: PacketProtocol, frame: Uint8Array): void {
    this.#sockets[protocol].send(frame);
  }

  /** Asks for the address by ARP or by neighbour solicitation, and forgets what was heard before. */
  ask(address: Ipv4 | Ipv6): void {
    this.heard.length = 0;
    if (address.includes(':'))
      this.send('ndp', solicitation(address as Ipv6)); // it has colons
    else this.send('arp', arpRequest(address as Ipv4)); // it has none
  }

  close(): void {
    this.#sockets.arp.close();
    this.#sockets.ndp.close();
  }

  /** Who answered what was asked last, by MAC address. */
  get answers(): Mac[] {
    return this.heard.filter(isAnswer).map(({ source }) => source);
  }
}

function isAnswer(frame: Heard): boolean {
  if (frame.kind === 'arp') return frame.operation === 'reply' && frame.destination === HOST_MAC;
  return frame.kind === 'advertisement' && frame.solicited;
}
