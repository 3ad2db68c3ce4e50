// What codecs say of a frame that they cannot read.
import type { DropReason } from '../sockets/answering-socket.ts';

/** A frame that is not what its socket is for, or not well formed. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly reason: DropReason;
}
