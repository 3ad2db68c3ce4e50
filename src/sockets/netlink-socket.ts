// The seam to the kernel's netlink families: raw messages in, raw messages out.

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export interface NetlinkSocketOptions {
  readonly protocol: typeof NETLINK_ROUTE | typeof NETLINK_NETFILTER;
  /** Multicast group numbers (linux/rtnetlink.h RTNLGRP_*, linux/netfilter/nfnetlink.h NFNLGRP_*). */
  readonly groups?: readonly number[];
  /** Path of the network namespace to open the socket in; absent: our own. */
  readonly networkNamespace?: string;
  /** One datagram: one or more whole netlink messages. The buffer is the receiver's to keep. */
  readonly onDatagram: (datagram: Uint8Array) => void;
  /** ENOBUFS: the kernel dropped messages for us; the socket stays open. Anything else: it is closed. */
  readonly onError: (error: NodeJS.ErrnoException) => void;
}

export interface NetlinkSocket {
  /** Sends one datagram of one or more netlink messages to the kernel. Throws with `code` when it is refused. */
  send(datagram: Uint8Array): void;
  close(): void;
}

export type OpenNetlinkSocket = (options: NetlinkSocketOptions) => NetlinkSocket;
