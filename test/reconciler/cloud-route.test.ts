// Services that go over from the pools to a cloud and back, beside those that wait for their addresses.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { NamespaceObject, ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import { RemovalPendingError } from '../../src/providers/provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { CloudReconciler } from '../../src/reconciler/cloud-reconciler.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { pools } from '../ipam/builders.ts';
import { CLOUD_CLASS, ScriptedCloud } from '../providers/scripted-cloud.ts';
import { LoopbackApi } from './loopback-api.ts';

let clock: VirtualClock;
let api: LoopbackApi;
let services: Store<ServiceObject>;
let stop: AbortController;
let runs: Promise<void>[];
/** A cloud that makes and removes nothing before this resolves. */
let open: Promise<void>;
let unlock: () => void;

beforeEach(() => {
  clock = new VirtualClock();
  api = new LoopbackApi();
  services = new Store();
  api.follow(SERVICES, services);
  stop = new AbortController();
  ({ promise: open, resolve: unlock } = Promise.withResolvers<void>());
});

afterEach(async () => {
  unlock();
  stop.abort();
  await clock.advance(1_000);
  await Promise.all(runs);
});

/** Both shares of the work, each on a queue of its own. */
async function start(work = () => open): Promise<void> {
  const log = createLogger({ component: 'test', level: 'silent' });
  const provider = new L2Provider();
  provider.setPools(pools({ lan: ['192.0.2.1'] }));
  const queue = () => new MemoryQueue({ clock, random: () => 0.5 });
  const classes = { classes: new Set<string>(), classless: true };
  const cloud = { classes: { classes: new Set([CLOUD_CLASS]), classless: false }, leaves: () => false };
  const metrics = reconcilerMetrics(createRegistry(), () => queue().view());
  const events = new EventRecorder({ api, clock, log, instance: 'test' });
  const shared = { api, services, cloud, events, clock, log, metrics };
  const namespaces = new Store<NamespaceObject>();
  const onAllocation = () => {};
  runs = [
    new Reconciler({ ...shared, namespaces, provider, classes, queue: queue(), onAllocation }).run(
      stop.signal,
    ),
    new CloudReconciler({
      ...shared,
      provider: new ScriptedCloud(work),
      pools: classes,
      queue: queue(),
      leads: () => true,
      mayWrite: () => true,
    }).run(stop.signal),
  ];
  await clock.advance(1_000);
}

function service(name: string, loadBalancerClass?: string): ServiceObject {
  return {
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }], loadBalancerClass },
  } as ServiceObject;
}

function fromPool(name: string, loadBalancerClass?: string): ServiceObject {
  const made = service(name, loadBalancerClass);
  return {
    ...made,
    metadata: { ...made.metadata, annotations: { 'fairlead.dev/ip-allocated-from-pool': 'lan' } },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } },
  };
}

function shown(name: string): (string | undefined)[] | undefined {
  const { ingress } = services.get(`default/${name}`)?.status?.loadBalancer ?? {};
  return ingress?.map(({ ip, hostname }) => ip ?? hostname);
}

function change(name: string, to: (service: ServiceObject) => Partial<ServiceObject>): void {
  const before = services.get(`default/${name}`) ?? expect.fail('gone');
  const resourceVersion = `${Number(before.metadata.resourceVersion) + 1}`;
  const after = { ...before, ...to(before) };
  services.set({ ...after, metadata: { ...after.metadata, resourceVersion } });
}

it('have their address until their status shows it no more, over a restart of the controller too', async () => {
  services.set(fromPool('gone', CLOUD_CLASS));
  services.set(service('next'));
  await start();
  expect([shown('gone'), shown('next') ?? []]).toEqual([['192.0.2.1'], []]);
  unlock();
  await clock.advance(1_000);
  expect([shown('gone'), shown('next')]).toEqual([['default-gone.example'], ['192.0.2.1']]);
});

it('have what a cloud made for them until a pool serves them, and then nothing there', async () => {
  services.set(service('back', CLOUD_CLASS));
  unlock();
  await start();
  expect(shown('back')).toEqual(['default-back.example']);
  services.set(fromPool('holder'));
  await clock.advance(100);
  change('back', ({ spec: { loadBalancerClass: _, ...spec } }) => ({ spec }));
  await clock.advance(1_000);
  const places = () =>
    services.get('default/back')?.metadata.annotations?.['fairlead.dev/cloud-accounts-in-use'];
  // The pool has nothing left for it.
  expect(places()).toBe('main');
  change('holder', ({ spec }) => ({ spec: { ...spec, type: 'ClusterIP' } }));
  await clock.advance(1_000);
  expect([shown('back'), places()]).toEqual([['192.0.2.1'], undefined]);
});

it('are let go of when a cloud has let go of everything, whoever served them last', async () => {
  let left = 1;
  unlock();
  await start(async () => {
    const message = 'a target group is still there';
    if (left > 0) throw new RemovalPendingError({ reason: 'Settling', message, retryAfter: 5_000 });
  });
  for (const [name, loadBalancerClass] of [
    ['cloudy', CLOUD_CLASS],
    ['pooled', undefined],
    ['foreign', 'example.com/theirs'],
  ] as const) {
    left = 1;
    const made = fromPool(name, loadBalancerClass);
    const annotations = { ...made.metadata.annotations, 'fairlead.dev/cloud-accounts-in-use': 'main' };
    const finalizers = ['service.kubernetes.io/load-balancer-cleanup'];
    const deletionTimestamp = '2026-01-02T00:00:00Z';
    services.set({ ...made, metadata: { ...made.metadata, annotations, finalizers, deletionTimestamp } });
    await clock.advance(4_000);
    expect(shown(name)).toBeUndefined();
    expect(services.get(`default/${name}`)?.metadata.finalizers, name).toEqual(finalizers);
    left = 0;
    await clock.advance(5_000);
    expect(services.get(`default/${name}`), name).toBeUndefined();
  }
});
