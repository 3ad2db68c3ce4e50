// What members say to each other, as bytes: bounded, versioned, without trust in what arrives.
import { fromBytes, type Ip, toBytes } from '../net/address.ts';
import { type Mac, macAt, macBytes } from '../net/mac.ts';
import { parsePrefix } from '../net/range.ts';
import { LONGEST_NAME, MOST_VOTERS, type Roster } from './roster.ts';

/** Claims an address, or gives it back. */
export interface Change {
  readonly address: Ip;
  readonly wants: boolean;
}

/**
 * What a voter thinks of a node: `leaving` says that its agent is about to stop, and still answers for what nobody
 * else asks for; or that it has stopped, and the node lives on as far as anybody knows.
 */
export const NODE_STATES = ['alive', 'leaving', 'dead'] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** An interface that a node can announce on, and the subnets that it has addresses in, such as `192.0.2.0/24`. */
export interface Link {
  readonly name: string;
  readonly subnets: readonly string[];
}

/** Undefined: more than a message carries. */
export type Links = readonly Link[] | undefined;

export interface NodeReport {
  readonly name: string;
  readonly state: NodeState;
  readonly links: Links;
}

/** Tokens and nonces are random 64-bit numbers. */
export type Body =
  /** A holder asks a voter for a session. */
  | { readonly kind: 'hello'; readonly nonce: bigint }
  /** The session's token; it opens with the first beat that carries it. */
  | { readonly kind: 'welcome'; readonly nonce: bigint; readonly token: bigint }
  /** Renews everything that the voter has granted in this session, and brings it from version `base` on by `changes`. */
  | {
      readonly kind: 'beat';
      readonly token: bigint;
      readonly seq: number;
      /** The highest `seq` of which an ack came back: whether the way back works. */
      readonly acked: number;
      readonly leaving: boolean;
      readonly links: Links;
      readonly viewVersion: number;
      readonly base: number;
      readonly changes: readonly Change[];
    }
  | {
      readonly kind: 'ack';
      readonly token: bigint;
      readonly seq: number;
      readonly version: number;
      /** For each change that led to `version`: whether it was granted. */
      readonly results: readonly boolean[];
      /** Milliseconds until the first lease that stood in the way ends. */
      readonly retryAfter: number;
      readonly viewVersion: number;
      readonly view: readonly NodeReport[];
      /** To a holder that is leaving: which of its addresses others ask for. */
      readonly contended: readonly Ip[];
    }
  /** Goes before the ack of beat `seq`, which grants what this node had and gave back a moment ago. */
  | {
      readonly kind: 'former';
      readonly token: bigint;
      readonly seq: number;
      readonly node: string;
      readonly addresses: readonly Ip[];
    }
  /** Something changed that the holder may wait for: it is to beat now. */
  | { readonly kind: 'nudge'; readonly token: bigint; readonly count: number }
  /** The voter knows no such session, or no longer. */
  | { readonly kind: 'refuse'; readonly token: bigint }
  /** To who has a newer roster: asks for it. */
  | { readonly kind: 'behind' }
  | { readonly kind: 'roster'; readonly roster: Roster }
  /** Asks another member to resolve an address on its links. */
  | { readonly kind: 'look'; readonly nonce: bigint; readonly address: Ip }
  /** What it saw: the MACs of other hosts that answer. Not near: it is not on such a link, and knows nothing. */
  | { readonly kind: 'seen'; readonly nonce: bigint; readonly near: boolean; readonly macs: readonly Mac[] };

export interface Message {
  readonly from: string;
  readonly to: string;
  /** Of the sender's roster; 0: it has none. */
  readonly epoch: number;
  readonly body: Body;
}

const KINDS = [
  'hello',
  'welcome',
  'beat',
  'ack',
  'nudge',
  'refuse',
  'behind',
  'roster',
  'look',
  'seen',
  'former',
] as const;

/** Of a whole message, so that with its seal it fits into one frame of 1,280 bytes, the least that IPv6 asks for. */
export const LONGEST_MESSAGE = 1_200;
/** What one beat or ack carries at most, in bytes; the rest follows with the next. */
export const CHANGES_BYTES = 440;
/** Room for a node with the longest name and all its links. */
export const VIEW_BYTES = 420;
/** Of a node's links: five interfaces with a subnet of each family. */
const LINKS_BYTES = 161;
const MANY_LINKS = 0xff;
export const CONTENDED_BYTES = 200;
/** Of addresses that one message names a former holder of. */
export const FORMER_BYTES = 300;
/** What one answer names at most: more hosts than that with one address are no more wrong. */
export const MOST_MACS = 16;
/** Results fit in whatever claims fit: a bit for each, of at least 5 bytes. */

/** As they go over the wire; undefined where that is too much. */
export function portableLinks(links: readonly Link[]): Links {
  return bytesOfLinks(links) <= LINKS_BYTES ? links : undefined;
}

export function bytesOfReport({ name, links }: NodeReport): number {
  return 3 + Buffer.byteLength(name) + bytesOfLinks(links);
}

