// A whole cluster on one machine: network, control plane, nodes with pods, and Fairlead's own processes in it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from '../clock/clock.ts';
import { connectKube } from '../kube/connection.ts';
import type { KubeApi, Resource } from '../kube/kube-api.ts';
import { kubeMetrics } from '../kube/metrics.ts';
import type { EndpointSliceObject, KubeObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { Reflector } from '../kube/reflector.ts';
import { ENDPOINT_SLICES, NODES, SERVICES } from '../kube/resources.ts';
import { Store } from '../kube/store.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { runEndpointSlices } from './endpoint-slices.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, LEASES, type LeaseObject, PODS, type PodObject } from './kinds.ts';
import { buildNetwork } from './network.ts';
import { runNodeLifecycle } from './node-lifecycle.ts';
import { type LabNode, type LabPlan, planLab } from './plan.ts';
import { POD_PORT } from './pod-answer.ts';
import { type LabProcess, startFairlead, startScript } from './processes.ts';
import { Requester } from './requester.ts';

const CRDS = join(import.meta.dirname, '../../deploy/crds');
/** The pods' label. */
export const APP = 'web';
const NAMESPACE = 'default';

export interface ClusterOptions {
  readonly nodes: number;
  readonly podsANode: number;
  /** For the kubeconfig and the logs. */
  readonly folder: string;
  /** Hears what is being done, for people who wait. */
  readonly onProgress?: (what: string) => void;
}

/** What the lab itself follows of the API server. */
export interface LabStores {
  readonly services: Store<ServiceObject>;
  readonly slices: Store<EndpointSliceObject>;
  readonly nodes: Store<NodeObject>;
  readonly pods: Store<PodObject>;
  readonly leases: Store<LeaseObject>;
}

export class Cluster {
  readonly plan: LabPlan;
  readonly api: KubeApi;
  readonly controlPlane: ControlPlane;
  readonly stores: LabStores;
  /** Fairlead's agents that run, by node. */
  readonly agents = new Map<string, LabProcess>();
  controller: LabProcess | undefined;
  readonly #folder: string;
  readonly #stop: AbortController;
  /** Everything else that runs, and followers that end. */
  readonly #parts: (() => Promise<unknown>)[];

  constructor(parts: {
    plan: LabPlan;
    api: KubeApi;
    controlPlane: ControlPlane;
    stores: LabStores;
    folder: string;
    stop: AbortController;
    parts: (() => Promise<unknown>)[];
  }) {
    this.plan = parts.plan;
    this.api = parts.api;
    this.controlPlane = parts.controlPlane;
    this.stores = parts.stores;
    this.#folder = parts.folder;
    this.#stop = parts.stop;
    this.#parts = parts.parts;
  }

  /** Starts the controller on the control-plane host; resolves when it knows the cluster. */
  async startController(args: readonly string[] = []): Promise<LabProcess> {
    this.controller = await startFairlead('controller', {
      namespace: this.plan.controlPlane.name,
      logFolder: this.#folder,
      args: ['controller', '--kubeconfig', this.controlPlane.kubeconfig, ...args],
      ready: 'synced',
    });
    return this.controller;
  }

  /** Starts the agent of one node; resolves when it forwards and announces. */
  async startAgent({ name }: LabNode, args: readonly string[] = []): Promise<LabProcess> {
    const kubeconfig = ['--kubeconfig', this.controlPlane.kubeconfig];
    const agent = await startFairlead(`agent-${name}`, {
      namespace: name,
      logFolder: this.#folder,
      args: ['agent', ...kubeconfig, '--node-name', name, ...args],
      ready: 'ready',
    });
    this.agents.set(name, agent);
    return agent;
  }

