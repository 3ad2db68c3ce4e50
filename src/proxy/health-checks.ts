// The health check node ports of Services with externalTrafficPolicy Local: load balancers ask each node by HTTP
// whether it has endpoints. Answers as kube-proxy's do.
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Clock, Timer } from '../clock/clock.ts';
import type { Ip } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import type { HealthCheck } from './table.ts';

/** Before a port that another process holds is tried again, in milliseconds. */
const BIND_RETRY = 5_000;

export interface HealthChecksOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the rules are up to date. */
  readonly healthy: () => boolean;
  /** A Service's port cannot be served; it is tried again until it can, or is not wanted any more. */
  readonly onRefused: (serviceKey: string, problem: string) => void;
}

interface Listener {
  readonly server: Server;
  /** Whether it is not bound and never will be. */
  failed: boolean;
}

export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #checks = new Map<string, HealthCheck>();
  /** By `address port`. */
  readonly #listeners = new Map<string, Listener>();
  #addresses: readonly Ip[] = [];
  #retry: Timer | undefined;

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** The addresses to answer on. */
  setAddresses(addresses: readonly Ip[]): void {
    this.#addresses = addresses;
    for (const key of this.#checks.keys()) this.#listen(key);
    this.#closeRest();
  }

  /** What a Service's load balancers are to hear; undefined: nothing any more. */
  set(serviceKey: string, check: HealthCheck | undefined): void {
    const before = this.#checks.get(serviceKey);
    if (check) this.#checks.set(serviceKey, check);
    else this.#checks.delete(serviceKey);
    if (before?.port === check?.port) return;
    this.#listen(serviceKey);
    this.#closeRest();
  }

  close(): void {
    this.#checks.clear();
    this.#closeRest();
    this.#retry?.cancel();
  }

  #listen(serviceKey: string): void {
    const port = this.#checks.get(serviceKey)?.port;
    if (port === undefined) return;
    for (const host of this.#addresses) {
      const place = `${host} ${port}`;
      if (this.#listeners.has(place)) continue;
      const server = createServer((_, response) => this.#answer(port, response));
      const listener = { server, failed: false };
      this.#listeners.set(place, listener);
      server.on('error', (error) => this.#refused(serviceKey, listener, place, error));
      server.listen({ host, port });
    }
  }

  #refused(serviceKey: string, listener: Listener, place: string, error: Error): void {
    listener.failed = true;
    if (this.#listeners.get(place) !== listener) return;
    this.#options.onRefused(serviceKey, error.message);
    this.#retry ??= this.#options.clock.setTimer(BIND_RETRY, () => {
      this.#retry = undefined;
      for (const [key, { failed }] of this.#listeners) if (failed) this.#listeners.delete(key);
      for (const key of this.#checks.keys()) this.#listen(key);
    });
  }

  #closeRest(): void {
    const wanted = new Set(
      [...this.#checks.values()].flatMap(({ port }) => this.#addresses.map((host) => `${host} ${port}`)),
    );
    for (const [place, { server }] of this.#listeners) {
      if (wanted.has(place)) continue;
      this.#listeners.delete(place);
      server.close();
      server.closeAllConnections();
    }
  }

  #answer(port: number, response: ServerResponse): void {
    const found = [...this.#checks].find(([, check]) => check.port === port);
    if (!found) {
      response.writeHead(404).end();
      return;
    }
    const [key, { endpoints }] = found;
    const [namespace, name] = key.split('/');
    const healthy = this.#options.healthy();
    response.writeHead(endpoints > 0 && healthy ? 200 : 503, {
      'Content-Type': 'application/json',
      'X-Content-Type-Options': 'nosniff',
      'X-Load-Balancing-Endpoint-Weight': String(endpoints),
    });
    const body = { service: { namespace, name }, localEndpoints: endpoints, serviceProxyHealthy: healthy };
    response.end(JSON.stringify(body));
  }
}
