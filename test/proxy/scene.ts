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
  readonly #present = { services: new Set<string>(), slices: new Set<string>() };
  readonly #serving = new Set<string>();

  /** A proxy, the first or in place of one that was killed. */
  async start(node: NodeText, environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.proxy = new Child(this.network.namespaceOf('node'), 'proxy-process.ts', environment);
    await this.proxy.call('start', node);
  }

  /** As with kill -9: the rules stay. */
  async kill(): Promise<void> {
    await this.proxy?.kill();
  }

  async servePods(): Promise<void> {
    for (const name of ['a', 'b', 'c'] as const)
      for (const transport of ['TCP', 'UDP'] as const) await this.serve(name, name, transport, POD_PORT);
  }

  /** A host answers on a port with this name, from now on. */
  async serve(host: keyof Network['hosts'], name: string, transport: Transport, port: number): Promise<void> {
    const place = `${host} ${transport} ${port}`;
    if (this.#serving.has(place)) return;
    this.#serving.add(place);
    await this.network.hosts[host].call('serve', name, transport, port);
  }

  /** Changes objects; null: it goes. Resolves when that is in force, and flows that it ends are ended. */
  async set(objects: Objects): Promise<void> {
    for (const kind of ['services', 'slices'] as const)
      for (const [key, object] of Object.entries(objects[kind] ?? {}))
        this.#present[kind][object ? 'add' : 'delete'](key);
    await this.bring(objects);
  }

  /** The node is like this from now on. */
  async setNode(node: NodeText): Promise<void> {
    await this.proxy.call('node', node);
  }

  protected async bring(objects: Objects): Promise<void> {
    await this.proxy.call('set', objects);
  }

  /** As `bring`, for what goes and need not be waited for. */
  protected forget(objects: Objects): Promise<void> {
    return this.bring(objects);
  }

  /** The Service `web`, or another one, with one port 80 and whatever else. */
  async given(
    transport: Transport,
    spec: Parameters<typeof service>[1],
    pods: readonly EndpointText[],
    status: Parameters<typeof service>[2] = {},
    name = 'web',
  ): Promise<void> {
    const ports = [{ protocol: transport, port: 80, ...spec.ports?.[0] }];
    await this.set({
      services: { [`default/${name}`]: service(name, { ...spec, ports }, status) },
      slices: { [`default/${name}-1`]: slice(name, pods, [{ protocol: transport, port: POD_PORT }]) },
    });
  }

  /** Every Service goes, at the latest before what is set next. */
  async clear(): Promise<void> {
    const gone = (keys: ReadonlySet<string>) => Object.fromEntries([...keys].map((key) => [key, null]));
    const { services, slices } = this.#present;
    await this.forget({ services: gone(services), slices: gone(slices) });
    services.clear();
    slices.clear();
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
    await this.kill();
    await this.network.remove();
  }
}

export const pod = (name: keyof typeof POD, v: 0 | 1, more: Partial<EndpointText> = {}): EndpointText => ({
  address: POD[name][v],
  node: name === 'c' ? 'node2' : 'node',
  ...more,
});
