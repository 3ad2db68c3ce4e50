// A wire for tests: every frame that one interface sends reaches all others, in order, a microtask later.
// IPv6 multicast reaches those that joined the group, as an interface's own filter would have it.
import { ip } from '../net/address.ts';
import { BROADCAST, macAt, multicastMac } from '../net/mac.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket, PacketSocketOptions } from './packet-socket.ts';

/** What a host is plugged into the wire by. */
export interface VirtualPort {
  /** Opens sockets on this port's interfaces. */
  readonly open: OpenPacketSocket;
  /** A cut port neither sends nor receives. */
  cut: boolean;
}

interface Plug {
  readonly port: VirtualPort;
  readonly options: PacketSocketOptions;
  /** Ethernet addresses of the joined groups. */
  readonly groups: Set<string>;
}

/** Groups that every IPv6 host, or every router, is in without asking. */
const ALWAYS_JOINED = new Set(['33:33:00:00:00:01', '33:33:00:00:00:02']);

export class VirtualWire {
  readonly #plugs = new Set<Plug>();
  /** Every frame that was sent, in order, with the protocol of the socket that sent it. */
  readonly frames: { readonly protocol: PacketProtocol; readonly frame: Uint8Array }[] = [];

  /** A host's port with these interfaces; without names, whatever name a socket asks for is there. */
  port(...interfaceNames: readonly string[]): VirtualPort {
    const port: VirtualPort = {
      cut: false,
      open: (options) => {
        if (interfaceNames.length > 0 && !interfaceNames.includes(options.interfaceName))
          throw coded('ENODEV', `packet socket on ${options.interfaceName}: there is no such interface`);
        return this.#plugIn(port, options);
      },
    };
    return port;
  }

  /** Breaks the open sockets, as removing their interface does; of one port alone, or of all. */
  fail(code: string, port?: VirtualPort): void {
    for (const plug of [...this.#plugs]) {
      if (port && plug.port !== port) continue;
      this.#plugs.delete(plug);
      plug.options.onError(coded(code, `packet socket on ${plug.options.interfaceName}: receiving: ${code}`));
    }
  }

  #plugIn(port: VirtualPort, options: PacketSocketOptions): PacketSocket {
    const plug: Plug = { port, options, groups: new Set() };
    this.#plugs.add(plug);
    const mustBeOpen = () => {
      if (!this.#plugs.has(plug)) throw coded('EBADF', 'the socket is closed');
    };
    return {
      send: (frame) => {
        mustBeOpen();
        this.#transmit(plug, Uint8Array.from(frame));
      },
      joinGroup: (group) => {
        mustBeOpen();
        plug.groups.add(multicastMac(ip(group)));
      },
      leaveGroup: (group) => {
        mustBeOpen();
        plug.groups.delete(multicastMac(ip(group)));
      },
      close: () => void this.#plugs.delete(plug),
    };
  }

  #transmit(from: Plug, frame: Uint8Array): void {
    if (from.port.cut) return;
    this.frames.push({ protocol: from.options.protocol, frame });
    const protocol = protocolOf(frame);
    for (const plug of this.#plugs) {
      if (isSameInterface(plug, from) || plug.options.protocol !== protocol || !hears(plug, frame)) continue;
      queueMicrotask(() => {
        if (this.#plugs.has(plug) && !plug.port.cut) plug.options.onFrame(Uint8Array.from(frame));
      });
    }
  }
}

function isSameInterface(a: Plug, b: Plug): boolean {
  return a.port === b.port && a.options.interfaceName === b.options.interfaceName;
}

/** Unicast is taken for one that the host's address is in: the wire does not know whose is whose. */
function hears(plug: Plug, frame: Uint8Array): boolean {
  const isUnicast = ((frame[0] ?? 0) & 1) === 0; // the lowest bit of the first byte marks a group
  if (isUnicast) return true;
  const destination = macAt(frame);
  return destination === BROADCAST || ALWAYS_JOINED.has(destination) || plug.groups.has(destination);
}

/** What the kernel's filter of each kind of socket lets through. */
function protocolOf(frame: Uint8Array): PacketProtocol | undefined {
  const etherType = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  if (etherType === 0x0806) return 'arp';
  const isNeighbourMessage = frame[20] === 58 && (frame[54] === 135 || frame[54] === 136);
  return etherType === 0x86dd && isNeighbourMessage ? 'ndp' : undefined;
}

function coded(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}
