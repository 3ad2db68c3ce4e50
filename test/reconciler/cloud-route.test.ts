// Services that go over from the pools to a cloud, beside those that wait for their addresses.
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { NamespaceObject, ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import type { CloudProvider } from '../../src/providers/provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { pools } from '../ipam/builders.ts';
import { LoopbackApi } from './loopback-api.ts';

const CLOUD = 'example.com/cloud';

/** A cloud that makes nothing before it `isOpen`. */
class Gate implements CloudProvider {
  isOpen = false;
  tell = (_key: string) => {};

  async ensure() {
    if (!this.isOpen) return { kind: 'waiting' } as const;
    return { kind: 'done', addresses: [], hostnames: ['web.example.com'], source: 'main' } as const;
  }

  subscribe(listener: (key: string) => void): () => void {
    this.tell = listener;
    return () => {};
  }

  keep = async () => ({ addresses: [] });
  shows = async () => {};
  remove = async () => {};
  listOwned = async () => [];
  placesOf = ({ spec }: ServiceObject) => (spec?.loadBalancerClass === CLOUD ? 'main' : undefined);
  claim = () => 'main';
  accountOf = () => 'main';
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

it('have their address until their status shows it no more, over a restart of the controller too', async () => {
  const clock = new VirtualClock();
  const services = new Store<ServiceObject>();
  const api = new LoopbackApi();
  api.follow(SERVICES, services);
  const log = createLogger({ component: 'test', level: 'silent' });
  const provider = new L2Provider();
  provider.setPools(pools({ lan: ['192.0.2.1'] }));
  const gone = service('gone', CLOUD);
  services.set({
    ...gone,
    metadata: { ...gone.metadata, annotations: { 'fairlead.dev/ip-allocated-from-pool': 'lan' } },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } },
  });
  services.set(service('next'));
  const queue = new MemoryQueue({ clock, random: () => 0.5 });
  const cloud = new Gate();
  const stop = new AbortController();
  const reconciler = new Reconciler({
    api,
    services,
    namespaces: new Store<NamespaceObject>(),
    provider,
    cloud: { classes: { classes: new Set([CLOUD]), classless: false }, provider: cloud, leaves: () => false },
    queue,
    classes: { classes: new Set(), classless: true },
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics: reconcilerMetrics(createRegistry(), () => queue.view()),
    onAllocation: () => {},
  });
  const shown = (name: string) =>
    services.get(`default/${name}`)?.status?.loadBalancer?.ingress?.map(({ ip, hostname }) => ip ?? hostname);
  const run = reconciler.run(stop.signal);
  await clock.advance(1_000);
  expect([shown('gone'), shown('next') ?? []]).toEqual([['192.0.2.1'], []]);
  cloud.isOpen = true;
  cloud.tell('default/gone');
  await clock.advance(1_000);
  expect([shown('gone'), shown('next')]).toEqual([['web.example.com'], ['192.0.2.1']]);
  stop.abort();
  await clock.advance(1_000);
  await run;
});