function bytesOfLinks(links: Links = []): number {
  const bytes = ({ name, subnets }: Link) =>
    4 + Buffer.byteLength(name) + subnets.reduce((sum, each) => sum + (each.includes(':') ? 18 : 6), 0);
  return links.reduce((sum, link) => sum + bytes(link), 1);
}

export function bytesOf(address: Ip): number {
  return address.includes(':') ? 17 : 5;
}

/** Whether a roster can be passed on; one with names so long that it cannot comes from the API server alone. */
export function isPortable({ voters }: Roster): boolean {
  const bytes = voters.reduce((sum, { id, host }) => sum + 4 + Buffer.byteLength(id) + bytesOf(host), 6);
  return bytes <= LONGEST_MESSAGE - (1 + 4 + 2 * (2 + LONGEST_NAME));
}

/** Throws RangeError for what does not fit: callers keep to the bounds above. */
export function encodeMessage({ from, to, epoch, body }: Message): Uint8Array {
  const writer = new Writer();
  writer.u8(KINDS.indexOf(body.kind));
  writer.text(from);
  writer.text(to);
  writer.u32(epoch);
  switch (body.kind) {
    case 'hello':
      writer.u64(body.nonce);
      break;
    case 'welcome':
      writer.u64(body.nonce);
      writer.u64(body.token);
      break;
    case 'beat':
      writer.u64(body.token);
      writer.u32(body.seq);
      writer.u32(body.acked);
      writer.u8(body.leaving ? 1 : 0);
      writer.links(body.links);
      writer.u32(body.viewVersion);
      writer.u32(body.base);
      writer.list(body.changes, ({ address, wants }) => writer.address(address, wants));
      break;
    case 'ack':
      writer.u64(body.token);
      writer.u32(body.seq);
      writer.u32(body.version);
      writer.bits(body.results);
      writer.u16(body.retryAfter);
      writer.u32(body.viewVersion);
      writer.list(body.view, ({ name, state, links }) => {
        writer.text(name);
        writer.u8(NODE_STATES.indexOf(state));
        writer.links(links);
      });
      writer.list(body.contended, (address) => writer.address(address, true));
      break;
    case 'nudge':
      writer.u64(body.token);
      writer.u32(body.count);
      break;
    case 'refuse':
      writer.u64(body.token);
      break;
    case 'behind':
      break;
    case 'roster':
      writer.u32(body.roster.epoch);
      writer.list(body.roster.voters, ({ id, host, port }) => {
        writer.text(id);
        writer.address(host, true);
        writer.u16(port);
      });
      break;
    case 'look':
      writer.u64(body.nonce);
      writer.address(body.address, true);
      break;
    case 'seen':
      writer.u64(body.nonce);
      writer.u8(body.near ? 1 : 0);
      writer.list(body.macs, (mac) => writer.mac(mac));
      break;
    case 'former':
      writer.u64(body.token);
      writer.u32(body.seq);
      writer.text(body.node);
      writer.list(body.addresses, (address) => writer.address(address, true));
  }
  return writer.bytes();
}

/** Undefined for anything that `encodeMessage` does not write. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  if (bytes.length > LONGEST_MESSAGE) return undefined;
  const reader = new Reader(bytes);
  try {
    const kind = reader.oneOf(KINDS);
    const header = { from: reader.text(), to: reader.text(), epoch: reader.u32() };
    const body = readBody(kind, reader);
    return reader.atEnd ? { ...header, body } : undefined;
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return undefined; // past the end; not UTF-8
    throw error;
  }
}

function readBody(kind: Body['kind'], reader: Reader): Body {
  switch (kind) {
    case 'hello':
      return { kind, nonce: reader.u64() };
    case 'welcome':
      return { kind, nonce: reader.u64(), token: reader.u64() };
    case 'beat':
      return {
        kind,
        token: reader.u64(),
        seq: reader.u32(),
        acked: reader.u32(),
        leaving: reader.flag(),
        links: reader.links(),
        viewVersion: reader.u32(),
        base: reader.u32(),
        changes: reader.list(() => reader.address()),
      };
    case 'ack':
      return {
        kind,
        token: reader.u64(),
        seq: reader.u32(),
        version: reader.u32(),
        results: reader.bits(),
        retryAfter: reader.u16(),
        viewVersion: reader.u32(),
        view: reader.list(() => ({
          name: reader.text(),
          state: reader.oneOf(NODE_STATES),
          links: reader.links(),
        })),
        contended: reader.list(() => reader.address().address),
      };
    case 'nudge':
      return { kind, token: reader.u64(), count: reader.u32() };
    case 'refuse':
      return { kind, token: reader.u64() };
    case 'behind':
      return { kind };
    case 'look':
      return { kind, nonce: reader.u64(), address: reader.address().address };
    case 'seen': {
      const answer = {
        kind,
        nonce: reader.u64(),
        near: reader.flag(),
        macs: reader.list(() => reader.mac()),
      };
      if (answer.macs.length > MOST_MACS) throw new RangeError('too many MACs');
      return answer;
    }
    case 'former':
      return {
        kind,
        token: reader.u64(),
        seq: reader.u32(),
        node: reader.text(),
        addresses: reader.list(() => reader.address().address),
      };
    case 'roster': {
      const epoch = reader.u32();
      const voters = reader.list(() => ({
        id: reader.text(),
        host: reader.address().address,
        port: reader.u16(),
      }));
      const ids = new Set(voters.map(({ id }) => id));
      if (epoch === 0 || voters.length === 0 || voters.length > MOST_VOTERS || ids.size < voters.length)
        throw new RangeError('no roster');
      return { kind, roster: { epoch, voters } };
    }
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** One for all, since a buffer of its own for each message costs more than the rest of the writing. */
const WRITTEN = Buffer.alloc(LONGEST_MESSAGE);

