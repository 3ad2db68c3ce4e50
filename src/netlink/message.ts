// Netlink messages (linux/netlink.h): a header and attributes. Headers are in the machine's byte order, and
// every machine that we run on (x86-64, arm64) is little-endian.
import { endianness } from 'node:os';

if (endianness() !== 'LE') throw new Error('fairlead runs on little-endian machines only');

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const HEADER = 16;
const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;
/** linux/netlink.h NLMSGERR_ATTR_MSG */
const EXTENDED_ACK_TEXT = 1;
/** An attribute's length is a 16-bit number, header included. */
const MAX_ATTRIBUTE = 0xffff;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The netlink port whose request it answers, or who made the change that it tells of; 0: the kernel's own. */
  readonly port: number;
  /** What follows the netlink header: the family's own header, then attributes. */
  readonly payload: Uint8Array;
}

/** Writes messages one after another into one growing buffer. */
export class MessageBuilder {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;
  #start = 0;

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  begin(type: number, flags: number, sequence: number): this {
    this.#start = this.#length;
    this.#reserve(HEADER);
    this.#view.setUint16(this.#start + 4, type, true);
    this.#view.setUint16(this.#start + 6, flags, true);
    this.#view.setUint32(this.#start + 8, sequence, true);
    this.#length += HEADER;
    return this;
  }

  /** Completes the message that `begin` started. */
  end(): this {
    this.#view.setUint32(this.#start, this.#length - this.#start, true);
    return this;
  }

  /** Fixed bytes right behind the header, such as an nfgenmsg; padded to four. */
  raw(bytes: Uint8Array | readonly number[]): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += align(bytes.length);
    return this;
  }

  attribute(type: number, value: Uint8Array | readonly number[]): this {
    this.#attributeHeader(type, value.length);
    this.#bytes.set(value, this.#length);
    this.#length += align(value.length);
    return this;
  }

  u8(type: number, value: number): this {
    this.#attributeHeader(type, 1);
    this.#view.setUint8(this.#length, value);
    this.#length += 4;
    return this;
  }

  u16be(type: number, value: number): this {
    this.#attributeHeader(type, 2);
    this.#view.setUint16(this.#length, value);
    this.#length += 4;
    return this;
  }

  u32(type: number, value: number): this {
    this.#attributeHeader(type, 4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  u32be(type: number, value: number): this {
    this.#attributeHeader(type, 4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
    return this;
  }

  u64be(type: number, value: bigint): this {
    this.#attributeHeader(type, 8);
    this.#view.setBigUint64(this.#length, value);
    this.#length += 8;
    return this;
  }

  /** A C string: the bytes and a terminating zero. Names are ASCII. */
  string(type: number, text: string): this {
    this.#attributeHeader(type, text.length + 1);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length + i] = text.charCodeAt(i);
    this.#length += align(text.length + 1);
    return this;
  }

  /** Bytes given as a string, one character a byte. */
  bytesOf(type: number, text: string): this {
    this.#attributeHeader(type, text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length + i] = text.charCodeAt(i);
    this.#length += align(text.length);
    return this;
  }

  /** Opens a nested attribute; `close` takes what it returns. Throws RangeError there when it grew beyond 65,535 bytes. */
  open(type: number): number {
    const at = this.#length;
    this.#attributeHeader(type | NLA_F_NESTED, 0);
    return at;
  }

  close(at: number): this {
    this.#view.setUint16(at, fitting(this.#length - at), true);
    return this;
  }

  /** Everything written so far; a view that the next write may invalidate. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #attributeHeader(type: number, valueLength: number): void {
    this.#reserve(4 + valueLength);
    this.#view.setUint16(this.#length, fitting(4 + valueLength), true);
    this.#view.setUint16(this.#length + 2, type, true);
    this.#length += 4;
  }

  /** Room for `more` bytes and their padding, which is zero because nothing was ever written there. */
  #reserve(more: number): void {
    const needed = this.#length + align(more);
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** The whole messages in a datagram; what is cut off or impossible at its end is left out. */
export function parseMessages(datagram: Uint8Array): Message[] {
  const view = viewOf(datagram);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > datagram.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      payload: datagram.subarray(at + HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** Calls `visit` for each attribute in `bytes` from `from`; what is cut off or impossible ends it. */
export function eachAttribute(
  bytes: Uint8Array,
  from: number,
  visit: (type: number, value: Uint8Array) => void,
): void {
  const view = viewOf(bytes);
  for (let at = from; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) return;
    visit(view.getUint16(at + 2, true) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
}

/** The attributes in `bytes` from `from`, by type; of several with one type the last. */
export function parseAttributes(bytes: Uint8Array, from = 0): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  eachAttribute(bytes, from, (type, value) => attributes.set(type, value));
  return attributes;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A C string's text, up to its first zero. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}

export interface Acknowledgement {
  /** 0, or the positive errno. */
  readonly errno: number;
  /** The kernel's own words, where it has any. */
  readonly text: string;
}

/**
 * Reads how a request ended: an NLMSG_ERROR (struct nlmsgerr, which echoes the request or its header alone) or
 * the NLMSG_DONE of a dump (an int); behind either, with NETLINK_EXT_ACK, attributes.
 */
export function parseAcknowledgement({ type, flags, payload }: Message): Acknowledgement {
  if (payload.length < 4) return { errno: 0, text: '' };
  const view = viewOf(payload);
  const errno = Math.max(0, -view.getInt32(0, true));
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, text: '' };
  const text = parseAttributes(payload, 4 + echoedLength(type, flags, view)).get(EXTENDED_ACK_TEXT);
  return { errno, text: text ? textOf(text) : '' };
}

function echoedLength(type: number, flags: number, view: DataView): number {
  if (type === NLMSG_DONE) return 0;
  if ((flags & NLM_F_CAPPED) !== 0 || view.byteLength < 8) return HEADER;
  return align(Math.min(view.getUint32(4, true), view.byteLength));
}

function fitting(length: number): number {
  if (length > MAX_ATTRIBUTE)
    throw new RangeError(`an attribute of ${length} bytes is too long: ${MAX_ATTRIBUTE} at most`);
  return length;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
