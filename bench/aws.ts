// What AWS costs: API calls of a change, and how soon a Service has its host name; the controller as a process, the
// embedded API server and the emulator in this one, with the real SDK in between.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from 'js-yaml';
import { systemClock } from '../src/clock/clock.ts';
import { connectKube } from '../src/kube/connection.ts';
import type { KubeApi } from '../src/kube/kube-api.ts';
import { kubeMetrics } from '../src/kube/metrics.ts';
import type { KubeObject, NodeObject, ServiceObject } from '../src/kube/objects.ts';
import { Reflector } from '../src/kube/reflector.ts';
import { CLOUD_ACCOUNTS, NODES, SERVICES } from '../src/kube/resources.ts';
import { Store } from '../src/kube/store.ts';
import { AwsEmulator } from '../src/lab/aws/emulator.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../src/lab/kinds.ts';
import { createLogger } from '../src/observe/logger.ts';
import { createRegistry } from '../src/observe/metrics.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

const ROOT = join(import.meta.dirname, '..');
const CRDS = join(ROOT, 'deploy/crds');
const PORT = 16_444;
const FEW = 50;
const MANY = 500;
const MANY_NODES = 50;
/** Creations of one Service, one after the other. */
const SINGLES = 20;
/** How much faster than AWS's own all buckets are refilled here, so that minutes take seconds. */
const SPEED = 10;
const BUCKETS = {
  describe: { burst: 40, perSecond: 10 * SPEED },
  mutate: { burst: 20, perSecond: 3 * SPEED },
  register: { burst: 20, perSecond: 4 * SPEED },
};
/** The account's defaults, as much faster. */
const LIMITS = {
  read: { burst: 30, perSecond: 8 * SPEED },
  write: { burst: 15, perSecond: 3 * SPEED },
  register: { burst: 15, perSecond: 4 * SPEED },
};
/** The security group of all nodes. */
const NODE_GROUP = 'sg-00000000000000aa';
const LISTS = new Set([
  'DescribeLoadBalancers',
  'DescribeTargetGroups',
  'DescribeSecurityGroups',
  'DescribeTags',
]);
const FREELY = { perSecond: 1000, burst: 1000 };
/** Milliseconds without a call after which a change counts as done. */
const QUIET = 600;
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench' };

interface Calls {
  readonly reads: number;
  readonly writes: number;
}

export function aws(): Promise<BenchRow[]> {
  return withBench(calls);
}

export function awsScale(): Promise<BenchRow[]> {
  return withBench(scale);
}

async function withBench(measure: (bench: Bench) => Promise<BenchRow[]>): Promise<BenchRow[]> {
  const bench = await Bench.start();
  try {
    return await measure(bench);
  } finally {
    await bench.close();
  }
}

/** The same changes as were measured with the AWS controller: one TCP port, instance targets. */
async function calls(bench: Bench): Promise<BenchRow[]> {
  const { api } = bench;
  const rows: BenchRow[] = [];
  const row = (what: string, { reads, writes }: Calls, most: Calls, theirs: Calls) => {
    for (const [kind, value] of [
      ['writes', writes],
      ['reads', reads],
    ] as const)
      rows.push({
        name: `AWS, ${what}: ${kind}`,
        value,
        unit: 'calls',
        target: `<= ${most[kind]}`,
        alternative: { name: 'AWS Load Balancer Controller', value: theirs[kind] },
      });
  };
  await bench.run();
  await bench.create('warm', 1);
  await bench.healthy();
  row(
    'create',
    await bench.calls(() => bench.create('one', 1)),
    { writes: 8, reads: 8 },
    { writes: 8, reads: 16 },
  );
  const web = { name: 'one-0', namespace: 'default' };
  const patch = (body: object) => api.patch(SERVICES, web, body, { type: 'merge', fieldManager: 'bench' });
  const annotated = await bench.calls(() => patch({ metadata: { annotations: { 'example.com/a': 'b' } } }));
  row('an unrelated annotation', annotated, { writes: 0, reads: 1 }, { writes: 0, reads: 16 });
  const ported = await bench.calls(() => patch({ spec: { ports: [{ port: 81 }] } }));
  row('one port changed', ported, { writes: 8, reads: 6 }, { writes: 8, reads: 19 });
  row(
    'delete',
    await bench.calls(() => bench.delete(['one-0'])),
    { writes: 6, reads: 4 },
    { writes: 6, reads: 7 },
  );

  await bench.create('few', FEW - 1);
  await bench.healthy();
  const added = await bench.calls(() => bench.addNodes('more', 1));
  row(`one node added, ${FEW} Services`, added, { writes: FEW + 1, reads: 5 }, { writes: 51, reads: 53 });
  await bench.stop();
  const restarted = await bench.calls(() => bench.run());
  row(`restart, ${FEW} Services`, restarted, { writes: 0, reads: 20 }, { writes: 0, reads: 754 });
  await bench.stop();
  await bench.account('free', {});
  await bench.run(['--drift-check', '2s']);
  await bench.calls(async () => {});
  const looks = bench.count('DescribeTargetGroups');
  const began = bench.emulator.calls.length;
  await bench.untilCalls(() => bench.count('DescribeTargetGroups') >= looks + 2);
  const drift = bench.emulator.calls.slice(began).map(({ action }) => action);
  const lists = drift.filter((action) => LISTS.has(action)).length;
  rows.push({
    name: `AWS, steady state, ${FEW} Services, lists of a look`,
    value: lists / 2,
    unit: 'calls',
    target: `<= ${3 + (2 * FEW) / 20}`,
  });
  rows.push({
    name: `AWS, steady state, ${FEW} Services, what lists do not tell, of a look`,
    value: (drift.length - lists) / 2,
    unit: 'calls',
    target: '<= a quarter of the reads that the account may make meanwhile',
  });
  await bench.stop();
  return rows;
}

