// A TCP connection through a load balancer's address that lasts: a line goes out now and then, and must come back.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { LabHost } from '../../src/lab/plan.ts';
import { until } from './running-lab.ts';

/** Milliseconds between two lines. */
const EVERY = 20;

export class LongConnection {
  readonly #child;
  #came = 0;
  /** Why it ended; undefined: it lasts. */
  ended: string | undefined;

  /** Resolves once lines come back. */
  static async open(from: LabHost, host: string): Promise<LongConnection> {
    const connection = new LongConnection(from, host);
    await connection.answered();
    return connection;
  }

  private constructor({ name }: LabHost, host: string) {
    const script = join(import.meta.dirname, 'long-connection-process.ts');
    this.#child = spawn('ip', ['netns', 'exec', name, process.execPath, script, host, `${EVERY}`], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (told: { readonly came?: number; readonly ended?: string }) => {
      this.#came = told.came ?? this.#came;
      this.ended ??= told.ended;
    });
  }

  /** Resolves once something came back that was sent from now on, or it ended. */
  async answered(): Promise<void> {
    const before = this.#came;
    await until(
      () => this.ended !== undefined || this.#came > before + 5,
      (isSo) => isSo,
    );
  }

  close(): void {
    this.#child.disconnect();
  }
}
