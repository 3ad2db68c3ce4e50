// The main job, shown: a Service gets an address, answers on it, and survives the loss of the node that announced it.
import { mkdirSync } from 'node:fs';
import type { ApiServerKind } from '../lab/api-server.ts';
import { Cluster, type ClusterOptions } from '../lab/cluster.ts';
import { plugIn } from '../lab/network.ts';
import {
  AWS_CONTROLLER,
  type AwsStage,
  createAccount,
  createCloudService,
  healthyTargets,
  lostNode,
  releaseCloud,
  repairedDrift,
} from './aws-steps.ts';
import { type Report, Reporter, timeline } from './report.ts';
import {
  createPool,
  createService,
  failover,
  firstAnswers,
  otherFrontends,
  release,
  type Stage,
  spread,
} from './steps.ts';
import { WireObserver } from './wire-observer.ts';

export interface DemoOptions {
  readonly keep: boolean;
  readonly json: boolean;
  readonly nodes: number;
  readonly apiserver: ApiServerKind;
  readonly provider: DemoProvider;
}

/** Who serves the Service of the demonstration. */
export const DEMO_PROVIDERS = ['l2', 'aws'] as const;
export type DemoProvider = (typeof DEMO_PROVIDERS)[number];

/** What is known outside of the lab's namespaces only. */
export interface HostView {
  /** A process that is in them, by the host's count. */
  readonly pid: number;
  /** Whether they include a user namespace. */
  readonly userNamespace: boolean;
}

/** In the lab's own mount namespace: it is gone when the lab is. */
const FOLDER = '/run/fairlead-lab';
const PODS_A_NODE = 2;
/** Of a shell's command that SIGINT ended. */
const STOPPED_STATUS = 130;

/** Returns the exit status: 0 only where every step was observed. */
export async function runDemo(options: DemoOptions, host: HostView): Promise<number> {
  const stop = Promise.withResolvers<'stopped'>();
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(signal, () => stop.resolve('stopped'));
  mkdirSync(FOLDER);
  const reporter = new Reporter();
  const closing: (() => Promise<void>)[] = [];
  const report = await Promise.race([perform(options, reporter, closing), stop.promise]);
  if (report !== 'stopped') {
    console.log(options.json ? JSON.stringify(report) : timeline(report));
    if (options.keep && report.ok) {
      console.error(howToReach(host, options.provider));
      await stop.promise;
    }
  }
  for (const close of closing.reverse()) await close();
  if (report !== 'stopped') return report.ok ? 0 : 1;
  console.error('fairlead: stopped; nothing is left behind');
  return STOPPED_STATUS;
}

/** `closing` gathers what is to be closed, in the order of its making. */
async function perform(
  { nodes, keep, apiserver, provider }: DemoOptions,
  reporter: Reporter,
  closing: (() => Promise<void>)[],
): Promise<Report> {
  try {
    const size = { nodes, apiServer: apiserver };
    if (provider === 'aws') {
      const stage = await setUpAws(size, reporter, closing);
      await createAccount(stage);
      await createCloudService(stage);
      await healthyTargets(stage);
      await lostNode(stage);
      await repairedDrift(stage);
      if (!keep) await releaseCloud(stage);
      return reporter.report();
    }
    const stage = await setUp(size, reporter, closing);
    await createPool(stage);
    const shown = await createService(stage);
    const owner = await firstAnswers(stage, shown);
    await spread(stage, shown);
    await otherFrontends(stage, shown);
    await failover(stage, shown, owner);
    if (keep) plugIn(owner);
    else await release(stage, shown);
    return reporter.report();
  } catch (error) {
    const last = reporter.steps.at(-1);
    const { message } = error as Error; // the lab throws nothing else
    return reporter.report({ after: last?.name ?? 'the start', problem: message });
  }
}

type Size = Pick<ClusterOptions, 'nodes' | 'apiServer'>;

async function startCluster(
  options: Size & Pick<ClusterOptions, 'aws'>,
  reporter: Reporter,
  closing: (() => Promise<void>)[],
): Promise<Cluster> {
  const onProgress = (what: string) => reporter.progress(what);
  const cluster = await Cluster.start({ ...options, podsANode: PODS_A_NODE, folder: FOLDER, onProgress });
  closing.push(() => cluster.close());
  return cluster;
}

async function setUpAws(size: Size, reporter: Reporter, closing: (() => Promise<void>)[]): Promise<AwsStage> {
  const began = performance.now();
  const cluster = await startCluster({ ...size, aws: true }, reporter, closing);
  const { plan, aws } = cluster;
  if (!aws || !plan.aws) throw new Error('the lab has no AWS');
  reporter.progress('starting the controller and the agents');
  const [client] = await Promise.all([
    cluster.requesterIn(plan.client.name),
    cluster.startController(AWS_CONTROLLER.args, AWS_CONTROLLER.environment),
    ...plan.nodes.map((node) => cluster.startAgent(node)),
  ]);
  reporter.step({
    name: 'lab',
    what: `a LAN with a control plane, AWS (emulated), ${plan.nodes.length} nodes as instances and a client; the controller and an agent a node run`,
    observed: { nodes: plan.nodes.map(({ name, instance }) => `${name} ${instance}`) },
    milliseconds: performance.now() - began,
  });
  return { cluster, aws, front: plan.aws.addresses[0], client, reporter };
}

async function setUp(size: Size, reporter: Reporter, closing: (() => Promise<void>)[]): Promise<Stage> {
  const began = performance.now();
  const cluster = await startCluster(size, reporter, closing);
  const { plan } = cluster;
  const [firstNode] = plan.nodes;
  const wire = new WireObserver(plan.client);
  closing.push(async () => wire.close());
  reporter.progress('starting the controller and the agents');
  const [client, pod] = await Promise.all([
    cluster.requesterIn(plan.client.name),
    cluster.requesterIn(firstNode?.pods[0]?.name ?? ''),
    cluster.startController(),
    ...plan.nodes.map((node) => cluster.startAgent(node)),
  ]);
  const pods = plan.nodes.length * PODS_A_NODE;
  reporter.step({
    name: 'lab',
    what: `a LAN with a control plane, ${plan.nodes.length} nodes, ${pods} pods and a client; the controller and an agent a node run`,
    observed: { nodes: plan.nodes.map(({ name }) => name), pods },
    milliseconds: performance.now() - began,
  });
  return { cluster, client, pod, wire, reporter };
}

function howToReach({ pid, userNamespace }: HostView, provider: DemoProvider): string {
  const front = provider === 'aws' ? '192.0.2.5' : '192.0.2.200';
  return `
The lab stays up until Ctrl-C. A shell in it, from another terminal:

  nsenter --target ${pid} ${userNamespace ? '--user --preserve-credentials ' : ''}--mount --net

and in that shell:

  export KUBECONFIG=${FOLDER}/kubeconfig; kubectl get services    # the cluster
  ip netns exec client curl http://${front}/                   # as the client on the LAN
  ip netns exec node-1 nft list table inet fairlead               # as a node
  less ${FOLDER}/controller.log                                   # what everybody logs
`;
}
