// What the kernel says when it refuses a netlink request, as an exception with a stable code.
import { getSystemErrorName } from 'node:util';
import { type Message, parseAcknowledgement } from './message.ts';

/**
 * The kernel refused a request, or its answer was lost: with `code` ENOBUFS or ETIMEDOUT it may have been
 * carried out, and the caller has to look.
 */
export class NetlinkError extends Error {
  /** An errno's name, such as ENOENT. */
  readonly code: string;
  /** Of a batch: the messages that were refused, counted from 0; empty when the batch as a whole was. */
  readonly refused: readonly number[];

  constructor(code: string, message: string, refused: readonly number[] = []) {
    super(message);
    this.name = 'NetlinkError';
    this.code = code;
    this.refused = refused;
  }
}

/** The error that an NLMSG_ERROR or NLMSG_DONE reports; undefined when it reports success. */
export function errorOf(message: Message, refused?: readonly number[]): NetlinkError | undefined {
  const { errno, text } = parseAcknowledgement(message);
  if (errno === 0) return undefined;
  const code = getSystemErrorName(-errno);
  const need = code === 'EPERM' ? ' (it needs the capability CAP_NET_ADMIN)' : '';
  const words = text === '' ? '' : `: ${text}`;
  return new NetlinkError(code, `the kernel refused it: ${code}${need}${words}`, refused);
}

export function asNetlinkError(error: unknown): NetlinkError {
  const { code = 'EIO', message } = error as NodeJS.ErrnoException; // the sockets throw nothing else
  return new NetlinkError(code, message);
}
