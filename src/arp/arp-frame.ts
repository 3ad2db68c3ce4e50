// ARP over Ethernet (RFC 826, RFC 5227), from whole frames to values and back.
import { fromBytes, type Ipv4, ip, toBytes } from '../net/address.ts';
import { BROADCAST, type Mac, macAt, macBytes, UNSPECIFIED_MAC } from '../net/mac.ts';
import type { Malformed } from './frame-drop.ts';

const ETHERNET_HEADER = 14;
const ETHERTYPE_ARP = 0x0806;
const ARP_BODY = 28;
/** Ethernet's shortest frame, without its check sum. */
const SHORTEST_FRAME = 60;
const NOBODY = ip('0.0.0.0') as Ipv4; // written in IPv4

export interface ArpFrame {
  readonly kind: 'arp';
  readonly operation: 'request' | 'reply';
  /** Of the Ethernet header. */
  readonly source: Mac;
  readonly destination: Mac;
  readonly senderMac: Mac;
  /** 0.0.0.0 in a probe (RFC 5227 §1.1). */
  readonly senderIp: Ipv4;
  readonly targetMac: Mac;
  readonly targetIp: Ipv4;
}

export function parseArp(frame: Uint8Array): ArpFrame | Malformed {
  if (frame.length < ETHERNET_HEADER + ARP_BODY) return { kind: 'malformed', reason: 'truncated' };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const at = ETHERNET_HEADER;
  const operation = view.getUint16(at + 6);
  const isArp =
    view.getUint16(12) === ETHERTYPE_ARP &&
    view.getUint16(at) === 1 && // Ethernet
    view.getUint16(at + 2) === 0x0800 && // IPv4
    frame[at + 4] === 6 &&
    frame[at + 5] === 4;
  if (!isArp || (operation !== 1 && operation !== 2)) return { kind: 'malformed', reason: 'wrong protocol' };
  // The answer goes to the sender: to a group's address, which has the lowest bit set, it would go to many.
  if (((frame[at + 8] ?? 0) & 1) !== 0) return { kind: 'malformed', reason: 'bad sender' };
  return {
    kind: 'arp',
    operation: operation === 1 ? 'request' : 'reply',
    destination: macAt(frame, 0),
    source: macAt(frame, 6),
    senderMac: macAt(frame, at + 8),
    senderIp: fromBytes(frame.subarray(at + 14, at + 18)) as Ipv4, // four bytes
    targetMac: macAt(frame, at + 18),
    targetIp: fromBytes(frame.subarray(at + 24, at + 28)) as Ipv4, // four bytes
  };
}

export function buildArp(frame: Omit<ArpFrame, 'kind'>): Uint8Array {
  const bytes = new Uint8Array(SHORTEST_FRAME);
  const view = new DataView(bytes.buffer);
  const at = ETHERNET_HEADER;
  bytes.set(macBytes(frame.destination), 0);
  bytes.set(macBytes(frame.source), 6);
  view.setUint16(12, ETHERTYPE_ARP);
  view.setUint16(at, 1);
  view.setUint16(at + 2, 0x0800);
  bytes[at + 4] = 6;
  bytes[at + 5] = 4;
  view.setUint16(at + 6, frame.operation === 'request' ? 1 : 2);
  bytes.set(macBytes(frame.senderMac), at + 8);
  bytes.set(toBytes(frame.senderIp), at + 14);
  bytes.set(macBytes(frame.targetMac), at + 18);
  bytes.set(toBytes(frame.targetIp), at + 24);
  return bytes;
}

/** The answer to a request, to the one who asked. */
export function arpReply(request: ArpFrame, mac: Mac): Uint8Array {
  return buildArp({
    operation: 'reply',
    destination: request.senderMac,
    source: mac,
    senderMac: mac,
    senderIp: request.targetIp,
    targetMac: request.senderMac,
    targetIp: request.senderIp,
  });
}

/** Both forms of a gratuitous ARP (RFC 5227 §3, RFC 5944 §4.6): some gear updates its cache on one of them only. */
export function gratuitousArp(address: Ipv4, mac: Mac): Uint8Array[] {
  const both = { destination: BROADCAST, source: mac, senderMac: mac, senderIp: address, targetIp: address };
  return [
    buildArp({ ...both, operation: 'request', targetMac: UNSPECIFIED_MAC }),
    buildArp({ ...both, operation: 'reply', targetMac: mac }),
  ];
}

/** Asks whether anybody has the address, without touching any cache (RFC 5227 §1.1, §2.1.1). */
export function arpProbe(address: Ipv4, mac: Mac): Uint8Array {
  return buildArp({
    operation: 'request',
    destination: BROADCAST,
    source: mac,
    senderMac: mac,
    senderIp: NOBODY,
    targetMac: UNSPECIFIED_MAC,
    targetIp: address,
  });
}
