// Seals messages with a key that all members share, so that nobody else can say anything.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeMessage, encodeMessage, LONGEST_MESSAGE, type Message } from './message.ts';

/** "FL", and the version of the protocol: another version is another protocol. */
const MAGIC = Buffer.from([0x46, 0x4c, 1]);
/** Bytes of HMAC-SHA256 that are sent (RFC 2104 §5: half of it at least). */
const TAG = 16;
/** Bytes before each message: how long it is. */
const LENGTH = 2;
const LONGEST_PACKET = MAGIC.length + LENGTH + LONGEST_MESSAGE + TAG;

export const REFUSALS = ['not ours', 'oversized', 'wrong key', 'malformed', 'for another'] as const;
export type Refusal = (typeof REFUSALS)[number];

export type Opened =
  | { readonly kind: 'messages'; readonly messages: readonly Message[] }
  | { readonly kind: 'refused'; readonly reason: Refusal };

/** The first seals; each of them opens, so that keys can be changed while members talk. */
export type Keys = readonly [Uint8Array, ...Uint8Array[]];

/** As few packets as carry these messages to one member, in their order. */
export function seal(messages: readonly Message[], [key]: Keys): Uint8Array[] {
  const packets: Uint8Array[][] = [];
  let room = 0;
  for (const message of messages) {
    const bytes = encodeMessage(message);
    const size = LENGTH + bytes.length;
    if (room < size) {
      packets.push([MAGIC]);
      room = LONGEST_PACKET - MAGIC.length - TAG;
    }
    packets.at(-1)?.push(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
    room -= size;
  }
  return packets.map((parts) => {
    const body = Buffer.concat(parts);
    return Buffer.concat([body, tag(body, key)]);
  });
}

/** `self`: whom the message must be for. */
export function open(packet: Uint8Array, keys: Keys, self: string): Opened {
  if (packet.length > LONGEST_PACKET) return refused('oversized');
  const end = packet.length - TAG;
  if (end <= MAGIC.length || !MAGIC.every((byte, i) => packet[i] === byte)) return refused('not ours');
  const body = packet.subarray(0, end);
  const sent = packet.subarray(end);
  if (!keys.some((key) => timingSafeEqual(tag(body, key), sent))) return refused('wrong key');
  const messages = decodeAll(body.subarray(MAGIC.length));
  if (!messages) return refused('malformed');
  return messages.every(({ to }) => to === self) ? { kind: 'messages', messages } : refused('for another');
}

/** Undefined where they are not exactly what `seal` puts in. */
function decodeAll(bytes: Uint8Array): Message[] | undefined {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length || at === 0; ) {
    const start = at + LENGTH;
    at = start + (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
    const message = at <= bytes.length ? decodeMessage(bytes.subarray(start, at)) : undefined;
    if (!message) return undefined;
    messages.push(message);
  }
  return messages;
}

function tag(body: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(body).digest().subarray(0, TAG);
}

function refused(reason: Refusal): Opened {
  return { kind: 'refused', reason };
}
