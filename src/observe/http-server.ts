// The pages that people and probes ask a process for: /metrics, /healthz, /livez.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { type Clock, sleep } from '../clock/clock.ts';
import type { Logger } from './logger.ts';

export interface Health {
  readonly healthy: boolean;
  /** What is the matter, or what is well: shown as JSON. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface PageRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  /** Whether it came from this machine, as `kubectl port-forward` does. */
  readonly local: boolean;
}

export interface PageAnswer {
  readonly status: number;
  /** Shown as JSON. */
  readonly body: object;
}

/** The pages on health, which need not say the same. */
export type Page = 'healthz' | 'livez' | 'readyz';

export interface HttpServerOptions {
  /** `host:port`, an IPv6 host in brackets; port 0 takes any free one. */
  readonly address: string;
  /** The flag that set the address, for the message when it is in use. */
  readonly flag: string;
  readonly registry: Registry;
  readonly health: (page: Page) => Health;
  /** Further pages by path. */
  readonly pages?: Readonly<Record<string, (request: PageRequest) => Promise<PageAnswer>>>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Time between two tries to bind an address that another process holds, in milliseconds. */
const BIND_RETRY = 5_000;
const LOCAL = /^(::ffff:)?127\.|^::1$/;

/**
 * Serves until `signal` aborts. Resolves with the bound port, or undefined when `signal` came first.
 * An address that is in use never stops the process: it is said once and tried again.
 */
export async function serveHttp(options: HttpServerOptions): Promise<number | undefined> {
  const { address, flag, clock, log, signal } = options;
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  let said = false;
  while (!signal.aborted) {
    const server = createServer((request, response) => answer(options, request, response));
    const problem = await new Promise<Error | undefined>((resolve) => {
      server.once('error', resolve);
      server.listen({ port, ...(host === '' ? {} : { host }) }, () => resolve(undefined));
    });
    if (!problem) {
      const stop = () => {
        server.close();
        server.closeAllConnections();
      };
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop);
      const bound = server.address() as AddressInfo | null; // a TCP server that listens has one
      if (bound) log.info({ flag, address: bound.address, port: bound.port }, 'serving metrics and health');
      return bound?.port;
    }
    if (!said)
      log.warn({ flag, address, error: problem.message }, 'cannot serve metrics and health; will try again');
    said = true;
    await sleep(clock, BIND_RETRY, signal);
  }
  return undefined;
}

function answer(options: HttpServerOptions, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://here');
  const page = options.pages?.[pathname];
  if (page) {
    const local = LOCAL.test(request.socket.remoteAddress ?? '');
    page({ method: request.method ?? '', query, local }).then(
      ({ status, body }) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`),
      (error) => response.writeHead(500).end(String(error)),
    );
    return;
  }
  switch (pathname) {
    case '/metrics':
      options.registry.metrics().then(
        (text) => response.setHeader('content-type', options.registry.contentType).end(text),
        (error) => response.writeHead(500).end(String(error)),
      );
      return;
    case '/healthz':
    case '/livez':
    case '/readyz': {
      const { healthy, detail } = options.health(pathname.slice(1) as Page); // one of the three
      response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ healthy, ...detail })}\n`);
      return;
    }
    default:
      response.writeHead(404).end('there are /metrics, /healthz and /livez\n');
  }
}
