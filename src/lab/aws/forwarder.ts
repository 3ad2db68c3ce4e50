// The way of the packets through an emulated load balancer: connections to its listeners, taken to healthy targets.
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Cloud, CloudListener } from './cloud.ts';

/** Milliseconds between two looks at which listeners there are. */
const TICK = 50;

export class Forwarder {
  readonly #cloud: Cloud;
  readonly #host: string;
  /** By the ARN of the listener. */
  readonly #servers = new Map<string, Server>();
  #turn = 0;

  /** `host`: where all load balancers answer; two with one port get in each other's way. TCP alone is forwarded. */
  constructor(cloud: Cloud, host: string) {
    this.#cloud = cloud;
    this.#host = host;
  }

  /** Forwards until `signal` aborts. */
  start(signal: AbortSignal): void {
    const timer = setInterval(() => this.#sync(), TICK);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      for (const server of this.#servers.values()) server.close();
    });
  }

  #sync(): void {
    const { listeners } = this.#cloud;
    for (const [arn, server] of this.#servers) {
      if (listeners.has(arn)) continue;
      server.close();
      this.#servers.delete(arn);
    }
    for (const listener of listeners.values()) {
      if (listener.protocol !== 'TCP' || this.#servers.has(listener.arn)) continue;
      const server = createServer((socket) => this.#forward(listener, socket));
      server.on('error', (error) => console.error(`port ${listener.port}: ${error.message}`));
      this.#servers.set(listener.arn, server.listen(listener.port, this.#host));
    }
  }

  #forward({ targetGroup }: CloudListener, socket: Socket): void {
    const group = this.#cloud.targetGroups.get(targetGroup);
    const targets = [...(group?.targets.values() ?? [])].filter(
      ({ drainsUntil }) => drainsUntil === undefined,
    );
    const healthy = targets.filter(
      ({ id, port }) => group && this.#cloud.behaviour.isHealthy(id, port, group) === true,
    );
    // Where none is healthy AWS sends to all.
    const usable = healthy.length > 0 ? healthy : targets;
    const target = usable[this.#turn++ % usable.length];
    if (!group || !target) return void socket.destroy();
    const host = group.targetType === 'ip' ? target.id : this.#cloud.instances.get(target.id)?.address;
    const onward = connect({ host: host ?? '', port: target.port });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    socket.pipe(onward).pipe(socket);
  }
}
