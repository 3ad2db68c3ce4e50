// What a kernel answers, written out for tests of what asks it.
import { MessageBuilder, NLMSG_DONE, NLMSG_ERROR } from '../../src/netlink/message.ts';

/** With NETLINK_CAP_ACK and NETLINK_EXT_ACK on, as our sockets have it. */
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

/** linux/netlink.h: what is to be created must not be there. */
export const NLM_F_EXCL = 0x200;

export function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

/** An acknowledgement, or with an errno a refusal, of the message with this sequence number. */
export function acknowledgement(sequence: number, errno = 0, text = ''): Uint8Array {
  const builder = new MessageBuilder();
  builder.begin(NLMSG_ERROR, NLM_F_CAPPED | (text ? NLM_F_ACK_TLVS : 0), sequence);
  builder.raw(int32(-errno)).raw(new Uint8Array(16));
  if (text) builder.string(1, text);
  return builder.end().bytes();
}

export function message(type: number, sequence: number, body: Uint8Array, flags = 0): Uint8Array {
  return new MessageBuilder().begin(type, flags, sequence).raw(body).end().bytes();
}

export function done(sequence: number, errno = 0, flags = 0): Uint8Array {
  return message(NLMSG_DONE, sequence, int32(-errno), flags);
}

export function together(...datagrams: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(datagrams.flatMap((datagram) => [...datagram]));
}
