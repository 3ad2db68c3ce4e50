// The seam to what answers ARP requests and neighbour solicitations: a table of addresses, filled from here.
import type { Ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';

/** Why a frame that was heard was not answered, or one of ours not sent: one list for code, metrics and tests. */
export const DROP_REASONS = [
  'truncated',
  'wrong protocol',
  'not a request',
  'bad hop limit',
  'bad checksum',
  'bad option',
  'bad sender',
  'not our address',
  'wrong interface',
  'no right to answer',
  'being checked',
  'address conflict',
  'send failed',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** What an answering socket counts, in the order of native/frames.h. */
export const ANSWER_COUNTS = [
  'received arp',
  'received ndp',
  'answered arp',
  'answered ndp',
  ...DROP_REASONS,
] as const;

export type AnswerCounts = Readonly<Record<(typeof ANSWER_COUNTS)[number], number>>;

/** Why requests for an address of the table are not answered, for the count. */
export type Refusal = Extract<
  DropReason,
  'wrong interface' | 'no right to answer' | 'being checked' | 'address conflict'
>;

export interface AnsweringSocketOptions {
  readonly interfaceName: string;
  /** Of the interface: what the answers tell, and what no other host's claim bears. */
  readonly mac: Mac;
  /** Path of the network namespace; absent: our own. */
  readonly networkNamespace?: string;
  /**
   * A well-formed frame in which another host speaks for an address of the table, or checks whether it may use one
   * that is not answered for. At most once in 15 ms for each address, and under a flood of them fewer.
   */
  readonly onClaim: (frame: Uint8Array) => void;
  /** The socket broke (ENETDOWN, ENXIO: the interface went away); it is closed already. */
  readonly onError: (error: Error) => void;
}

/** A time that another thread moves on: nanoseconds on CLOCK_MONOTONIC, in a cell of shared memory. */
export interface SharedDeadline {
  readonly cells: BigInt64Array;
  readonly index: number;
}

export interface AnsweringSocket {
  /**
   * From now on requests for the address are answered while the Clock's time is before `until` (milliseconds;
   * Infinity: always; 0: never), and after that counted as `refusal`. A shared deadline is looked at for each frame.
   */
  set(address: Ip, until: number | SharedDeadline, refusal: Refusal): void;
  /** When this returns, the address is answered for no more. */
  remove(address: Ip): void;
  /** Sends a frame that speaks for the address, if requests for it would be answered now; whether it left. */
  announce(address: Ip, frame: Uint8Array): boolean;
  /** Sends a frame that speaks for no address. Throws an Error with `code` when the kernel refuses it. */
  send(frame: Uint8Array): void;
  /** Joins the IPv6 multicast group on this interface (MLD and the interface's filter). Idempotent. */
  joinGroup(group: string): void;
  leaveGroup(group: string): void;
  /** Since it was opened; after it closed, its last. */
  counts(): AnswerCounts;
  close(): void;
}

/** Opens a socket. Throws an Error with `code`: EPERM names the missing capability, ENODEV the interface. */
export type OpenAnsweringSocket = (options: AnsweringSocketOptions) => AnsweringSocket;
