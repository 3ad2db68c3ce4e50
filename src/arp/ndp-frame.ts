// Neighbour solicitations and advertisements over Ethernet (RFC 4861 §4.3, §4.4), from whole frames and back.
import { fromBytes, type Ipv6, ip, toBytes } from '../net/address.ts';
import { type Mac, macAt, macBytes, multicastMac, solicitedNodeGroup } from '../net/mac.ts';
import type { Malformed } from './frame-drop.ts';

const ETHERNET_HEADER = 14;
const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_HEADER = 40;
const ICMPV6 = 58;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
/** RFC 4861 §7.1: a packet that was forwarded has less, and is not a neighbour's. */
const HOP_LIMIT = 255;
const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
const BODY = ETHERNET_HEADER + IPV6_HEADER;
/** Type, code, checksum, flags, target. */
const FIXED = 24;

const UNSPECIFIED = ip('::') as Ipv6; // written in IPv6
const ALL_NODES = ip('ff02::1') as Ipv6; // written in IPv6
const ALL_ROUTERS = ip('ff02::2') as Ipv6; // written in IPv6

export interface Solicitation {
  readonly kind: 'solicitation';
  readonly source: Mac;
  readonly destination: Mac;
  /** `::` while the asker checks whether it may use the address itself (RFC 4862 §5.4). */
  readonly senderIp: Ipv6;
  readonly targetIp: Ipv6;
  /** Absent in address checks, and in some probes of one neighbour (RFC 4861 §7.2.2). */
  readonly senderMac: Mac | undefined;
}

export interface Advertisement {
  readonly kind: 'advertisement';
  readonly source: Mac;
  readonly destination: Mac;
  readonly senderIp: Ipv6;
  readonly destinationIp: Ipv6;
  readonly targetIp: Ipv6;
  readonly targetMac: Mac | undefined;
  readonly solicited: boolean;
  readonly override: boolean;
}

export function parseNdp(frame: Uint8Array): Solicitation | Advertisement | Malformed {
  if (frame.length < BODY + FIXED) return { kind: 'malformed', reason: 'truncated' };
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const type = frame[BODY];
  const length = view.getUint16(ETHERNET_HEADER + 4);
  if (
    view.getUint16(12) !== ETHERTYPE_IPV6 ||
    frame[ETHERNET_HEADER + 6] !== ICMPV6 ||
    frame[BODY + 1] !== 0
  ) {
    return { kind: 'malformed', reason: 'wrong protocol' };
  }
  if (type !== SOLICITATION && type !== ADVERTISEMENT) return { kind: 'malformed', reason: 'wrong protocol' };
  if (length < FIXED || frame.length < BODY + length) return { kind: 'malformed', reason: 'truncated' };
  if (frame[ETHERNET_HEADER + 7] !== HOP_LIMIT) return { kind: 'malformed', reason: 'bad hop limit' };
  if (checksum(frame, length) !== 0) return { kind: 'malformed', reason: 'bad checksum' };

  const options = frame.subarray(BODY + FIXED, BODY + length);
  if (!areWhole(options)) return { kind: 'malformed', reason: 'bad option' };
  const [destination, source] = [macAt(frame, 0), macAt(frame, 6)];
  const senderIp = addressAt(frame, ETHERNET_HEADER + 8);
  const targetIp = addressAt(frame, BODY + 8);
  if (type === SOLICITATION) {
    const senderMac = linkLayerAddress(options, SOURCE_LINK_LAYER);
    return mayAsk(senderIp, senderMac)
      ? { kind: 'solicitation', source, destination, senderIp, targetIp, senderMac }
      : { kind: 'malformed', reason: 'bad sender' };
  }
  const flags = frame[BODY + 4] ?? 0;
  return {
    kind: 'advertisement',
    source,
    destination,
    senderIp,
    destinationIp: addressAt(frame, ETHERNET_HEADER + 24),
    targetIp,
    targetMac: linkLayerAddress(options, TARGET_LINK_LAYER),
    solicited: (flags & 0x40) !== 0,
    override: (flags & 0x20) !== 0,
  };
}

export function buildAdvertisement(advertisement: Omit<Advertisement, 'kind'>): Uint8Array {
  const { targetMac, solicited, override } = advertisement;
  const length = FIXED + (targetMac === undefined ? 0 : 8);
  const frame = packet(advertisement, advertisement.senderIp, advertisement.destinationIp, length);
  frame[BODY] = ADVERTISEMENT;
  frame[BODY + 4] = (solicited ? 0x40 : 0) | (override ? 0x20 : 0);
  return finished(frame, advertisement.targetIp, TARGET_LINK_LAYER, targetMac, length);
}

export function buildSolicitation(solicitation: Omit<Solicitation, 'kind'>, destinationIp: Ipv6): Uint8Array {
  const length = FIXED + (solicitation.senderMac === undefined ? 0 : 8);
  const frame = packet(solicitation, solicitation.senderIp, destinationIp, length);
  frame[BODY] = SOLICITATION;
  return finished(frame, solicitation.targetIp, SOURCE_LINK_LAYER, solicitation.senderMac, length);
}

