// `fairlead controller` as a child process, with its log lines to wait for.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const COMMAND = join(import.meta.dirname, '../../bin/fairlead');
/** Milliseconds; only a test that fails waits so long. */
const DEADLINE = 15_000;

/** Short, so that who follows a leader that was killed waits seconds. */
const LEASE = ['--leader-elect-lease-duration', '2s', '--leader-elect-renew-deadline', '1500ms'];
const RETRY = ['--leader-elect-retry-period', '200ms'];

type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string };

export class ControllerProcess {
  readonly lines: LogLine[] = [];
  #stderr = '';
  readonly #child: ChildProcess;
  readonly #listeners = new Set<() => void>();
  readonly #ended: Promise<unknown>;

  /** Takes free ports unless `args` say which. `command`: another one that logs as it does. */
  constructor(
    kubeconfig: string,
    args: readonly string[] = [],
    [command = '', ...words]: readonly string[] = [
      COMMAND,
      'controller',
      ...['--kubeconfig', kubeconfig, '--metrics-bind-address', '127.0.0.1:0', '--witness-port', '0'],
      ...LEASE,
      ...RETRY,
    ],
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.#child = spawn(command, [...words, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#ended = once(this.#child, 'close');
    const { stdout, stderr } = this.#child;
    if (!stdout || !stderr) throw new Error('the child has no pipes');
    createInterface(stdout).on('line', (line) => {
      this.lines.push(JSON.parse(line));
      for (const listener of this.#listeners) listener();
    });
    stderr.on('data', (chunk) => {
      this.#stderr += chunk;
    });
  }

  /** The first line with this message after so many lines, as soon as there is one. */
  async logged(msg: string, after = 0): Promise<LogLine> {
    const find = () => this.lines.slice(after).find((line) => line.msg === msg);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => find() && resolve();
    const late = setTimeout(
      () => reject(new Error(`no "${msg}" in ${JSON.stringify(this.lines)} ${this.#stderr}`)),
      DEADLINE,
    );
    this.#listeners.add(look);
    look();
    try {
      await promise;
    } finally {
      clearTimeout(late);
      this.#listeners.delete(look);
    }
    return find() ?? { msg };
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Sends the signal and resolves with the exit status, null if the signal killed it. */
  async stop(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return (await this.ended()).status;
  }

  /** Lets it do nothing, or lets it go on. */
  pause(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<{ readonly status: number | null; readonly stderr: string }> {
    await this.#ended;
    return { status: this.#child.exitCode, stderr: this.#stderr };
  }

  async page(path: string): Promise<string> {
    const { port } = await this.logged('serving metrics and health');
    return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  }
}
