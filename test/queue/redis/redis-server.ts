// A redis-server of the distribution's own for one test file, on a port and in a folder of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisAddress } from '../../../src/queue/queue-address.ts';

const HOST = '127.0.0.1';

export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.#args = args;
    this.folder = mkdtempSync(join(tmpdir(), 'fairlead-redis-'));
  }

  static async start(...args: readonly string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args);
    await server.start();
    return server;
  }

  /** A sentinel, which rewrites its configuration file. */
  static async startSentinel(config: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), []);
    await server.#spawn([config, '--port', String(server.port), '--bind', HOST, '--sentinel']);
    return server;
  }

  get address(): RedisAddress {
    return { kind: 'redis', tls: false, db: 0, servers: { kind: 'one', host: HOST, port: this.port } };
  }

  /** Resolves when it takes connections. */
  async start(): Promise<void> {
    const common = ['--port', String(this.port), '--bind', HOST, '--dir', this.folder, '--save', ''];
    await this.#spawn([...common, ...this.#args]);
  }

  async #spawn(args: readonly string[]): Promise<void> {
    const child = spawn('redis-server', args, { stdio: 'ignore' });
    this.#child = child;
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with status ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** SIGSTOP and SIGCONT. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = createConnection(this.port, HOST, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, HOST), 'listening');
  const address = server.address();
  await once(server.close(), 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