/** The answer (RFC 4861 §7.2.4): to the one who asked, or to all nodes where the asker has no address yet. */
export function answerTo(solicitation: Solicitation, mac: Mac): Uint8Array {
  const anonymous = solicitation.senderIp === UNSPECIFIED;
  return buildAdvertisement({
    source: mac,
    destination: anonymous ? multicastMac(ALL_NODES) : (solicitation.senderMac ?? solicitation.source),
    senderIp: solicitation.targetIp,
    destinationIp: anonymous ? ALL_NODES : solicitation.senderIp,
    targetIp: solicitation.targetIp,
    targetMac: mac,
    solicited: !anonymous,
    override: true,
  });
}

/** Unsolicited advertisements (RFC 4861 §7.2.6), and a copy for routers, which may learn from it (RFC 9131 §6.1.2). */
export function unsolicited(address: Ipv6, mac: Mac): Uint8Array[] {
  return [ALL_NODES, ALL_ROUTERS].map((group) =>
    buildAdvertisement({
      source: mac,
      destination: multicastMac(group),
      senderIp: address,
      destinationIp: group,
      targetIp: address,
      targetMac: mac,
      solicited: false,
      override: true,
    }),
  );
}

/** Asks whether anybody has the address (RFC 4862 §5.4.2). */
export function addressCheck(address: Ipv6, mac: Mac): Uint8Array {
  const group = solicitedNodeGroup(address);
  return buildSolicitation(
    {
      source: mac,
      destination: multicastMac(group),
      senderIp: UNSPECIFIED,
      targetIp: address,
      senderMac: undefined,
    },
    group,
  );
}

function packet(ends: { source: Mac; destination: Mac }, from: Ipv6, to: Ipv6, length: number): Uint8Array {
  const frame = new Uint8Array(BODY + length);
  const view = new DataView(frame.buffer);
  frame.set(macBytes(ends.destination), 0);
  frame.set(macBytes(ends.source), 6);
  view.setUint16(12, ETHERTYPE_IPV6);
  frame[ETHERNET_HEADER] = 0x60;
  view.setUint16(ETHERNET_HEADER + 4, length);
  frame[ETHERNET_HEADER + 6] = ICMPV6;
  frame[ETHERNET_HEADER + 7] = HOP_LIMIT;
  frame.set(toBytes(from), ETHERNET_HEADER + 8);
  frame.set(toBytes(to), ETHERNET_HEADER + 24);
  return frame;
}

function finished(
  frame: Uint8Array,
  target: Ipv6,
  option: number,
  mac: Mac | undefined,
  length: number,
): Uint8Array {
  frame.set(toBytes(target), BODY + 8);
  if (mac !== undefined) frame.set([option, 1, ...macBytes(mac)], BODY + FIXED);
  new DataView(frame.buffer).setUint16(BODY + 2, checksum(frame, length));
  return frame;
}

/** RFC 4861 §7.1.1: one without an address has no link-layer address to tell; and a group asks nothing. */
function mayAsk(senderIp: Ipv6, senderMac: Mac | undefined): boolean {
  if (senderIp === UNSPECIFIED) return senderMac === undefined;
  const isGroup = senderMac !== undefined && ((macBytes(senderMac)[0] ?? 0) & 1) !== 0;
  return !senderIp.startsWith('ff') && !isGroup;
}

/** Bytes of the option at `at`, from its length in units of eight. */
function optionSize(options: Uint8Array, at: number): number {
  return (options[at + 1] ?? 0) * 8;
}

/** RFC 4861 §4.6: an option of length zero makes the whole packet invalid. */
function areWhole(options: Uint8Array): boolean {
  let at = 0;
  while (at < options.length && optionSize(options, at) > 0) at += optionSize(options, at);
  return at === options.length;
}

/** Of several options of a kind, the last. */
function linkLayerAddress(options: Uint8Array, kind: number): Mac | undefined {
  let found: Mac | undefined;
  for (let at = 0; at < options.length; at += optionSize(options, at)) {
    if (options[at] === kind && optionSize(options, at) === 8) found = macAt(options, at + 2);
  }
  return found;
}

function addressAt(frame: Uint8Array, offset: number): Ipv6 {
  return fromBytes(frame.subarray(offset, offset + 16)) as Ipv6; // sixteen bytes
}

/** RFC 4443 §2.3: over the pseudo-header and the message. Zero over a message that bears its checksum. */
function checksum(frame: Uint8Array, length: number): number {
  let sum = length + ICMPV6;
  for (let i = ETHERNET_HEADER + 8; i < ETHERNET_HEADER + 40; i += 2)
    sum += ((frame[i] ?? 0) << 8) | (frame[i + 1] ?? 0);
  for (let i = BODY; i < BODY + length; i += 2)
    sum += ((frame[i] ?? 0) << 8) | (i + 1 < BODY + length ? (frame[i + 1] ?? 0) : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
