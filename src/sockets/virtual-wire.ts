// A wire for tests: every frame that one socket sends reaches all others of the same protocol, in order,
// a microtask later. Multicast of IPv6 reaches those that joined the group, as an interface's filter would have it.

import { ip } from '../net/address.ts';
import { BROADCAST, macAt, multicastMac } from '../net/mac.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket, PacketSocketOptions } from './packet-socket.ts';

/** What a port of the wire is plugged into. */
export interface VirtualPort {
  /** Opens sockets on this port's interfaces. */
  readonly open: OpenPacketSocket;
  /** A cut port neither sends nor receives. */
  cut: boolean;
}

interface Plug {
  readonly port: VirtualPort;
  readonly options: PacketSocketOptions;
  readonly groups: Set<string>;
}

/** Groups that every IPv6 node is in without asking: all nodes, all routers. */
const ALWAYS_JOINED = new Set(['33:33:00:00:00:01', '33:33:00:00:00:02']);

export class VirtualWire {
  readonly #plugs = new Set<Plug>();
  /** Every frame that was sent, in order. */
  readonly frames: { readonly protocol: PacketProtocol; readonly frame: Uint8Array }[] = [];

  port(): VirtualPort {
    const port: VirtualPort = { cut: false, open: (options) => this.#plugIn(port, options) };
    return port;
  }

  /** Breaks every open socket, as removing the interface does. */
  fail(code: string): void {
    for (const plug of [...this.#plugs]) {
      this.#plugs.delete(plug);
      plug.options.onError(Object.assign(new Error(`the wire failed: ${code}`), { code }));
    }
  }

  #plugIn(port: VirtualPort, options: PacketSocketOptions): PacketSocket {
    const plug: Plug = { port, options, groups: new Set() };
    this.#plugs.add(plug);
    return {
      send: (frame) => {
        if (!this.#plugs.has(plug))
          throw Object.assign(new Error('sending: the socket is closed'), { code: 'EBADF' });
        this.#transmit(plug, Uint8Array.from(frame));
      },
      joinGroup: (group) => void plug.groups.add(multicastMac(ip(group))),
      leaveGroup: (group) => void plug.groups.delete(multicastMac(ip(group))),
      close: () => void this.#plugs.delete(plug),
    };
  }

  #transmit(from: Plug, frame: Uint8Array): void {
    const { protocol } = from.options;
    if (from.port.cut) return;
    this.frames.push({ protocol, frame });
    const destination = macAt(frame);
    for (const plug of this.#plugs) {
      const hears =
        isUnicast(frame) ||
        destination === BROADCAST ||
        ALWAYS_JOINED.has(destination) ||
        plug.groups.has(destination);
      if (plug === from || plug.options.protocol !== protocol || !hears) continue;
      queueMicrotask(() => {
        if (this.#plugs.has(plug) && !plug.port.cut) plug.options.onFrame(Uint8Array.from(frame));
      });
    }
  }
}

/** The lowest bit of an Ethernet address's first byte marks a group. */
function isUnicast(frame: Uint8Array): boolean {
  return ((frame[0] ?? 0) & 1) === 0;
}
