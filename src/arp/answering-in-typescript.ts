// An AnsweringSocket over packet sockets, in TypeScript: on a virtual wire it stands in for the addon's thread, and on
// a real one it is what that thread is measured and checked against.
import type { Clock } from '../clock/clock.ts';
import { type Ip, type Ipv4, ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import {
  ANSWER_COUNTS,
  type AnswerCounts,
  type DropReason,
  type OpenAnsweringSocket,
  type Refusal,
  type SharedDeadline,
} from '../sockets/answering-socket.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket } from '../sockets/packet-socket.ts';
import { arpReply, parseArp } from './arp-frame.ts';
import type { Malformed } from './frame-drop.ts';
import { answerTo, parseNdp } from './ndp-frame.ts';

/** Milliseconds: native/answering.c. */
const ADDRESS_WINDOW = 15;
const NOBODY = ip('0.0.0.0') as Ipv4; // written in IPv4

interface Entry {
  readonly until: number | SharedDeadline;
  readonly refusal: Refusal;
  told: number;
}

/** What a frame asks, and what its sender says of itself. */
interface Heard {
  readonly kind: 'heard';
  readonly asks?: Ip;
  readonly isCheck?: boolean;
  readonly claims?: Ip;
  readonly claimant: Mac;
  readonly answer?: () => Uint8Array;
}

export function answeringInTypeScript(open: OpenPacketSocket, clock: Clock): OpenAnsweringSocket {
  return ({ interfaceName, mac, networkNamespace, onClaim, onError }) => {
    const entries = new Map<Ip, Entry>();
    const counts = Object.fromEntries(ANSWER_COUNTS.map((name) => [name, 0])) as {
      -readonly [name in keyof AnswerCounts]: number;
    };
    const where = networkNamespace === undefined ? { interfaceName } : { interfaceName, networkNamespace };
    const close = () => {
      arp.close();
      ndp.close();
    };
    const fail = (error: Error) => {
      if (broken) return;
      broken = true;
      close();
      onError(error);
    };
    let broken = false;

    const refusalOf = (address: Ip): DropReason | undefined => {
      const entry = entries.get(address);
      if (!entry) return 'not our address';
      return lasts(entry.until, clock) ? undefined : entry.refusal;
    };
    const tell = (address: Ip, frame: Uint8Array) => {
      const entry = entries.get(address);
      if (!entry || clock.now() < entry.told + ADDRESS_WINDOW) return;
      entry.told = clock.now();
      onClaim(frame);
    };
    const attempt = (socket: PacketSocket, frame: Uint8Array): boolean => {
      try {
        socket.send(frame);
        return true;
      } catch {
        counts['send failed']++;
        return false;
      }
    };
    const onFrame = (protocol: PacketProtocol, socket: PacketSocket, frame: Uint8Array) => {
      counts[`received ${protocol}`]++;
      const heard = protocol === 'arp' ? hearArp(frame, mac) : hearNdp(frame, mac);
      if (heard.kind === 'malformed') return void counts[heard.reason]++;
      const foreign = heard.claimant !== mac;
      if (heard.claims && foreign) tell(heard.claims, frame);
      if (!heard.asks || !heard.answer) return void counts['not a request']++;
      const refusal = refusalOf(heard.asks);
      if (refusal) {
        counts[refusal]++;
        if (heard.isCheck && foreign) tell(heard.asks, frame);
      } else if (attempt(socket, heard.answer())) counts[`answered ${protocol}`]++;
    };
    const listen = (protocol: PacketProtocol): PacketSocket => {
      const socket: PacketSocket = open({
        ...where,
        protocol,
        onFrame: (frame) => onFrame(protocol, socket, frame),
        onError: fail,
      });
      return socket;
    };
    const arp = listen('arp');
    let ndp: PacketSocket;
    try {
      ndp = listen('ndp');
    } catch (error) {
      arp.close();
      throw error;
    }
    const socketFor = (frame: Uint8Array) => (frame[12] === 0x08 && frame[13] === 0x06 ? arp : ndp);
    return {
      set: (address, until, refusal) => {
        const told = entries.get(address)?.told ?? Number.NEGATIVE_INFINITY;
        entries.set(address, { until, refusal, told });
      },
      remove: (address) => void entries.delete(address),
      announce: (address, frame) => {
        const refusal = refusalOf(address);
        if (!refusal) return attempt(socketFor(frame), frame);
        counts[refusal]++;
        return false;
      },
      send: (frame) => socketFor(frame).send(frame),
      joinGroup: (group) => ndp.joinGroup(group),
      leaveGroup: (group) => ndp.leaveGroup(group),
      counts: () => ({ ...counts }),
      close,
    };
  };
}

function lasts(until: number | SharedDeadline, clock: Clock): boolean {
  if (typeof until === 'number') return clock.now() < until;
  return process.hrtime.bigint() < Atomics.load(until.cells, until.index);
}

function hearArp(frame: Uint8Array, mac: Mac): Heard | Malformed {
  const heard = parseArp(frame);
  if (heard.kind === 'malformed') return heard;
  const isCheck = heard.senderIp === NOBODY;
  const said = { ...(isCheck ? {} : { claims: heard.senderIp }), claimant: heard.senderMac };
  if (heard.operation === 'reply') return { kind: 'heard', ...said };
  return { kind: 'heard', ...said, asks: heard.targetIp, isCheck, answer: () => arpReply(heard, mac) };
}

function hearNdp(frame: Uint8Array, mac: Mac): Heard | Malformed {
  const heard = parseNdp(frame);
  if (heard.kind === 'malformed') return heard;
  if (heard.kind === 'advertisement')
    return { kind: 'heard', claims: heard.targetIp, claimant: heard.targetMac ?? heard.source };
  return {
    kind: 'heard',
    claimant: heard.source,
    asks: heard.targetIp,
    isCheck: heard.senderIp === '::',
    answer: () => answerTo(heard, mac),
  };
}
