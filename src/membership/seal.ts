// Seals messages with a key that all members share, so that nobody else can say anything.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeMessage, encodeMessage, LONGEST_MESSAGE, type Message } from './message.ts';

/** "FL", and the version of the protocol: another version is another protocol. */
const MAGIC = Buffer.from([0x46, 0x4c, 1]);
/** Bytes of HMAC-SHA256 that are sent (RFC 2104 §5: half of it at least). */
const TAG = 16;
const LONGEST_PACKET = MAGIC.length + LONGEST_MESSAGE + TAG;

export const REFUSALS = ['not ours', 'oversized', 'wrong key', 'malformed', 'for another'] as const;
export type Refusal = (typeof REFUSALS)[number];

export type Opened =
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'refused'; readonly reason: Refusal };

/** The first seals; each of them opens, so that keys can be changed while members talk. */
export type Keys = readonly [Uint8Array, ...Uint8Array[]];

export function seal(message: Message, [key]: Keys): Uint8Array {
  const body = Buffer.concat([MAGIC, encodeMessage(message)]);
  return Buffer.concat([body, tag(body, key)]);
}

/** `self`: whom the message must be for. */
export function open(packet: Uint8Array, keys: Keys, self: string): Opened {
  if (packet.length > LONGEST_PACKET) return refused('oversized');
  const end = packet.length - TAG;
  if (end <= MAGIC.length || !MAGIC.every((byte, i) => packet[i] === byte)) return refused('not ours');
  const body = packet.subarray(0, end);
  const sent = packet.subarray(end);
  if (!keys.some((key) => timingSafeEqual(tag(body, key), sent))) return refused('wrong key');
  const message = decodeMessage(body.subarray(MAGIC.length));
  if (!message) return refused('malformed');
  return message.to === self ? { kind: 'message', message } : refused('for another');
}

function tag(body: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(body).digest().subarray(0, TAG);
}

function refused(reason: Refusal): Opened {
  return { kind: 'refused', reason };
}
