// A Node process inside a network namespace that a test calls into.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #last = 0;

  /** `script`: a file of this folder that calls `answerCalls`. */
  constructor(networkNamespace: string, script: string, environment: Readonly<Record<string, string>> = {}) {
    const node = [process.execPath, join(import.meta.dirname, script)];
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    this.#process = spawn('ip', ['netns', 'exec', networkNamespace, 'env', ...variables, ...node], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process.on('message', (message) => {
      const answer = message as Answer; // `answerCalls` sends nothing else
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('error' in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.value);
    });
    this.#exited = new Promise((resolve) => this.#process.on('exit', () => resolve()));
    this.#exited.then(() => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${script} ended`));
    });
  }

  /** Calls one of the functions that the script answers with; rejects with its error's message. */
  call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#last;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, name, args }, (error) => error && reject(error));
    }) as Promise<T>; // the caller knows what the function returns
  }

  /** Stops it, or lets it go on: a process that gets no time. */
  pause(paused: boolean): void {
    this.#process.kill(paused ? 'SIGSTOP' : 'SIGCONT');
  }

  /** As with kill -9. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }
}
