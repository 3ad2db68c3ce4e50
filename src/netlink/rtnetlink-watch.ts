// The interfaces of a network namespace as one snapshot that follows the kernel.
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../clock/clock.ts';
import { NETLINK_ROUTE, type NetlinkSocket, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { NetlinkConnection } from './connection.ts';
import { type Message, parseMessages } from './message.ts';
import {
  type InterfaceAddress,
  type Link,
  type LinkAddress,
  type NetworkInterface,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  readAddress,
  readLink,
  writeAnyFamily,
} from './rtnetlink.ts';

/** linux/rtnetlink.h: RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR */
const GROUPS = [1, 5, 9];
/** Before the watch begins again after it broke, in milliseconds. */
const RETRY = 1_000;

export interface InterfaceWatchOptions {
  readonly open: OpenNetlinkSocket;
  readonly clock: Clock;
  readonly networkNamespace?: string;
  /** All interfaces by ascending index: first when the watch has started, then after each change. */
  readonly onChange: (interfaces: readonly NetworkInterface[]) => void;
  /** The watch broke; the last snapshot stands until it has begun again, which is tried every second. */
  readonly onError: (error: Error) => void;
}

export interface InterfaceWatch {
  close(): void;
}

/**
 * Resolves when `onChange` has had the first snapshot; rejects when there is none to be had (NetlinkError, or
 * what `open` throws).
 */
export async function watchInterfaces(options: InterfaceWatchOptions): Promise<InterfaceWatch> {
  const watch = new Watch(options);
  try {
    await watch.begin();
  } catch (error) {
    watch.close();
    throw error;
  }
  return watch;
}

class Watch implements InterfaceWatch {
  readonly #options: InterfaceWatchOptions;
  #links = new Map<number, Link>();
  /** By interface index, then by address and prefix length. */
  #addresses = new Map<number, Map<string, InterfaceAddress>>();
  #told: readonly NetworkInterface[] | undefined;
  #flush: NodeJS.Immediate | undefined;
  #retry: Timer | undefined;
  #listener: NetlinkSocket | undefined;
  #connection: NetlinkConnection | undefined;
  /** What the kernel told while we were listing; undefined when we are not. */
  #backlog: Message[] | undefined;
  #lostMessages = false;
  #closed = false;

  constructor(options: InterfaceWatchOptions) {
    this.#options = options;
  }

  /** Listens first, then lists: what changes in between is not missed. */
  async begin(): Promise<void> {
    const { open, clock, networkNamespace } = this.#options;
    const socket = { protocol: NETLINK_ROUTE, ...(networkNamespace && { networkNamespace }) } as const;
    this.#listener = open({
      ...socket,
      groups: GROUPS,
      onDatagram: (datagram) => this.#take(parseMessages(datagram)),
      onError: (error) => (error.code === 'ENOBUFS' ? this.#relist() : this.#fail(error)),
    });
    this.#connection = new NetlinkConnection({ open, clock, ...socket });
    await this.#list(this.#connection);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    clearImmediate(this.#flush);
    this.#shut();
  }

  #shut(): void {
    this.#listener?.close();
    this.#connection?.close();
  }

  #fail(error: Error): void {
    if (this.#closed || this.#retry) return;
    this.#shut();
    this.#retry = this.#options.clock.setTimer(RETRY, () => {
      this.#retry = undefined;
      this.begin().catch((again: Error) => this.#fail(again));
    });
    this.#options.onError(error);
  }

  #take(messages: readonly Message[]): void {
    if (this.#backlog) {
      this.#backlog.push(...messages);
      return;
    }
    for (const message of messages) this.#apply(message);
  }

  #apply(message: Message): void {
    if (message.type === RTM_NEWLINK || message.type === RTM_DELLINK) {
      const link = readLink(message);
      if (!link) return;
      if (message.type === RTM_NEWLINK) this.#links.set(link.index, link);
      else {
        this.#links.delete(link.index);
        this.#addresses.delete(link.index);
      }
    } else if (message.type === RTM_NEWADDR || message.type === RTM_DELADDR) {
      const found = readAddress(message);
      if (!found) return;
      if (message.type === RTM_NEWADDR) this.#addAddress(found);
      else this.#addresses.get(found.index)?.delete(keyOf(found.address));
    } else return;
    // One look at the whole after a burst of messages.
    this.#flush ??= setImmediate(() => this.#tell());
  }

  #addAddress({ index, address }: LinkAddress): void {
    const addresses = this.#addresses.get(index) ?? new Map<string, InterfaceAddress>();
    this.#addresses.set(index, addresses.set(keyOf(address), address));
  }

  /** After messages were lost. */
  #relist(): void {
    this.#lostMessages = true;
    if (this.#backlog || !this.#connection) return;
    this.#list(this.#connection).then(
      () => this.#tell(),
      (error: Error) => this.#fail(error),
    );
  }

  async #list(connection: NetlinkConnection): Promise<void> {
    this.#backlog = [];
    try {
      let links: Link[];
      let addresses: LinkAddress[];
      do {
        this.#lostMessages = false;
        links = await connection.dump({ type: RTM_GETLINK, body: writeAnyFamily }, readLink);
        addresses = await connection.dump({ type: RTM_GETADDR, body: writeAnyFamily }, readAddress);
      } while (this.#lostMessages);
      this.#links = new Map(links.map((link) => [link.index, link]));
      this.#addresses = new Map();
      for (const address of addresses) this.#addAddress(address);
    } finally {
      const messages = this.#backlog;
      this.#backlog = undefined;
      this.#take(messages);
    }
  }

  #tell(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#closed) return;
    const interfaces = [...this.#links.values()]
      .sort((a, b) => a.index - b.index)
      .map((link) => ({ ...link, addresses: [...(this.#addresses.get(link.index)?.values() ?? [])] }));
    if (isDeepStrictEqual(interfaces, this.#told)) return;
    this.#told = interfaces;
    this.#options.onChange(interfaces);
  }
}

function keyOf({ address, prefixLength }: InterfaceAddress): string {
  return `${address}/${prefixLength}`;
}