class Writer {
  readonly #buffer = WRITTEN;
  #at = 0;

  u8(value: number): void {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
  }

  u16(value: number): void {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  u64(value: bigint): void {
    this.#at = this.#buffer.writeBigUInt64BE(value, this.#at);
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    if (length > LONGEST_NAME) throw new RangeError(`a name of ${length} bytes`);
    this.u16(length);
    if (this.#at + length > LONGEST_MESSAGE) throw new RangeError('a message too long');
    this.#at += this.#buffer.write(value, this.#at);
  }

  address(address: Ip, flag: boolean): void {
    const bytes = toBytes(address);
    this.u8((flag ? 0x80 : 0) | bytes.length);
    if (this.#at + bytes.length > LONGEST_MESSAGE) throw new RangeError('a message too long');
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  links(links: Links): void {
    this.u8(links?.length ?? MANY_LINKS);
    for (const { name, subnets } of links ?? []) {
      this.text(name);
      this.list(subnets, (subnet) => {
        const [address = '', length = ''] = subnet.split('/');
        this.address(address as Ip, true); // as the kernel, or parsePrefix, has it
        this.u8(Number(length));
      });
    }
  }

  mac(mac: Mac): void {
    if (this.#at + 6 > LONGEST_MESSAGE) throw new RangeError('a message too long');
    this.#buffer.set(macBytes(mac), this.#at);
    this.#at += 6;
  }

  bits(values: readonly boolean[]): void {
    this.u16(values.length);
    for (let i = 0; i < values.length; i += 8) {
      let byte = 0;
      for (let j = 0; j < 8; j++) if (values[i + j]) byte |= 1 << j;
      this.u8(byte);
    }
  }

  list<T>(values: readonly T[], write: (value: T) => void): void {
    this.u16(values.length);
    for (const value of values) write(value);
  }

  bytes(): Uint8Array {
    return Buffer.from(this.#buffer.subarray(0, this.#at));
  }
}

/** Every method throws RangeError for what is not there, or is not as it must be. */
class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#buffer.length;
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#step(1));
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#step(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#step(4));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#step(8));
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw new RangeError(`a flag of ${value}`);
    return value === 1;
  }

  oneOf<T>(values: readonly T[]): T {
    const value = values[this.u8()];
    if (value === undefined) throw new RangeError('an unknown kind');
    return value;
  }

  text(): string {
    const length = this.u16();
    if (length === 0 || length > LONGEST_NAME) throw new RangeError('a name of no proper length');
    const from = this.#step(length);
    return UTF8.decode(this.#buffer.subarray(from, from + length));
  }

  address(): Change {
    const head = this.u8();
    const length = head & 0x7f;
    const from = this.#step(length);
    return { address: fromBytes(this.#buffer.subarray(from, from + length)), wants: head >= 0x80 };
  }

  links(): Links {
    const count = this.u8();
    if (count === MANY_LINKS) return undefined;
    return Array.from({ length: count }, () => ({
      name: this.text(),
      subnets: this.list(() => {
        const subnet = `${this.address().address}/${this.u8()}`;
        if (parsePrefix(subnet).kind === 'malformed') throw new RangeError('no subnet');
        return subnet;
      }),
    }));
  }

  mac(): Mac {
    return macAt(this.#buffer, this.#step(6));
  }

  bits(): boolean[] {
    const length = this.u16();
    const bytes = Math.ceil(length / 8);
    const from = this.#step(bytes);
    const values = Array.from(
      { length },
      (_, i) => ((this.#buffer[from + (i >> 3)] ?? 0) & (1 << (i & 7))) !== 0,
    );
    const rest = length % 8;
    if (rest > 0 && (this.#buffer[from + bytes - 1] ?? 0) >> rest !== 0)
      throw new RangeError('bits after the end');
    return values;
  }

  list<T>(read: () => T): T[] {
    const length = this.u16();
    // Each takes a byte at least: no list is longer than what is left.
    if (length > this.#buffer.length - this.#at) throw new RangeError('a list past the end');
    return Array.from({ length }, read);
  }

  #step(length: number): number {
    const from = this.#at;
    if (from + length > this.#buffer.length) throw new RangeError('past the end');
    this.#at += length;
    return from;
  }
}
