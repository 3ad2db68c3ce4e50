// `fairlead agent` as a child process in the test's own network, with its log lines to wait for.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

const COMMAND = join(import.meta.dirname, '../../bin/fairlead');

export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #said = new Set<string>();

  /** For the Node `here`. */
  constructor(kubeconfig: string, args: readonly string[] = []) {
    const pages = ['--metrics-bind-address', '127.0.0.1:0', '--healthz-bind-address', '127.0.0.1:0'];
    const words = ['agent', '--kubeconfig', kubeconfig, '--node-name', 'here', ...pages, ...args];
    this.#child = spawn(COMMAND, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (!stdout) throw new Error('the child has no pipes');
    this.#lines = createInterface({ input: stdout });
    this.#lines.on('line', (line) => this.#said.add(JSON.parse(line).msg));
  }

  /** Resolves once it has logged this message; rejects where it ends before. */
  async logged(message: string): Promise<void> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error(`the agent ended before it said "${message}"`);
    });
    while (!this.#said.has(message)) await Promise.race([once(this.#lines, 'line'), ended]);
    ended.catch(() => {});
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}
