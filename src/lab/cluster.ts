// A whole cluster on one machine: network, control plane, nodes with pods, and Fairlead's own processes in it.
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { KubeApi } from '../kube/kube-api.ts';
import type { ApiServerKind } from './api-server.ts';
import { AwsHost } from './aws-host.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { buildNetwork } from './network.ts';
import { createObjects } from './objects.ts';
import { type LabNode, type LabPlan, planLab } from './plan.ts';
import { type LabProcess, startFairlead, startScript } from './processes.ts';
import { Requester, type Target } from './requester.ts';
import { StandIns } from './stand-ins.ts';

/** Milliseconds. */
const POLL = 20;
const AGENT_METRICS: Target = {
  host: '127.0.0.1',
  port: 10_249,
  path: '/metrics',
  protocol: 'http',
  timeout: 1_000,
};

export interface ClusterOptions {
  readonly nodes: number;
  readonly podsANode: number;
  /** For the kubeconfig and the logs. */
  readonly folder: string;
  readonly apiServer?: ApiServerKind;
  /** Whether the nodes are AWS instances, and an emulator stands on the LAN. */
  readonly aws?: boolean;
  /** Hears what is being done, for people who wait. */
  readonly onProgress?: (what: string) => void;
}

export class Cluster {
  readonly plan: LabPlan;
  readonly api: KubeApi;
  readonly controlPlane: ControlPlane;
  /** With what the lab knows of the API server's objects. */
  readonly standIns = new StandIns();
  /** Fairlead's agents that run, by node. */
  readonly agents = new Map<string, LabProcess>();
  controller: LabProcess | undefined;
  aws: AwsHost | undefined;
  readonly #folder: string;
  /** Who asks the agents on their nodes, by node. */
  readonly #probes = new Map<string, Promise<Requester>>();
  /** Everything else that runs. */
  readonly #parts: { stop(): Promise<unknown> }[] = [];

  private constructor(plan: LabPlan, controlPlane: ControlPlane, folder: string) {
    this.plan = plan;
    this.controlPlane = controlPlane;
    this.api = controlPlane.api;
    this.#folder = folder;
  }

  /** Everything but Fairlead. Rejects with what failed, and the end of the log of a process that did. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { nodes, podsANode, folder, apiServer = 'embedded', aws = false, onProgress = () => {} } = options;
    const plan = planLab(nodes, podsANode, { aws });
    onProgress('building the network');
    buildNetwork(plan);
    onProgress('starting the API server');
    const controlPlane = await startControlPlane(apiServer, plan.controlPlane, folder);
    const { api } = controlPlane;
    const cluster = new Cluster(plan, controlPlane, folder);
    try {
      onProgress('starting the nodes and their pods');
      await createObjects(api, plan);
      await Promise.all(plan.nodes.map((node) => cluster.#startNode(node)));
      if (plan.aws) {
        cluster.aws = await AwsHost.start(plan.aws, plan.nodes, folder);
        cluster.#parts.push(cluster.aws);
      }
      await cluster.standIns.start(api, join(folder, 'lab.log'));
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Starts the controller on the control-plane host; resolves when it knows the cluster. */
  async startController(
    args: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<LabProcess> {
    this.controller = await startFairlead('controller', {
      namespace: this.plan.controlPlane.name,
      logFolder: this.#folder,
      args: ['controller', ...['--kubeconfig', this.controlPlane.accounts.controller], ...args],
      ready: 'synced',
      environment,
    });
    return this.controller;
  }

  /** Starts the agent of one node; resolves when it forwards and announces. */
  async startAgent({ name }: LabNode, args: readonly string[] = []): Promise<LabProcess> {
    const agent = await startFairlead(`agent-${name}`, {
      namespace: name,
      logFolder: this.#folder,
      args: ['agent', '--kubeconfig', this.controlPlane.accounts.agent, '--node-name', name, ...args],
      ready: 'ready',
    });
    this.agents.set(name, agent);
    return agent;
  }

  /** Makes requests as a host, node or pod of the lab. */
  async requesterIn(namespace: string): Promise<Requester> {
    const requester = await Requester.start(namespace, this.#folder);
    this.#parts.push(requester);
    return requester;
  }

  /** Resolves once the node's agent hears a majority of the voters, so that it may be given addresses. */
  async takesPart({ name }: LabNode): Promise<void> {
    const probe = this.#probes.get(name) ?? this.requesterIn(name);
    this.#probes.set(name, probe);
    const requester = await probe;
    const said = '\nfairlead_membership_quorum 1\n';
    for (;;) {
      const reply = await requester.ask(AGENT_METRICS);
      if (reply.kind === 'answered' && reply.text.includes(said)) return;
      await wait(POLL);
    }
  }

  /** Stops every process. The network ends with the namespace that it is in. */
  async close(): Promise<void> {
    await this.standIns.close();
    const own = [...this.agents.values(), ...(this.controller ? [this.controller] : [])];
    await Promise.all(own.map((each) => each.stop()));
    await Promise.all(this.#parts.map((each) => each.stop()));
    await this.controlPlane.stop();
  }

  async #startNode({ name: node, pods }: LabNode): Promise<void> {
    const start = async (name: string, namespace: string, script: string, args: readonly string[]) =>
      this.#parts.push(await startScript(name, { namespace, logFolder: this.#folder, script, args }));
    await Promise.all([
      start(`kubelet-${node}`, node, 'kubelet.ts', [this.controlPlane.kubeconfig, node]),
      ...pods.map(({ name }) => start(`pod-${name}`, name, 'pod-server.ts', [name, node])),
    ]);
  }
}
