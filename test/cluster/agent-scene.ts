// A scene whose objects are in the API server of the test run, and whose node runs the agent.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { KubeApi } from '../../src/kube/kube-api.ts';
import { NODES } from '../../src/kube/resources.ts';
import { RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { Child } from '../proxy/child.ts';
import type { Question, Reply } from '../proxy/host-process.ts';
import { POD } from '../proxy/network.ts';
import { type Objects, service, slice } from '../proxy/objects.ts';
import type { NodeText } from '../proxy/proxy-process.ts';
import { Scene } from '../proxy/scene.ts';
import { inNamespace } from '../sockets/netns.ts';
import { AgentProcess } from './agent-process.ts';
import { apply, ObjectWriter } from './object-writer.ts';
import { relayTo } from './relay.ts';

const NAME = 'node';
/** Milliseconds. */
const DEADLINE = 30_000;
/** The Service that tells how far the agent has come; its ports, and those of the pod that answers. */
const TICK = { addresses: ['10.96.255.250', 'fd00:96::fffa'], kept: 999, turned: 1_000, pod: 7_000 } as const;

export class AgentScene extends Scene {
  #test!: TestServer; // `start` sets them, which tests call first
  #writer!: ObjectWriter;
  #relay: { readonly server: Server; readonly child: Child; readonly folder: string } | undefined;
  #agent: AgentProcess | undefined;
  #node: NodeText = {};
  #ticks = 0;

  override async start(node: NodeText, environment: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#relay ??= await this.#prepare();
    await this.#writeNode(node);
    const { podCidrs = [], masqueradeAll } = node;
    const { POD_INTERFACE: pods } = environment;
    const byName = ['--detect-local-mode', 'InterfaceNamePrefix', '--pod-interface-name-prefix'];
    const flags = [
      ...(pods === undefined ? [] : [...byName, pods.replace('*', '')]),
      ...(podCidrs.length > 0 ? ['--cluster-cidr', podCidrs.join()] : []),
      ...(masqueradeAll ? ['--masquerade-all'] : []),
    ];
    const kubeconfig = await this.#test.accountKubeconfig('agent');
    const networkNamespace = this.network.namespaceOf('node');
    this.#agent = new AgentProcess(kubeconfig, ['--no-announce', ...flags], {
      nodeName: NAME,
      networkNamespace,
    });
    await this.#agent.logged('ready');
  }

  override async kill(): Promise<void> {
    await this.#agent?.stop('SIGKILL');
    this.#agent = undefined;
  }

  /** What the agent has by flags, or what no set of its table shows, comes with another agent. */
  override async setNode(node: NodeText): Promise<void> {
    const { addresses = [], ...rest } = node;
    const { addresses: before = [], ...restBefore } = this.#node;
    if (JSON.stringify(rest) !== JSON.stringify(restBefore)) {
      await this.kill();
      await this.start(node);
      return;
    }
    if (addresses.join() === before.join()) return;
    await this.#writeNode(node);
    const list = 'nft list set inet fairlead nodes4; nft list set inet fairlead nodes6';
    const listed = () => inNamespace(this.network.namespaceOf('node'), list);
    const isListed = (address: string) => listed().includes(` ${address} `);
    const arrived = async () =>
      addresses.length === 0 ? !listed().includes('elements') : addresses.every(isListed);
    await this.#until(arrived);
  }

  override async remove(): Promise<void> {
    await super.remove();
    await this.#relay?.child.kill();
    this.#relay?.server.close();
    if (this.#relay) rmSync(this.#relay.folder, { recursive: true });
    await this.#test?.close();
  }

  get api(): KubeApi {
    return this.#test.api;
  }

  protected override async bring(objects: Objects): Promise<void> {
    await this.#writer.write(objects);
    await this.#writer.write(tick(++this.#ticks % 2));
    await this.#until(() => this.#hasTicked(this.#ticks % 2));
  }

  protected override forget(objects: Objects): Promise<void> {
    return this.#writer.write(objects);
  }

  /**
   * Whether the agent has done all that was to be done for the last tick, and so for what was written before it: its
   * Service and slices changed, which are watched each by themselves; and flows that ended by each of them are gone,
   * for the node asks from ports that it keeps.
   */
  async #hasTicked(turn: number): Promise<boolean> {
    for (const address of TICK.addresses) {
      const answer = async (port: number) => {
        const question: Question = { transport: 'UDP', address, port, from: port + 3_000, patience: 200 };
        const reply = await this.network.hosts.node.call<Reply>('ask', question);
        return 'name' in reply ? reply.name : reply.error;
      };
      if ((await answer(TICK.turned + turn)) !== `tick ${turn}`) return false;
      if ((await answer(TICK.kept)) !== `tick ${turn}`) return false;
      if ((await answer(TICK.turned + 1 - turn)) !== 'ECONNREFUSED') return false;
    }
    return true;
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    const limit = performance.now() + DEADLINE;
    while (!(await holds())) {
      // What the agent hears of the API server comes through this process.
      await setImmediate();
      if (performance.now() > limit)
        throw new Error(`the agent does not come up to date; it said ${this.#agent?.lastWords.join('\n')}`);
    }
  }

  async #prepare() {
    this.#test = await startTestServer({ crds: true });
    this.#writer = new ObjectWriter(this.api, await RawClient.open(this.#test.kubeconfig));
    for (const turn of [0, 1]) await this.serve('a', `tick ${turn}`, 'UDP', TICK.pod + turn);
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-relay-'));
    const path = join(folder, 'api');
    const port = Number(new URL(this.#test.server.url).port);
    const server = relayTo(() => connect(port, '127.0.0.1'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const child = new Child(this.network.namespaceOf('node'), '../cluster/api-relay-process.ts');
    await child.call('listen', port, path);
    return { server, child, folder };
  }

  async #writeNode(node: NodeText): Promise<void> {
    this.#node = node;
    const { addresses = [], zone } = node;
    const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone };
    await apply(this.api, NODES, { name: NAME }, { metadata: { name: NAME, labels } });
    const status = {
      addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
      conditions: [{ type: 'Ready', status: 'True' }],
    };
    const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
    await this.api.patch(NODES, { name: NAME }, { status }, options);
  }
}

/** The Service by which it is told how far the agent has come, in one of two states. */
function tick(turn: number): Objects {
  const ports = [
    { name: 'kept', protocol: 'UDP', port: TICK.kept },
    { name: 'turned', protocol: 'UDP', port: TICK.turned + turn },
  ] as const;
  const targets = ports.map(({ name, protocol }) => ({ name, protocol, port: TICK.pod + turn }));
  return {
    services: { 'default/tick': service('tick', { clusterIPs: TICK.addresses, ports }) },
    slices: {
      'default/tick-4': slice('tick', [{ address: POD.a[0] }], targets),
      'default/tick-6': slice('tick', [{ address: POD.a[1] }], targets),
    },
  };
}
