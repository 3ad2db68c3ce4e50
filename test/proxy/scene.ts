// A network with a proxy on its node, and one Service `web` on it that a test describes in few words.
import { Child } from './child.ts';
import type { Question, Reply, Transport } from './host-process.ts';
import { makeNetwork, type Network, POD } from './network.ts';
import { type EndpointText, type Objects, service, slice } from './objects.ts';
import type { NodeText } from './proxy-process.ts';

/** The port that pods a, b and c answer on with their names. */
const POD_PORT = 8080;
/** An answer that comes takes a millisecond; that none comes is waited for this long, in milliseconds. */
const SILENCE = 400;

export class Scene {
  readonly network: Network = makeNetwork();
  proxy!: Child; // `start` sets it, which tests call first
  readonly #present = new Set<string>();

  /** A proxy, the first or in place of one that was killed. */
  async start(node: NodeText, environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.proxy = new Child(this.network.namespaceOf('node'), 'proxy-process.ts', environment);
    await this.proxy.call('start', node);
  }

  async servePods(): Promise<void> {
    const { a, b, c } = this.network.hosts;
    for (const [name, pod] of Object.entries({ a, b, c }))
      for (const transport of ['TCP', 'UDP']) await pod.call('serve', name, transport, POD_PORT);
  }

  /** The Service `web`, or another one, with one port 80 and whatever else. */
  async given(
    transport: Transport,
    spec: Parameters<typeof service>[1],
    pods: readonly EndpointText[],
    status: Parameters<typeof service>[2] = {},
    name = 'web',
  ): Promise<void> {
    this.#present.add(name);
    const ports = [{ protocol: transport, port: 80, ...spec.ports?.[0] }];
    await this.proxy.call('set', {
      services: { [`default/${name}`]: service(name, { ...spec, ports }, status) },
      slices: { [`default/${name}-1`]: slice(name, pods, [{ protocol: transport, port: POD_PORT }]) },
    } satisfies Objects);
  }

  /** Every Service is gone. */
  async clear(): Promise<void> {
    const gone = (suffix: string) =>
      Object.fromEntries([...this.#present].map((name) => [`default/${name}${suffix}`, null]));
    await this.proxy.call('set', { services: gone(''), slices: gone('-1') } satisfies Objects);
    this.#present.clear();
  }

  ask(host: keyof Network['hosts'], transport: Transport, address: string, port = 80): Promise<Reply> {
    return this.network.hosts[host].call('ask', { transport, address, port } satisfies Question);
  }

  /** What there is instead of an answer; "no answer" where nothing comes. */
  async silence(
    host: keyof Network['hosts'],
    transport: Transport,
    address: string,
    port = 80,
  ): Promise<string> {
    const question: Question = { transport, address, port, patience: SILENCE };
    const reply = await this.network.hosts[host].call<Reply>('ask', question);
    return 'error' in reply ? reply.error : `an answer from ${reply.name}`;
  }

  /** The names that answered, each once and in order. */
  async names(
    host: keyof Network['hosts'],
    transport: Transport,
    address: string,
    port = 80,
  ): Promise<string[]> {
    const question: Question = { transport, address, port };
    // That one of two is not picked in 40 times comes once in 10^12 runs.
    const replies = await this.network.hosts[host].call<Reply[]>('askTimes', question, 40);
    return [...new Set(replies.map((reply) => ('name' in reply ? reply.name : reply.error)))].sort();
  }

  async remove(): Promise<void> {
    await this.proxy?.kill();
    await this.network.remove();
  }
}

export const pod = (name: keyof typeof POD, v: 0 | 1, more: Partial<EndpointText> = {}): EndpointText => ({
  address: POD[name][v],
  node: name === 'c' ? 'node2' : 'node',
  ...more,
});
