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
  /** What it logged last, for those who wonder what keeps it. */
  readonly lastWords: string[] = [];

  /** Of a network namespace of the machine by name, or else of the test's own. */
  constructor(
    kubeconfig: string,
    args: readonly string[] = [],
    { nodeName = 'here', networkNamespace }: { nodeName?: string; networkNamespace?: string } = {},
  ) {
    const pages = ['--metrics-bind-address', '127.0.0.1:0', '--healthz-bind-address', '127.0.0.1:0'];
    const words = ['agent', '--kubeconfig', kubeconfig, '--node-name', nodeName, ...pages, ...args];
    const inside = networkNamespace === undefined ? [] : ['ip', 'netns', 'exec', networkNamespace];
    const [command = COMMAND, ...rest] = [...inside, COMMAND, ...words];
    this.#child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (!stdout) throw new Error('the child has no pipes');
    this.#lines = createInterface({ input: stdout });
    this.#lines.on('line', (line) => {
      this.#said.add(JSON.parse(line).msg);
      this.lastWords.push(line);
      if (this.lastWords.length > 10) this.lastWords.shift();
    });
  }

  /** Resolves once it has logged this message; rejects where it ends before. */
  async logged(message: string): Promise<void> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error(`the agent ended before it said "${message}"`);
    });
    while (!this.#said.has(message)) await Promise.race([once(this.#lines, 'line'), ended]);
    ended.catch(() => {});
  }

  async stop(signal?: NodeJS.Signals): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}
