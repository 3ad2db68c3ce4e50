// A NetlinkSocket for tests: records what is sent and answers by a script, a microtask later.
import type { NetlinkSocket, NetlinkSocketOptions, OpenNetlinkSocket } from './netlink-socket.ts';

/** The datagrams that come back for one that was sent. */
export type NetlinkScript = (datagram: Uint8Array) => readonly Uint8Array[];

export class NetlinkRecorder {
  readonly #script: NetlinkScript;
  readonly #sockets = new Set<NetlinkSocketOptions>();
  /** Everything that was sent, in order. */
  readonly datagrams: Uint8Array[] = [];

  constructor(script: NetlinkScript) {
    this.#script = script;
  }

  readonly open: OpenNetlinkSocket = (options) => {
    this.#sockets.add(options);
    const socket: NetlinkSocket = {
      send: (datagram) => {
        if (!this.#sockets.has(options))
          throw Object.assign(new Error('the socket is closed: sending'), { code: 'EBADF' });
        const sent = Uint8Array.from(datagram);
        this.datagrams.push(sent);
        for (const answer of this.#script(sent)) this.#later(options, () => options.onDatagram(answer));
      },
      close: () => void this.#sockets.delete(options),
    };
    return socket;
  };

  /** Hands every open socket a datagram that nobody asked for, as a multicast group does. */
  notify(datagram: Uint8Array): void {
    for (const options of this.#sockets)
      this.#later(options, () => options.onDatagram(Uint8Array.from(datagram)));
  }

  /** ENOBUFS: the kernel dropped messages. Any other code: the sockets broke, and are closed. */
  fail(code: string): void {
    for (const options of [...this.#sockets]) {
      if (code !== 'ENOBUFS') this.#sockets.delete(options);
      options.onError(Object.assign(new Error(`netlink socket: receiving: ${code}`), { code }));
    }
  }

  #later(options: NetlinkSocketOptions, deliver: () => void): void {
    queueMicrotask(() => {
      if (this.#sockets.has(options)) deliver();
    });
  }
}
