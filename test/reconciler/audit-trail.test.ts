// Every allocation, move, release and refusal with its cause: a log line and a count, each once.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { auditTrail } from '../../src/reconciler/audit-trail.ts';
import { type ReconcilerMetrics, reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { pools } from '../ipam/builders.ts';
import { LoopbackApi } from './loopback-api.ts';

let clock: VirtualClock;
let services: Store<ServiceObject>;
let provider: L2Provider;
let metrics: ReconcilerMetrics;
let lines: string[];
let stop: AbortController;
let run: Promise<void>;

beforeEach(async () => {
  clock = new VirtualClock();
  const queue = new MemoryQueue({ clock, random: () => 0.5 });
  metrics = reconcilerMetrics(createRegistry(), () => queue.view());
  lines = [];
  const log = createLogger({
    component: 'test',
    level: 'info',
    destination: { write: (line) => take(line) },
  });
  const api = new LoopbackApi();
  services = new Store();
  api.follow(SERVICES, services);
  provider = new L2Provider(auditTrail(log, metrics));
  provider.setPools(pools({ lan: ['192.0.2.1'] }));
  services.set(service('old', '192.0.2.1'));
  stop = new AbortController();
  const reconciler = new Reconciler({
    api,
    services,
    namespaces: new Store(),
    provider,
    queue,
    classes: { classes: new Set(), classless: true },
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics,
    onAllocation: () => {},
  });
  run = reconciler.run(stop.signal);
  await clock.advance(0);
});

afterEach(async () => {
  stop.abort();
  await clock.advance(1_000);
  await run;
});

/** `kind cause service before>after pools`, or `refused reason service`. */
function take(line: string): void {
  const { msg, kind, cause, service: key, before, after, pools: from, reason, note } = JSON.parse(line);
  if (msg === 'addresses changed')
    lines.push(`${kind} ${cause} ${key} ${before.join()}>${after.join()} ${from.join()}`.trim());
  if (msg === 'a Service is refused') lines.push(`${reason} ${key} ${note}`);
}

function service(name: string, held?: string): ServiceObject {
  return {
    metadata: { name, namespace: 'shop', uid: name, resourceVersion: '1', creationTimestamp: name },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
    status: held === undefined ? {} : { loadBalancer: { ingress: [{ ip: held, ipMode: 'VIP' }] } },
  };
}

async function counts(): Promise<string[]> {
  const { values } = await metrics.changes.get();
  return values.map(({ labels, value }) => `${labels.kind} ${labels.cause} ${value}`).sort();
}

it('tells each with its cause, and once, however often it is asked again', async () => {
  expect(lines).toEqual([]); // what a Service had before the start is no news
  services.set(service('a'));
  await clock.advance(0);
  services.set({
    ...service('a'),
    metadata: { ...services.get('shop/a')?.metadata, ...{ name: 'a', labels: {} } },
  });
  await clock.advance(60_000);
  const full = 'PoolExhausted: no address is free: pool "lan" is without a free IPv4 address';
  expect(lines).toEqual([`AllocationFailed shop/a ${full}`]);
  services.delete('shop/old');
  await clock.advance(0);
  provider.setPools(pools({ wan: ['198.51.100.1', '198.51.100.2'] }));
  services.set(service('b'));
  await clock.advance(0);
  expect(lines.slice(1)).toEqual([
    'released gone shop/old 192.0.2.1>',
    'allocated room shop/a >192.0.2.1 lan',
    'released pools shop/a 192.0.2.1>',
    'allocated pools shop/a >198.51.100.1 wan',
    'allocated asked shop/b >198.51.100.2 wan',
  ]);
  expect(await counts()).toEqual([
    'allocated asked 1',
    'allocated kept 1',
    'allocated pools 1',
    'allocated room 1',
    'refused PoolExhausted 1',
    'released gone 1',
    'released pools 1',
  ]);
});
