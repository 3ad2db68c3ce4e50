// Makes HTTP and UDP requests as a host or pod of the lab, one new connection each.
import { type LabProcess, startScript } from './processes.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'http' | 'udp';
  /** HTTP only; '/' where it is absent. */
  readonly path?: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export type Reply =
  | { readonly kind: 'answered'; readonly text: string; readonly milliseconds: number }
  /** `code`: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH and the like. */
  | { readonly kind: 'failed'; readonly code: string; readonly milliseconds: number };

/** What goes to the process, and what comes back. */
export interface Asked extends Target {
  readonly id: number;
}
export interface Answered {
  readonly id: number;
  readonly reply: Reply;
}

export class Requester {
  readonly #process: LabProcess;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #id = 0;

  private constructor(process: LabProcess) {
    this.#process = process;
    process.child.on('message', (message) => {
      const { id, reply } = message as Answered; // the script sends nothing else once it is ready
      this.#waiting.get(id)?.(reply);
      this.#waiting.delete(id);
    });
  }

  static async start(namespace: string, logFolder: string): Promise<Requester> {
    const script = { script: 'requester.ts', args: [], namespace, logFolder };
    return new Requester(await startScript(`requester-${namespace}`, script));
  }

  ask(target: Target): Promise<Reply> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const id = this.#id++;
    this.#waiting.set(id, resolve);
    this.#process.child.send({ ...target, id } satisfies Asked);
    return promise;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
