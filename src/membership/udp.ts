// Datagrams over IPv4 and IPv6 through one socket.
import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import { once } from 'node:events';

/** Of the agents, and of the controller as a witness, which may run on the same host. */
export const MEMBERSHIP_PORT = 9123;
export const WITNESS_PORT = 9124;

export interface Peer {
  readonly host: string;
  readonly port: number;
}

export interface Udp {
  readonly port: number;
  /** What cannot be sent is lost, as datagrams are. */
  send(packet: Uint8Array, to: Peer): void;
  close(): void;
}

export interface UdpOptions {
  /** 0: any. */
  readonly port: number;
  readonly onPacket: (packet: Uint8Array, from: Peer) => void;
  readonly onLost: () => void;
}

/** Rejects with the system's error, EADDRINUSE where another process has the port. */
export async function openUdp(options: UdpOptions): Promise<Udp> {
  try {
    return await bind(options, 'udp6');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A kernel without IPv6.
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error;
    return bind(options, 'udp4');
  }
}

async function bind({ port, onPacket, onLost }: UdpOptions, type: 'udp4' | 'udp6'): Promise<Udp> {
  // Peers are addresses, and asking the resolver for each datagram costs more than sending it.
  const lookup: SocketOptions['lookup'] = (host, _, callback) =>
    callback(null, host, type === 'udp6' ? 6 : 4);
  const socket: Socket = createSocket({ type, ipv6Only: false, lookup });
  const listening = once(socket, 'listening'); // rejects on 'error'
  socket.bind({ port, exclusive: true });
  await listening;
  socket.on('error', onLost);
  socket.on('message', (packet, { address, port: from }) => onPacket(packet, { host: address, port: from }));
  const mapped = (host: string) => (type === 'udp6' && !host.includes(':') ? `::ffff:${host}` : host);
  return {
    port: socket.address().port,
    send(packet, to) {
      socket.send(packet, to.port, mapped(to.host), (error) => error && onLost());
    },
    close: () => socket.close(),
  };
}

/** The address that this machine sends from to `host`: where it can be answered. Sends nothing. */
export async function addressTowards(host: string): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  try {
    socket.connect(9, host); // RFC 863, discard: any port will do
    await once(socket, 'connect');
    return socket.address().address;
  } finally {
    socket.close();
  }
}
