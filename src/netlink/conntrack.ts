// The kernel's table of connections: finds flows, and deletes those that must not go where they went.
import { type Family, fromBytes, type Ip } from '../net/address.ts';
import type { NetlinkConnection } from './connection.ts';
import { type Message, type MessageBuilder, parseAttributes, viewOf } from './message.ts';

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
type FlowProtocol = keyof typeof PROTOCOLS;

/** One direction of a flow, as its packets are addressed. */
interface FlowDirection {
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Flow {
  /** As the client sends. */
  readonly original: FlowDirection;
  /** As the answers come: from where the flow was sent on to (after DNAT) to where it seemed to come from (after SNAT). */
  readonly reply: FlowDirection;
}

interface TrackedFlow extends Flow {
  /** The attributes that name this flow to the kernel. */
  readonly identity: readonly (readonly [number, Uint8Array])[];
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
    const requests = flows.slice(i, i + DELETED_AT_ONCE).map(({ identity }) => ({
      type: CT_DELETE,
      body(builder: MessageBuilder) {
        writeFamily(builder, selection.family);
        for (const [type, value] of identity) builder.attribute(type, value);
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

/** The flows that match. */
function findFlows(
  connection: NetlinkConnection,
  { protocol, family, matches }: FlowSelection,
): Promise<TrackedFlow[]> {
  const number = PROTOCOLS[protocol];
  return connection.dump(
    { type: CT_GET, body: (builder) => writeFilter(builder, family, number) },
    (message) => {
      const flow = readFlow(message, number);
      return flow && matches(flow) ? flow : undefined;
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

/** A flow of this protocol; undefined for others, and for what has no ports. */
function readFlow({ payload }: Message, protocol: number): TrackedFlow | undefined {
  const attributes = parseAttributes(payload, NFGENMSG);
  const original = readTuple(attributes.get(CTA_TUPLE_ORIG), protocol);
  const reply = readTuple(attributes.get(CTA_TUPLE_REPLY), protocol);
  if (!original || !reply) return undefined;
  const identity: [number, Uint8Array][] = [];
  for (const type of [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE]) {
    const value = attributes.get(type);
    if (value) identity.push([type, value]);
  }
  return { original, reply, identity };
}

function readTuple(tuple: Uint8Array | undefined, protocol: number): FlowDirection | undefined {
  const parts = tuple && parseAttributes(tuple);
  const ip = parts?.get(CTA_TUPLE_IP);
  const proto = parts?.get(CTA_TUPLE_PROTO);
  if (!ip || !proto) return undefined;
  const fields = parseAttributes(proto);
  if (fields.get(CTA_PROTO_NUM)?.[0] !== protocol) return undefined;
  const addresses = parseAttributes(ip);
  const source = addresses.get(CTA_IP_V4_SRC) ?? addresses.get(CTA_IP_V6_SRC);
  const destination = addresses.get(CTA_IP_V4_DST) ?? addresses.get(CTA_IP_V6_DST);
  const sourcePort = readPort(fields.get(CTA_PROTO_SRC_PORT));
  const destinationPort = readPort(fields.get(CTA_PROTO_DST_PORT));
  if (!source || !destination || sourcePort === undefined || destinationPort === undefined) return undefined;
  return { source: fromBytes(source), destination: fromBytes(destination), sourcePort, destinationPort };
}

function readPort(value: Uint8Array | undefined): number | undefined {
  return value?.length === 2 ? viewOf(value).getUint16(0) : undefined;
}
