// How soon the controller gives addresses, against the embedded API server in a process of its own: one by one in a
// burst, and after a restart with many Services.
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
import { listAll } from '../src/kube/list-all.ts';
import { kubeMetrics } from '../src/kube/metrics.ts';
import type { KubeObject, ServiceObject } from '../src/kube/objects.ts';
import { Reflector } from '../src/kube/reflector.ts';
import { EVENTS, IP_ADDRESS_POOLS, SERVICES } from '../src/kube/resources.ts';
import { Store } from '../src/kube/store.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../src/lab/kinds.ts';
import { createLogger } from '../src/observe/logger.ts';
import { createRegistry } from '../src/observe/metrics.ts';
import type { BenchRow } from './row.ts';

const ROOT = join(import.meta.dirname, '..');
const CRDS = join(ROOT, 'deploy/crds');
const PORT = 16_443;
const SINGLES = 200;
const BURST = 1_000;
const MANY = 10_000;
/** There are fewer node ports than Services here. */
const NO_NODE_PORTS = { allocateLoadBalancerNodePorts: false };
/** Creations under way at once. */
const CONCURRENCY = 16;

export async function controller(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const kubeconfig = join(folder, 'kubeconfig');
  const server = spawn(
    process.execPath,
    [
      join(ROOT, 'src/lab/hosts/api-server.ts'),
      'embedded',
      kubeconfig,
      '127.0.0.1',
      `${PORT}`,
      '10.96.0.0/12',
    ],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  );
  await once(server, 'message');
  const api = await connectKube(kubeconfig);
  for (const file of readdirSync(CRDS)) {
    const definition = load(readFileSync(join(CRDS, file), 'utf8')) as KubeObject; // our own manifests
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
  }
  const pool = { metadata: { name: 'bench' }, spec: { addresses: ['10.0.0.0/12'] } };
  await api.create(IP_ADDRESS_POOLS, { ...pool, apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool' });
  const view = await followServices(api);
  let running = await startController(kubeconfig);
  try {
    await create(view, api, 'warm', 50);
    const singles: number[] = [];
    for (let i = 0; i < SINGLES; i++) singles.push(...(await create(view, api, `single${i}`, 1)).latencies);
    const burst = await create(view, api, 'burst', BURST);
    const more = MANY - BURST - SINGLES - 50;
    const rest = await create(view, api, 'more', more);
    // By now the events of the burst are written, too: they go behind what matters more.
    const writes = view.changes('burst') + (await eventsOf(api, 'burst'));
    await stopped(running);
    const before = view.versions();
    const began = performance.now();
    running = await startController(kubeconfig, false);
    await create(view, api, 'late', 1);
    const served = performance.now() - began;
    const changed = [...before].filter(([key, version]) => view.versions().get(key) !== version);
    const at = (latencies: readonly number[], part: number) =>
      latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * part)] ?? 0;
    return [
      {
        name: 'create → address, one after the other, median',
        value: at(singles, 0.5),
        unit: 'ms',
        target: '< 3',
      },
      {
        name: 'create → address, one after the other, 99th percentile',
        value: at(singles, 0.99),
        unit: 'ms',
        target: '< 15',
      },
      { name: `create → address, burst of ${BURST}, median`, value: at(burst.latencies, 0.5), unit: 'ms' },
      {
        name: `create → address, burst of ${BURST}, 99th percentile`,
        value: at(burst.latencies, 0.99),
        unit: 'ms',
      },
      {
        name: `last address after the last create, burst of ${BURST}`,
        value: burst.tail,
        unit: 'ms',
        target: '< 1000',
      },
      {
        name: `last address after the last create, burst of ${more}`,
        value: rest.tail,
        unit: 'ms',
        target: '< 1000',
      },
      { name: 'API writes a Service', value: writes / BURST, unit: '', target: '<= 2' },
      {
        name: `controller restart with ${MANY} Services, until a new one is served`,
        value: served,
        unit: 'ms',
        target: '< 3000',
      },
      {
        name: 'writes to Services that are unchanged, at that restart',
        value: changed.length,
        unit: '',
        target: '0',
      },
    ];
  } finally {
    await stopped(running);
    view.close();
    server.kill();
    rmSync(folder, { recursive: true });
  }
}

interface View {
  /** Resolves with the moment at which the Service was first seen with an address. */
  expect(key: string): Promise<number>;
  /** How often Services of this prefix changed after they were created. */
  changes(prefix: string): number;
  versions(): Map<string, string | undefined>;
  close(): void;
}

async function followServices(api: KubeApi): Promise<View> {
  const store = new Store<ServiceObject>();
  const stop = new AbortController();
  const log = createLogger({ component: 'bench', level: 'silent' });
  const metrics = kubeMetrics(createRegistry());
  const reflector = new Reflector({
    api,
    resource: SERVICES,
    store,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
  });
  const run = reflector.run(stop.signal);
  const waiting = new Map<string, (at: number) => void>();
  const known = new Set<string>();
  const counts = new Map<string, number>();
  store.subscribe((key, service) => {
    const prefix = key.split('/')[1]?.split('-')[0] ?? '';
    if (known.has(key)) counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    known.add(key);
    if (service?.status?.loadBalancer?.ingress?.[0] === undefined) return;
    waiting.get(key)?.(performance.now());
    waiting.delete(key);
  });
  await reflector.synced;
  return {
    expect: (key) => new Promise((resolve) => waiting.set(key, resolve)),
    changes: (prefix) => counts.get(prefix) ?? 0,
    versions: () =>
      new Map([...store.values()].map(({ metadata }) => [metadata.name, metadata.resourceVersion])),
    close: () => {
      stop.abort();
      void run;
    },
  };
}

/** Creates so many Services and waits for their addresses. Milliseconds after each create returned, and after the last. */
async function create(
  view: View,
  api: KubeApi,
  prefix: string,
  count: number,
): Promise<{ readonly latencies: number[]; readonly tail: number }> {
  const seen: Promise<number>[] = [];
  const returned: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const i = next++;
      const name = `${prefix}-${i}`;
      seen[i] = view.expect(`default/${name}`);
      await api.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'default' },
        spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...NO_NODE_PORTS },
      });
      returned[i] = performance.now();
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, count) }, worker));
  const at = await Promise.all(seen);
  // An address that was seen before its create returned took no time after it.
  const latencies = at.map((time, i) => Math.max(0, time - (returned[i] ?? time)));
  return { latencies, tail: Math.max(0, Math.max(...at) - Math.max(...returned)) };
}

async function eventsOf(api: KubeApi, prefix: string): Promise<number> {
  const events = await listAll(api, EVENTS);
  return events.filter(({ metadata }) => metadata.name.startsWith(`${prefix}-`)).length;
}

async function startController(kubeconfig: string, untilSynced = true): Promise<ChildProcess> {
  const child = spawn(
    join(ROOT, 'bin/fairlead'),
    ['controller', '--kubeconfig', kubeconfig, '--metrics-bind-address', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (!child.stdout) throw new Error('the controller has no output');
  const lines = createInterface(child.stdout);
  if (!untilSynced) {
    lines.resume();
    return child;
  }
  await new Promise<void>((resolve) => {
    lines.on('line', (line) => line.includes('"msg":"synced"') && resolve());
  });
  return child;
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'close');
  child.kill();
  await ended;
}
