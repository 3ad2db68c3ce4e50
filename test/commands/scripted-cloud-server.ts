// The cloud of cloud-controller-process.ts: counts what is made in it, as a cloud without names would have it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A look whose answer a test holds back. */
export interface Held {
  readonly pid: number;
  /** Answers with what there is now. */
  answer(): void;
}

export class ScriptedCloudServer {
  readonly #server = createServer((request, response) => this.#serve(request, response));
  readonly #objects = new Map<string, number>();
  readonly #held = new Map<string, (held: Held) => void>();
  /** Who worked on what. */
  readonly pids = new Set<number>();
  /** In the order in which they came. */
  readonly looks: { readonly key: string; readonly at: number }[] = [];

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; // a TCP server that listens has one
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** How many objects there are for a Service. */
  count(key: string): number {
    return this.#objects.get(key) ?? 0;
  }

  /** The next look for the Service gets no answer but by `Held`. */
  hold(key: string): Promise<Held> {
    return new Promise((resolve) => this.#held.set(key, resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const key = decodeURIComponent(request.url?.replace('/objects/', '') ?? '');
    const pid = Number(request.headers['x-pid']);
    this.pids.add(pid);
    if (request.method === 'POST') this.#objects.set(key, this.count(key) + 1);
    else this.looks.push({ key, at: performance.now() });
    const answer = () => void response.end(String(this.count(key)));
    const hold = request.method === 'GET' ? this.#held.get(key) : undefined;
    if (!hold) {
      answer();
      return;
    }
    this.#held.delete(key);
    // What there was when it was asked: a slow network brings old answers.
    const then = String(this.count(key));
    hold({ pid, answer: () => void response.end(then) });
  }
}
