// Hears when somebody else changes a table of ours (the kernel's multicast group of nftables).
import { NETLINK_NETFILTER, type NetlinkSocket, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { type Message, parseAttributes, parseMessages, textOf } from './message.ts';

/** linux/netfilter/nfnetlink.h NFNLGRP_NFTABLES */
const GROUP = 7;
// linux/netfilter/nf_tables.h
const SUBSYSTEM = 10;
const NEWSETELEM = 12;
const DELSETELEM = 14;
const NEWGEN = 15;
const GEN_PROC_NAME = 3;
/** NFTA_TABLE_NAME, and what stands in its place in messages on chains, rules, sets and elements. */
const TABLE = 1;
const NFGENMSG = 4;

/** What was changed: only elements of sets, or anything else too. */
export type ForeignChange = 'elements' | 'anything';

export interface NftablesWatchOptions {
  readonly open: OpenNetlinkSocket;
  readonly tables: readonly string[];
  /** Whether a change was made through this netlink port. */
  readonly isOwn: (port: number) => boolean;
  /** Whether a change that a process of this name made is one that we have asked it for. */
  readonly isAskedFor: (process: string) => boolean;
  readonly onChange: (change: ForeignChange) => void;
  /** The socket is closed, and hears no more. */
  readonly onError: (error: Error) => void;
}

/** Throws what `open` throws. */
export function watchNftables(options: NftablesWatchOptions): Pick<NetlinkSocket, 'close'> {
  let pending: ForeignChange | undefined;
  const take = ({ type, port, payload }: Message) => {
    if (type >> 8 !== SUBSYSTEM || options.isOwn(port)) return;
    const operation = type & 0xff;
    const attributes = parseAttributes(payload, NFGENMSG);
    if (operation === NEWGEN) {
      // Ends each transaction's messages.
      const change = pending;
      pending = undefined;
      const name = attributes.get(GEN_PROC_NAME);
      if (!options.isAskedFor(name ? textOf(name) : '') && change) options.onChange(change);
      return;
    }
    const table = attributes.get(TABLE);
    if (!table || !options.tables.includes(textOf(table))) return;
    const elements = operation === NEWSETELEM || operation === DELSETELEM;
    pending = elements ? (pending ?? 'elements') : 'anything';
  };
  return options.open({
    protocol: NETLINK_NETFILTER,
    groups: [GROUP],
    onDatagram: (datagram) => parseMessages(datagram).forEach(take),
    onError(error) {
      // ENOBUFS: there was more than the socket holds, and nobody knows what.
      if (error.code === 'ENOBUFS') options.onChange('anything');
      else options.onError(error);
    },
  });
}
