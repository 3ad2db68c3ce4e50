// A TCP connection's way to a server, which a test cuts and slows down: what was sent meanwhile arrives later, as TCP
// has it, and nobody is told.
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

export class Link {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Milliseconds each way. */
  delay = 0;
  #mended: Promise<void> | undefined;
  #mend = () => {};

  private constructor(target: number) {
    this.#server = createServer((socket) => {
      const other = createConnection(target, '127.0.0.1');
      this.#carry(socket, other);
      this.#carry(other, socket);
    });
  }

  static async open(target: number): Promise<Link> {
    const link = new Link(target);
    await once(link.#server.listen(0, '127.0.0.1'), 'listening');
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // a TCP server that listens has one
  }

  cut(): void {
    this.#mended ??= new Promise((resolve) => {
      this.#mend = resolve;
    });
  }

  mend(): void {
    this.#mended = undefined;
    this.#mend();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    let before: Promise<unknown> = Promise.resolve();
    const inOrder = (deed: () => void) => {
      const arrived = new Promise((resolve) => setTimeout(resolve, this.delay));
      before = Promise.all([before, arrived])
        .then(() => this.#mended)
        .then(deed);
    };
    from.on('data', (chunk) => inOrder(() => void to.write(chunk)));
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      inOrder(() => void to.destroy());
    });
  }
}
