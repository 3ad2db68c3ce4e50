// Node ports on 127.0.0.1 and ::1, for processes on the node: TCP through this process. The kernel cannot translate
// what goes to ::1, and 127.0.0.1 only with route_localnet, which opens the loopback interface to the LAN
// (CVE-2020-8558). Connections end with this process.
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../clock/clock.ts';
import type { Family } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import type { Endpoint } from './endpoints.ts';
import type { PortTable } from './table.ts';

const LOOPBACK: Readonly<Record<Family, string>> = { IPv4: '127.0.0.1', IPv6: '::1' };
const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
/** Before a port that another process holds is tried again, in milliseconds. */
const BIND_RETRY = 5_000;
/** Endpoints that are tried for one connection, and how long each: milliseconds. */
const TRIES = 3;
const PATIENCE = 2_000;

type Lists = Readonly<Partial<Record<Family, readonly Endpoint[]>>>;

interface LocalhostOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export class LocalhostNodePorts {
  readonly #options: LocalhostOptions;
  /** By Service and by node port: who serves. */
  readonly #services = new Map<string, ReadonlyMap<number, Lists>>();
  /** By `address port`. */
  readonly #servers = new Map<string, Server>();
  readonly #sockets = new Set<Socket>();
  #retry: Timer | undefined;

  constructor(options: LocalhostOptions) {
    this.#options = options;
  }

  /** A Service's ports are these now. */
  set(serviceKey: string, ports: readonly PortTable[]): void {
    const wanted = new Map<number, Lists>();
    for (const { protocol, nodePort, family, endpoints } of ports)
      if (protocol === 'TCP' && nodePort !== undefined)
        wanted.set(nodePort, { ...wanted.get(nodePort), [family]: endpoints.cluster });
    const before = this.#services.get(serviceKey);
    if (wanted.size > 0) this.#services.set(serviceKey, wanted);
    else this.#services.delete(serviceKey);
    for (const port of wanted.keys()) for (const family of FAMILIES) this.#listen(family, port);
    for (const port of before?.keys() ?? []) if (!this.#lists(port)) this.#unlisten(port);
  }

  /** Ends the connections too. */
  close(): void {
    this.#retry?.cancel();
    for (const server of this.#servers.values()) server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#servers.clear();
    this.#services.clear();
  }

  #lists(port: number): Lists | undefined {
    for (const ports of this.#services.values()) {
      const lists = ports.get(port);
      if (lists) return lists;
    }
    return undefined;
  }

  #listen(family: Family, port: number): void {
    const place = `${LOOPBACK[family]} ${port}`;
    if (this.#servers.has(place)) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) =>
      this.#serve(client, family, port),
    );
    this.#servers.set(place, server);
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#servers.get(place) !== server) return;
      this.#servers.delete(place);
      // A machine without IPv6.
      if (error.code === 'EADDRNOTAVAIL') return;
      this.#options.log.warn({ place, error: error.message }, 'cannot serve a node port on loopback');
      this.#retry ??= this.#options.clock.setTimer(BIND_RETRY, () => this.#listenAgain());
    });
    server.listen({ host: LOOPBACK[family], port });
  }

  #listenAgain(): void {
    this.#retry = undefined;
    for (const ports of this.#services.values())
      for (const port of ports.keys()) for (const family of FAMILIES) this.#listen(family, port);
  }

  #unlisten(port: number): void {
    for (const family of FAMILIES) {
      const place = `${LOOPBACK[family]} ${port}`;
      this.#servers.get(place)?.close();
      this.#servers.delete(place);
    }
  }

  async #serve(client: Socket, family: Family, port: number): Promise<void> {
    this.#keep(client);
    const lists = this.#lists(port) ?? {};
    // The endpoints' family need not be the client's.
    const [own = [], other = []] = family === 'IPv4' ? [lists.IPv4, lists.IPv6] : [lists.IPv6, lists.IPv4];
    const left = own.length > 0 ? [...own] : [...other];
    for (let tries = 0; tries < TRIES && left.length > 0 && !client.destroyed; tries++) {
      const [endpoint] = left.splice(Math.floor(this.#options.random() * left.length), 1);
      const server = endpoint && (await connected(endpoint));
      if (!server) continue;
      this.#keep(server);
      // An end that breaks takes the other along, as a reset does.
      client.on('error', () => server.resetAndDestroy());
      server.on('error', () => client.resetAndDestroy());
      client.pipe(server).pipe(client);
      return;
    }
    client.resetAndDestroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // `close` follows
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

/** Undefined: it does not take the connection. */
function connected({ address, port }: Endpoint): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, allowHalfOpen: true });
    const fail = () => {
      socket.destroy();
      resolve(undefined);
    };
    socket.setTimeout(PATIENCE, fail);
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
