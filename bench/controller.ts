// How soon the controller gives addresses, against the embedded API server in a process of its own: one by one in a
// burst, and after a restart with many Services.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from 'js-yaml';
import { connectKube } from '../src/kube/connection.ts';
import type { KubeApi } from '../src/kube/kube-api.ts';
import { listAll } from '../src/kube/list-all.ts';
import type { KubeObject } from '../src/kube/objects.ts';
import { EVENTS, IP_ADDRESS_POOLS } from '../src/kube/resources.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../src/lab/kinds.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';
import { createServices, followServices } from './services.ts';

const ROOT = join(import.meta.dirname, '..');
const CRDS = join(ROOT, 'deploy/crds');
const PORT = 16_443;
const SINGLES = 200;
const BURST = 1_000;
const MANY = 10_000;

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
    await createServices(view, api, 'warm', 50);
    const singles: number[] = [];
    for (let i = 0; i < SINGLES; i++)
      singles.push(...(await createServices(view, api, `single${i}`, 1)).latencies);
    const burst = await createServices(view, api, 'burst', BURST);
    const more = MANY - BURST - SINGLES - 50;
    const rest = await createServices(view, api, 'more', more);
    // By now the events of the burst are written, too: they go behind what matters more.
    const writes = view.changes('burst') + (await eventsOf(api, 'burst'));
    await stopped(running);
    const before = view.versions();
    const began = performance.now();
    running = await startController(kubeconfig, false);
    await createServices(view, api, 'late', 1);
    const served = performance.now() - began;
    const changed = [...before].filter(([key, version]) => view.versions().get(key) !== version);
    return [
      {
        name: 'create → address, one after the other, median',
        value: quantile(singles, 0.5),
        unit: 'ms',
        target: '< 3',
      },
      {
        name: 'create → address, one after the other, 99th percentile',
        value: quantile(singles, 0.99),
        unit: 'ms',
        target: '< 15',
      },
      {
        name: `create → address, burst of ${BURST}, median`,
        value: quantile(burst.latencies, 0.5),
        unit: 'ms',
      },
      {
        name: `create → address, burst of ${BURST}, 99th percentile`,
        value: quantile(burst.latencies, 0.99),
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
