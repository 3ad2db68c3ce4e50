// The kernel's table of connections: finds flows, and deletes those that must not go where they went.
import { type Family, fromBytes, type Ip } from '../net/address.ts';
import type { NetlinkConnection } from './connection.ts';
import { type Message, type MessageBuilder, NLA_TYPE_MASK } from './message.ts';

// linux/netfilter/nfnetlink_conntrack.h
const SUBSYSTEM = 1;
const CT_GET = (SUBSYSTEM << 8) | 1;
const CT_DELETE = (SUBSYSTEM << 8) | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
/** Not in the header: bit of the protocol number in CTA_FILTER_ORIG_FLAGS (net/netfilter/nf_internals.h). */
const FILTER_PROTOCOL = 1 << 3;

/** Flows that are deleted by one datagram. */
const DELETED_AT_ONCE = 200;

const NFGENMSG = 4;
const FAMILIES = { IPv4: 2, IPv6: 10 } as const;

/** IP protocol numbers. */
const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export type FlowProtocol = keyof typeof PROTOCOLS;

export interface Flow {
  /** As the client sends. */
  readonly original: { readonly destination: Ip; readonly destinationPort: number };
  /** As the answers come: from where the flow was sent on to (after DNAT). */
  readonly reply: { readonly source: Ip; readonly sourcePort: number };
}

interface FlowSelection {
  readonly protocol: FlowProtocol;
  readonly family: Family;
  readonly matches: (flow: Flow) => boolean;
}

/**
 * Deletes the flows that match, and returns how many there were. Their next packet is looked at as a new flow's.
 * `connection` is one to NETLINK_NETFILTER. Rejects with NetlinkError (EPERM without CAP_NET_ADMIN).
 */
export async function deleteFlows(connection: NetlinkConnection, selection: FlowSelection): Promise<number> {
  const flows = await findFlows(connection, selection);
  let deleted = 0;
  for (let i = 0; i < flows.length; i += DELETED_AT_ONCE) {
    const requests = flows.slice(i, i + DELETED_AT_ONCE).map((identity) => ({
      type: CT_DELETE,
      body(builder: MessageBuilder) {
        writeFamily(builder, selection.family);
        builder.raw(identity);
      },
    }));
    for (const error of await connection.requestEach(requests)) {
      // ENOENT: it ended by itself meanwhile.
      if (error && error.code !== 'ENOENT') throw error;
      if (!error) deleted++;
    }
  }
  return deleted;
}

/** The flows that match, by the attributes that name them to the kernel. */
function findFlows(
  connection: NetlinkConnection,
  { protocol, family, matches }: FlowSelection,
): Promise<Uint8Array[]> {
  const number = PROTOCOLS[protocol];
  return connection.dump(
    { type: CT_GET, body: (builder) => writeFilter(builder, family, number) },
    (message) => {
      const flow = readFlow(message, number);
      return flow && matches(flow) ? identityOf(message) : undefined;
    },
  );
}

/** Kernels before 5.8 do not know the filter, and answer with every protocol. */
function writeFilter(builder: MessageBuilder, family: Family, protocol: number): void {
  writeFamily(builder, family);
  const tuple = builder.open(CTA_TUPLE_ORIG);
  const nest = builder.open(CTA_TUPLE_PROTO);
  builder.u8(CTA_PROTO_NUM, protocol).close(nest).close(tuple);
  const filter = builder.open(CTA_FILTER);
  builder.u32(CTA_FILTER_ORIG_FLAGS, FILTER_PROTOCOL).close(filter);
}

function writeFamily(builder: MessageBuilder, family: Family): void {
  builder.raw([FAMILIES[family], 0, 0, 0]);
}

/**
 * A flow of this protocol; undefined for others, and for what has no ports. Read in place: there may be hundreds of
 * thousands, and nothing else of the agent runs meanwhile.
 */
function readFlow({ payload }: Message, protocol: number): Flow | undefined {
  const original = find(payload, NFGENMSG, payload.length, CTA_TUPLE_ORIG);
  const reply = find(payload, NFGENMSG, payload.length, CTA_TUPLE_REPLY);
  const to = original && readEnd(payload, original, protocol, 'destination');
  const from = to && reply && readEnd(payload, reply, protocol, 'source');
  if (!from) return undefined;
  return {
    original: { destination: to.address, destinationPort: to.port },
    reply: { source: from.address, sourcePort: from.port },
  };
}

/**
 * As attributes with their headers. A copy out of a pool: the message's buffer, which holds a hundred others, is not to
 * be kept for each of a hundred thousand flows.
 */
function identityOf({ payload }: Message): Uint8Array {
  const parts = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE].flatMap((type) => {
    const part = find(payload, NFGENMSG, payload.length, type);
    return part ? [{ type, ...part }] : [];
  });
  const identity = Buffer.allocUnsafe(
    parts.reduce((sum, { from, to }) => sum + 4 + ((to - from + 3) & ~3), 0),
  ).fill(0);
  let at = 0;
  for (const { type, from, to } of parts) {
    identity.writeUInt16LE(4 + to - from, at);
    identity.writeUInt16LE(type, at + 2);
    identity.set(payload.subarray(from, to), at + 4);
    at += 4 + ((to - from + 3) & ~3);
  }
  return identity;
}

/** Where an attribute's value is. */
interface Part {
  readonly from: number;
  readonly to: number;
}

/** The attribute of this type between two offsets; what is cut off or impossible ends the search. */
function find(bytes: Uint8Array, from: number, to: number, wanted: number): Part | undefined {
  for (let at = from; at + 4 <= to; ) {
    const length = u16(bytes, at);
    if (length < 4 || at + length > to) return undefined;
    if ((u16(bytes, at + 2) & NLA_TYPE_MASK) === wanted) return { from: at + 4, to: at + length };
    at += (length + 3) & ~3;
  }
  return undefined;
}

function readEnd(bytes: Uint8Array, tuple: Part, protocol: number, end: 'source' | 'destination') {
  const proto = find(bytes, tuple.from, tuple.to, CTA_TUPLE_PROTO);
  const ip = proto && find(bytes, tuple.from, tuple.to, CTA_TUPLE_IP);
  if (!ip) return undefined;
  const number = find(bytes, proto.from, proto.to, CTA_PROTO_NUM);
  if (!number || bytes[number.from] !== protocol) return undefined;
  const [v4, v6, portType] =
    end === 'source'
      ? [CTA_IP_V4_SRC, CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT]
      : [CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_DST_PORT];
  const address = find(bytes, ip.from, ip.to, v4) ?? find(bytes, ip.from, ip.to, v6);
  const port = find(bytes, proto.from, proto.to, portType);
  const length = address && address.to - address.from;
  if ((length !== 4 && length !== 16) || port?.to !== (port?.from ?? 0) + 2) return undefined;
  return {
    address: fromBytes(bytes.subarray(address?.from, address?.to)),
    port: ((bytes[port.from] ?? 0) << 8) | (bytes[port.from + 1] ?? 0),
  };
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}