async function scale(bench: Bench): Promise<BenchRow[]> {
  await bench.run();
  const singles: number[] = [];
  for (let i = 0; i < SINGLES; i++) singles.push(await bench.create(`single${i}`, 1));
  const median = quantile(singles, 0.5);
  await bench.stop();
  await bench.fresh();
  await bench.addNodes('node', MANY_NODES);
  bench.emulator.cloud.behaviour.buckets = BUCKETS;
  bench.emulator.cloud.behaviour.quotas.loadBalancers = 2 * MANY;
  for (const subnet of bench.emulator.cloud.subnets) subnet.freeAddresses = 2 * MANY;
  await bench.account('limited', { rateLimits: LIMITS });
  await bench.run();
  const time = await bench.create('many', MANY);
  const throttled = bench.emulator.calls.filter(
    ({ fault }) => fault === 'Throttling' || fault === 'RequestLimitExceeded',
  );
  const memory = bench.memory();
  await bench.stop();
  return [
    {
      name: `AWS, create → host name, one after the other, median of ${SINGLES}`,
      value: median,
      unit: 'ms',
      target: '< 250',
    },
    {
      name: `AWS, ${MANY} Services x ${MANY_NODES} nodes, until all have host names, AWS's buckets`,
      value: (time / 1000) * SPEED,
      unit: 's',
    },
    { name: 'throttle errors meanwhile', value: throttled.length, unit: '', target: '0' },
    { name: `controller resident memory, ${MANY} Services on AWS`, value: memory, unit: 'MB' },
  ];
}

class Bench {
  readonly emulator: AwsEmulator;
  readonly api: KubeApi;
  readonly #services = new Store<ServiceObject>();
  readonly #stop = new AbortController();
  readonly #folder: string;
  readonly #server: ChildProcess;
  #controller: ChildProcess | undefined;

  private constructor(emulator: AwsEmulator, api: KubeApi, folder: string, server: ChildProcess) {
    this.emulator = emulator;
    this.api = api;
    this.#folder = folder;
    this.#server = server;
  }

