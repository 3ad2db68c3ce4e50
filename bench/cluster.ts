// The controller against a real etcd and kube-apiserver: from the creation of a Service to its status, one by one and
// in a burst.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from 'js-yaml';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from '../src/clock/clock.ts';
import { connectKube } from '../src/kube/connection.ts';
import type { KubeApi } from '../src/kube/kube-api.ts';
import { kubeMetrics } from '../src/kube/metrics.ts';
import type { KubeObject, ServiceObject } from '../src/kube/objects.ts';
import { Reflector } from '../src/kube/reflector.ts';
import { IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Store } from '../src/kube/store.ts';
import { accountToken, createAccounts } from '../src/lab/accounts.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../src/lab/kinds.ts';
import { findKubernetes } from '../src/lab/kubernetes-binaries.ts';
import { KubernetesServer } from '../src/lab/kubernetes-server.ts';
import { SERVICE_CIDRS } from '../src/lab/plan.ts';
import { whenStored, within } from '../src/lab/waiting.ts';
import type { BenchRow } from './row.ts';

const FOLDER = '/run/fairlead-bench-cluster';
const CHECKOUT = join(import.meta.dirname, '..');
const ONE_BY_ONE = 200;
const BURST = 1_000;
/** Creations under way at a time in the burst. */
const AT_ONCE = 32;
const LIMIT = 120_000;

/** No rows, and a word why, where there is neither etcd nor kube-apiserver. */
export async function cluster(): Promise<BenchRow[]> {
  const binaries = findKubernetes();
  if (binaries.kind === 'missing') {
    console.error(`left out: ${binaries.problem}`);
    return [];
  }
  mkdirSync(FOLDER);
  const folder = join(FOLDER, 'kubernetes');
  const server = await KubernetesServer.start({
    binaries: binaries.folder,
    folder,
    host: '127.0.0.1',
    port: 0,
    serviceCidrs: SERVICE_CIDRS,
  });
  const stop = new AbortController();
  try {
    const api = await connectTo(server);
    const services = new Store<ServiceObject>();
    await follow(api, services, stop.signal);
    const end = await startController(server, api);
    const latencies = await oneByOne(api, services);
    const burst = await inABurst(api, services);
    await end();
    return [...latencyRows(latencies), ...burst];
  } finally {
    stop.abort();
    await server.close();
  }
}

async function connectTo(server: KubernetesServer): Promise<KubeApi> {
  const kubeconfig = join(FOLDER, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig());
  const api = await connectKube(kubeconfig);
  for (const file of readdirSync(join(CHECKOUT, 'deploy/crds'))) {
    const text = readFileSync(join(CHECKOUT, 'deploy/crds', file), 'utf8');
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, load(text) as KubeObject); // our own manifests
  }
  await createAccounts(api);
  return api;
}

async function follow(api: KubeApi, store: Store<ServiceObject>, signal: AbortSignal): Promise<void> {
  const log = pino({ level: 'silent' });
  const metrics = kubeMetrics(new Registry());
  const common = { api, store, clock: systemClock, random: Math.random, log, metrics };
  const reflector = new Reflector({ ...common, resource: SERVICES });
  void reflector.run(signal);
  await reflector.synced;
}

/** As its account; with a pool large enough. Resolves, when it knows the cluster, with the way to end it. */
async function startController(server: KubernetesServer, api: KubeApi): Promise<() => Promise<void>> {
  const kubeconfig = join(FOLDER, 'controller');
  writeFileSync(kubeconfig, server.kubeconfig(await accountToken(api, 'controller')));
  const words = ['controller', '--kubeconfig', kubeconfig, '--metrics-bind-address', '127.0.0.1:0'];
  const child = spawn(join(CHECKOUT, 'bin/fairlead'), words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const synced = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on(
    'line',
    (line) => line.includes('"msg":"synced"') && synced.resolve(),
  );
  await within(LIMIT, 'a controller that knows the cluster', synced.promise);
  await api.create(IP_ADDRESS_POOLS, {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'IPAddressPool',
    metadata: { name: 'bench' },
    spec: { addresses: ['198.18.0.0/15'] },
  } as KubeObject);
  return async () => {
    child.kill();
    await once(child, 'exit');
  };
}

async function create(api: KubeApi, name: string): Promise<void> {
  await api.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ port: 80 }] },
  } as ServiceObject);
}

function hasAddress({ status }: ServiceObject): boolean {
  return status?.loadBalancer?.ingress?.[0] !== undefined;
}

/** Milliseconds from asking for each Service to its address, as a watch brings it. */
async function oneByOne(api: KubeApi, services: Store<ServiceObject>): Promise<number[]> {
  const latencies: number[] = [];
  for (let i = 0; i < ONE_BY_ONE; i++) {
    const name = `single-${i}`;
    const assigned = whenStored(services, `default/${name}`, hasAddress);
    const began = performance.now();
    await create(api, name);
    await within(LIMIT, `an address of ${name}`, assigned);
    latencies.push(performance.now() - began);
  }
  return latencies.sort((a, b) => a - b);
}

async function inABurst(api: KubeApi, services: Store<ServiceObject>): Promise<BenchRow[]> {
  const names = Array.from({ length: BURST }, (_, i) => `burst-${i}`);
  const assigned = names.map((name) => whenStored(services, `default/${name}`, hasAddress));
  const began = performance.now();
  const waiting = [...names];
  const worker = async () => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) await create(api, name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const created = performance.now() - began;
  await within(LIMIT, 'an address of each Service', Promise.all(assigned));
  const alternative = { name: 'their creations alone, as fast as the API server takes them', value: created };
  const value = performance.now() - began;
  const name = `${BURST.toLocaleString('en')} Services at once on a real API server, to the last status`;
  return [{ name, value, unit: 'ms', alternative }];
}

function latencyRows(sorted: readonly number[]): BenchRow[] {
  const at = (part: number) => sorted[Math.floor(sorted.length * part)] ?? 0;
  const name = 'create → status of one Service on a real API server';
  return [
    { name: `${name}, median of ${sorted.length}`, value: at(0.5), unit: 'ms' },
    { name: `${name}, 99th percentile`, value: at(0.99), unit: 'ms' },
  ];
}