  /** Makes requests as a host, node or pod of the lab. */
  async requesterIn(namespace: string): Promise<Requester> {
    const requester = await Requester.start(namespace, this.#folder);
    this.#parts.push(() => requester.close());
    return requester;
  }

  /** Stops every process. The network ends with the namespace that it is in. */
  async close(): Promise<void> {
    this.#stop.abort();
    const own = [...this.agents.values(), ...(this.controller ? [this.controller] : [])];
    await Promise.all(own.map((each) => each.stop()));
    await Promise.all(this.#parts.map((stop) => stop()));
    await this.controlPlane.stop();
  }
}

/** Everything but Fairlead. Rejects with what failed, and the end of the log of a process that did. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { folder, onProgress = () => {} } = options;
  const plan = planLab(options.nodes, options.podsANode);
  onProgress('building the network');
  buildNetwork(plan);
  onProgress('starting the API server');
  const controlPlane = await startControlPlane(plan.controlPlane, folder);
  const api = await connectKube(controlPlane.kubeconfig);
  const stop = new AbortController();
  const parts: (() => Promise<unknown>)[] = [];
  const cluster = new Cluster({ plan, api, controlPlane, stores: emptyStores(), folder, stop, parts });
  try {
    onProgress('starting the nodes and their pods');
    await createObjects(api, plan);
    const processes = await Promise.all(plan.nodes.flatMap((node) => startNode(node, controlPlane, folder)));
    parts.push(...processes.map((process) => () => process.stop()));
    await runControllers(cluster, join(folder, 'lab.log'), stop.signal, parts);
    return cluster;
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

function emptyStores(): LabStores {
  return {
    services: new Store(),
    slices: new Store(),
    nodes: new Store(),
    pods: new Store(),
    leases: new Store(),
  };
}

function startNode(node: LabNode, { kubeconfig }: ControlPlane, logFolder: string): Promise<LabProcess>[] {
  return [
    startScript(`kubelet-${node.name}`, {
      namespace: node.name,
      logFolder,
      script: 'kubelet.ts',
      args: [kubeconfig, node.name],
    }),
    ...node.pods.map(({ name }) =>
      startScript(`pod-${name}`, {
        namespace: name,
        logFolder,
        script: 'pod-server.ts',
        args: [name, node.name],
      }),
    ),
  ];
}

async function createObjects(api: KubeApi, plan: LabPlan): Promise<void> {
  for (const file of readdirSync(CRDS)) {
    const definition = load(readFileSync(join(CRDS, file), 'utf8')) as KubeObject; // our own manifests
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
  }
  const status = { type: 'merge', subresource: 'status', fieldManager: 'fairlead-lab' } as const;
  for (const node of plan.nodes) {
    await api.create(NODES, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: node.name, labels: { 'kubernetes.io/hostname': node.name } },
    });
    const addresses = node.addresses.map((address) => ({ type: 'InternalIP', address }));
    await api.patch(NODES, { name: node.name }, { status: { addresses } }, status);
    for (const pod of node.pods) {
      await api.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: pod.name, namespace: NAMESPACE, labels: { app: APP } },
        spec: {
          nodeName: node.name,
          containers: [
            { name: APP, image: 'fairlead.dev/lab', ports: [{ name: 'http', containerPort: POD_PORT }] },
          ],
        },
      });
      const [podIP, second] = pod.addresses;
      const podStatus = { phase: 'Running', podIP, podIPs: [{ ip: podIP }, { ip: second }] };
      await api.patch(PODS, { name: pod.name, namespace: NAMESPACE }, { status: podStatus }, status);
    }
  }
}

/** Follows what the lab's stand-ins need, and runs them. */
async function runControllers(
  { api, stores }: Cluster,
  logFile: string,
  signal: AbortSignal,
  parts: (() => Promise<unknown>)[],
): Promise<void> {
  const log = pino({ level: 'warn', base: { component: 'lab' } }, pino.destination(logFile));
  const metrics = kubeMetrics(new Registry());
  const follow = <T extends KubeObject>(resource: Resource<T>, store: Store<T>) => {
    const reflector = new Reflector({
      api,
      resource,
      store,
      clock: systemClock,
      random: Math.random,
      log,
      metrics,
    });
    const ended = reflector.run(signal);
    parts.push(() => ended);
    return reflector.synced;
  };
  const onError = (error: Error) => log.warn({ error: error.message }, 'a stand-in failed; will try again');
  await Promise.all([
    follow(SERVICES, stores.services),
    follow(ENDPOINT_SLICES, stores.slices),
    follow(NODES, stores.nodes),
    follow(PODS, stores.pods),
  ]);
  runNodeLifecycle({ api, clock: systemClock, ...stores, onError }, signal);
  runEndpointSlices({ api, ...stores, onError }, signal);
  await follow(LEASES, stores.leases);
}