  static async start(): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
    const words = ['embedded', join(folder, 'kubeconfig'), '127.0.0.1', `${PORT}`, '10.96.0.0/12'];
    const server = spawn(process.execPath, [join(ROOT, 'src/lab/hosts/api-server.ts'), ...words], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(server, 'message');
    const api = await connectKube(join(folder, 'kubeconfig'));
    for (const file of readdirSync(CRDS)) {
      const definition = load(readFileSync(join(CRDS, file), 'utf8')) as KubeObject; // our own manifests
      await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
    }
    const bench = new Bench(await AwsEmulator.start(), api, folder, server);
    const log = createLogger({ component: 'bench', level: 'silent' });
    const metrics = kubeMetrics(createRegistry());
    const store = bench.#services;
    const options = { api, resource: SERVICES, store, clock: systemClock, random: Math.random, log, metrics };
    void new Reflector(options).run(bench.#stop.signal);
    const { cloud } = bench.emulator;
    cloud.securityGroups.set(NODE_GROUP, {
      id: NODE_GROUP,
      name: 'nodes',
      vpc: cloud.vpc,
      rules: [],
      tags: {},
    });
    await bench.addNodes('first', 2);
    await bench.account('free', { rateLimits: { read: FREELY, write: FREELY, register: FREELY } });
    return bench;
  }

  async close(): Promise<void> {
    await this.stop();
    this.#stop.abort();
    this.#server.kill();
    await this.emulator.close();
    rmSync(this.#folder, { recursive: true });
  }

  /** The one account that there is. */
  async account(name: string, more: object): Promise<void> {
    for (const { metadata } of (await this.api.list(CLOUD_ACCOUNTS, {})).items)
      await this.api.delete(CLOUD_ACCOUNTS, { name: metadata.name });
    const { vpc } = this.emulator.cloud;
    const aws = { region: 'eu-central-1', vpcID: vpc, endpoint: this.emulator.endpoint, ...more };
    const spec = { provider: 'aws', clusterName: 'bench', default: true, aws };
    const object = { apiVersion: 'fairlead.dev/v1alpha1', kind: 'CloudAccount', metadata: { name }, spec };
    await this.api.create(CLOUD_ACCOUNTS, object);
  }

  async addNodes(prefix: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const name = `${prefix}-${i}`;
      const id = `i-${Buffer.from(name).toString('hex').padStart(17, '0').slice(-17)}`;
      this.emulator.cloud.addInstance(id, { groups: [NODE_GROUP] });
      const node: NodeObject = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name },
        spec: { providerID: `aws:///eu-central-1a/${id}` },
      };
      await this.api.create(NODES, node);
      const status = { conditions: [{ type: 'Ready', status: 'True' }] };
      const options = { type: 'merge', subresource: 'status', fieldManager: 'bench' } as const;
      await this.api.patch(NODES, { name }, { status }, options);
    }
  }

  /** Milliseconds from the first create until all are Active. */
  async create(prefix: string, count: number): Promise<number> {
    const began = performance.now();
    const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
    for (const name of names)
      await this.api.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'default' },
        spec: { type: 'LoadBalancer', loadBalancerClass: 'fairlead.dev/aws-nlb', ports: [{ port: 80 }] },
      });
    const isActive = (name: string) =>
      this.#services.get(`default/${name}`)?.status?.conditions?.some(({ reason }) => reason === 'Active');
    await this.#until(() => names.every(isActive));
    return performance.now() - began;
  }

  /** Resolves when AWS has been asked for the health of all targets, as it is 15 seconds after each create. */
  async healthy(): Promise<void> {
    const isHealthy = ({ spec, status }: ServiceObject) =>
      spec.loadBalancerClass === undefined ||
      status?.conditions?.some(
        (each) => each.type === 'fairlead.dev/TargetsHealthy' && each.status === 'True',
      );
    await this.#until(() => [...this.#services.values()].every(isHealthy));
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) await this.api.delete(SERVICES, { name, namespace: 'default' });
    await this.#until(() => names.every((name) => this.#services.get(`default/${name}`) === undefined));
  }

  /** No Service any more, and nothing in AWS. */
  async fresh(): Promise<void> {
    await this.run();
    await this.delete(
      [...this.#services.values()]
        .map(({ metadata }) => metadata.name)
        .filter((name) => name !== 'kubernetes'),
    );
    await this.stop();
    this.emulator.calls.length = 0;
  }

  /** The calls from the beginning of the change until AWS is left in peace. */
  async calls(change: () => Promise<unknown>): Promise<Calls> {
    this.emulator.calls.length = 0;
    await change();
    let seen = -1;
    while (seen !== this.emulator.calls.length) {
      seen = this.emulator.calls.length;
      await new Promise((resolve) => setTimeout(resolve, QUIET));
    }
    const reads = this.emulator.calls.filter(({ action }) => action.startsWith('Describe')).length;
    return { reads, writes: seen - reads };
  }

  count(action: string): number {
    return this.emulator.calls.filter((each) => each.action === action).length;
  }

  async untilCalls(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Resolves when the controller has opened the account. */
  async run(args: readonly string[] = []): Promise<void> {
    const kubeconfig = join(this.#folder, 'kubeconfig');
    const pages = ['--metrics-bind-address', '127.0.0.1:0', '--no-leader-elect'];
    const child = spawn(
      join(ROOT, 'bin/fairlead'),
      ['controller', '--kubeconfig', kubeconfig, ...pages, ...args],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, ...CREDENTIALS },
      },
    );
    this.#controller = child;
    const lines = createInterface({ input: child.stdout });
    await new Promise<void>((resolve) => {
      lines.on('line', (line) => line.includes('"msg":"opened a cloud account"') && resolve());
    });
  }

  async stop(): Promise<void> {
    const child = this.#controller;
    this.#controller = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  }

  /** Resident, in MB. */
  memory(): number {
    const status = readFileSync(`/proc/${this.#controller?.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  #until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const unsubscribe = this.#services.subscribe(() => {
        if (!isSo()) return;
        unsubscribe();
        resolve();
      });
      if (isSo()) {
        unsubscribe();
        resolve();
      }
    });
  }
}
