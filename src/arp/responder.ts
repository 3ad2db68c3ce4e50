// One interface's answers: the table of the socket that gives them, the groups that it hears, and what it says unasked.
import { familyOf, type Ip, type Ipv4, type Ipv6 } from '../net/address.ts';
import { type Mac, solicitedNodeGroup } from '../net/mac.ts';
import type {
  AnswerCounts,
  AnsweringSocket,
  OpenAnsweringSocket,
  Refusal,
  SharedDeadline,
} from '../sockets/answering-socket.ts';
import { arpProbe, gratuitousArp, parseArp } from './arp-frame.ts';
import type { EligibleInterface } from './eligible-interfaces.ts';
import { addressCheck, parseNdp, unsolicited } from './ndp-frame.ts';

/** Another host says that it has an address, or asks whether it may have it. */
export interface Claim {
  readonly address: Ip;
  readonly mac: Mac;
}

export interface ResponderOptions {
  readonly open: OpenAnsweringSocket;
  readonly interface: EligibleInterface;
  readonly onClaim: (claim: Claim) => void;
  readonly onError: (error: Error) => void;
}

export class Responder {
  readonly interface: EligibleInterface;
  readonly #socket: AnsweringSocket;
  /** The announced addresses that need each solicited-node group. */
  readonly #groups = new Map<Ipv6, Set<Ip>>();

  /** Opens the socket. Throws what the kernel says, EPERM with the capability that is missing. */
  constructor({ open, interface: where, onClaim, onError }: ResponderOptions) {
    this.interface = where;
    const { name: interfaceName, mac } = where;
    this.#socket = open({
      interfaceName,
      mac,
      onClaim: (frame) => {
        const claim = claimIn(frame);
        if (claim) onClaim(claim);
      },
      onError,
    });
  }

  /** Answers for the address while the time is before `until`: AnsweringSocket.set. */
  answer(address: Ip, until: number | SharedDeadline, refusal: Refusal): void {
    this.#socket.set(address, until, refusal);
  }

  forget(address: Ip): void {
    this.#socket.remove(address);
  }

  /** Joins the group that solicitations for an IPv6 address come to. Throws what the kernel says. */
  join(address: Ip): void {
    if (familyOf(address) === 'IPv4') return;
    const group = solicitedNodeGroup(address);
    const users = this.#groups.get(group) ?? new Set();
    this.#groups.set(group, users.add(address));
    this.#socket.joinGroup(group);
  }

  leave(address: Ip): void {
    if (familyOf(address) === 'IPv4') return;
    const group = solicitedNodeGroup(address);
    const users = this.#groups.get(group);
    if (!users?.delete(address) || users.size > 0) return;
    this.#groups.delete(group);
    this.#socket.leaveGroup(group);
  }

  /** Tells everybody on the link, unasked; how many frames left. */
  announce(address: Ip): number {
    const { mac } = this.interface;
    const isIpv4 = familyOf(address) === 'IPv4';
    const frames = isIpv4 ? gratuitousArp(address as Ipv4, mac) : unsolicited(address as Ipv6, mac); // by its family
    return frames.filter((frame) => this.#socket.announce(address, frame)).length;
  }

  /** Asks everybody on the link whether they have the address, without claiming it. */
  ask(address: Ip): void {
    const { mac } = this.interface;
    const isIpv4 = familyOf(address) === 'IPv4';
    this.send(isIpv4 ? arpProbe(address as Ipv4, mac) : addressCheck(address as Ipv6, mac)); // by its family
  }

  /** Sends a frame that speaks for no address. */
  send(frame: Uint8Array): void {
    try {
      this.#socket.send(frame);
    } catch {
      // ENETDOWN, ENOBUFS: the frame is lost, as frames are.
    }
  }

  counts(): AnswerCounts {
    return this.#socket.counts();
  }

  close(): void {
    this.#socket.close();
  }
}

function claimIn(frame: Uint8Array): Claim | undefined {
  const arp = parseArp(frame);
  if (arp.kind === 'arp') {
    const isCheck = arp.senderIp === '0.0.0.0';
    return { address: isCheck ? arp.targetIp : arp.senderIp, mac: arp.senderMac };
  }
  const heard = parseNdp(frame);
  if (heard.kind === 'malformed') return undefined;
  const told = heard.kind === 'advertisement' ? heard.targetMac : undefined;
  return { address: heard.targetIp, mac: told ?? heard.source };
}
