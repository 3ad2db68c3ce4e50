// The embedded API server: Kubernetes' REST protocol over HTTPS, for the lab and for tests that need no etcd.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type Clock, systemClock } from '../../clock/clock.ts';
import { parsePrefix, type Range } from '../../net/range.ts';
import type { LabApiServer } from '../api-server.ts';
import { kubeconfigOf } from '../kubeconfig.ts';
import { ApiError } from './api-error.ts';
import { Cluster } from './cluster.ts';
import { sendError } from './respond.ts';
import { Router } from './router.ts';
import { type Certificate, makeCertificate } from './tls.ts';

export interface ApiServerOptions {
  /** An address to listen on; `::` for all of the machine. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * Host names and addresses beside `host` and the loopback ones that the certificate is to hold for. Of a server that
   * listens everywhere, the first is where `url` and the kubeconfig point.
   */
  readonly names?: readonly string[];
  /** One prefix a family, the primary first, such as `10.96.0.0/16`. */
  readonly serviceCidrs: readonly string[];
  /** How many changes a watcher may be behind before it gets 410. */
  readonly history?: number;
  readonly clock?: Clock;
}

const DEFAULT_HISTORY = 10_000;
/** Where a server that listens everywhere is found from its own machine. */
const LOOPBACK: Readonly<Record<string, string>> = { '::': '::1', '0.0.0.0': '127.0.0.1' };

export class ApiServer implements LabApiServer {
  readonly #host: string;
  #port: number;
  readonly #address: string;
  readonly #certificate: Certificate;
  readonly #token = randomBytes(16).toString('hex');
  readonly #cluster: Cluster;
  readonly #router: Router;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(options: ApiServerOptions, certificate: Certificate) {
    const { host, port, names = [], serviceCidrs, history = DEFAULT_HISTORY, clock = systemClock } = options;
    this.#host = host;
    this.#port = port;
    this.#address = LOOPBACK[host] === undefined ? host : (names[0] ?? LOOPBACK[host]);
    this.#certificate = certificate;
    this.#cluster = new Cluster({ clock, history, servicePrefixes: serviceCidrs.map(prefixOf) });
    this.#router = new Router(this.#cluster, clock);
  }

  get url(): string {
    return this.#urlAt(this.#address);
  }

  /** YAML with the authority, a token that may do everything, and the address: `address` where it is another than `url`'s. */
  kubeconfig(address = this.#address): string {
    return kubeconfigOf(this.#urlAt(address), this.#certificate.cert, this.#token);
  }

  /** Listens; after `stop`, again on the same port, with all objects as they were. */
  async start(): Promise<void> {
    const server = createServer(
      { ...this.#certificate },
      (request, response) => void this.#serve(request, response),
    );
    server.keepAliveTimeout = 60_000;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#host, resolve);
    });
    this.#port = (server.address() as AddressInfo).port; // a TCP server that listens has one
    this.#server = server;
  }

  /** Breaks every connection and stops listening. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.dropWatches();
    await new Promise<void>((resolve) => {
      if (!server) return resolve();
      server.close(() => resolve());
      // Those that are still shaking hands as well, which closeAllConnections does not know.
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  close(): Promise<void> {
    return this.stop();
  }

  /** Cuts every watch, as a restart or a proxy's time limit does. */
  dropWatches(): void {
    this.#router.dropWatches();
  }

  /** Makes every version from before now too old to watch from. */
  forgetHistory(): void {
    this.#cluster.storage.forgetHistory();
  }

  #urlAt(address: string): string {
    return `https://${address.includes(':') ? `[${address}]` : address}:${this.#port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (/^\/(healthz|readyz|livez)$/.test(request.url ?? '')) return void response.end('ok');
      if (request.headers.authorization !== `Bearer ${this.#token}`)
        throw new ApiError(401, 'Unauthorized', 'Unauthorized');
      await this.#router.route(request, response);
    } catch (error) {
      sendError(response, error);
    }
  }
}

/** Makes a certificate and listens. Throws for a service CIDR that is none. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { host, names = [] } = options;
  const server = new ApiServer(options, await makeCertificate([host, ...names]));
  await server.start();
  return server;
}

function prefixOf(text: string): Range {
  const prefix = parsePrefix(text);
  if (prefix.kind === 'malformed')
    throw new Error(`the API server's serviceCidrs: "${text}" ${prefix.problem}`);
  return prefix.value;
}
