// No two Services ever show one address, whatever moves, however slowly statuses are written, and over restarts.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { NamespaceObject, ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { keyOf, Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { pools } from '../ipam/builders.ts';
import { LoopbackApi } from './loopback-api.ts';

const ADDRESSES = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'];
const POOL = 'fairlead.dev/address-pool';
const NAMED = 'fairlead.dev/load-balancer-ips';

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const wish = fc.oneof(
  fc.constantFrom('left', 'right').map((pool): Record<string, string> => ({ [POOL]: pool })),
  fc.constantFrom(...ADDRESSES).map((address): Record<string, string> => ({ [NAMED]: address })),
  fc.constant<Record<string, string>>({}),
);
const deed = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wish' as const), name, wish }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pools' as const), left: fc.subarray(ADDRESSES) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);
/** Milliseconds until the next deed, and that each write takes, one after the other. */
const history = fc.record({
  steps: fc.array(fc.record({ deed, pause: fc.nat(20) }), { minLength: 5, maxLength: 40, size: 'max' }),
  delays: fc.array(fc.nat(40), { minLength: 7, maxLength: 7 }),
});

class World {
  readonly clock = new VirtualClock();
  readonly services = new Store<ServiceObject>();
  readonly #namespaces = new Store<NamespaceObject>();
  readonly #api = new LoopbackApi();
  readonly #log = createLogger({ component: 'test', level: 'silent' });
  #provider = new L2Provider();
  #left: readonly string[] = ADDRESSES.slice(0, 2);
  #stop = new AbortController();
  #run: Promise<void> = Promise.resolve();
  #made = 0;

  constructor() {
    this.#api.follow(SERVICES, this.services);
    this.services.subscribe(() => this.check());
  }

  check(): void {
    const shown = [...this.services.values()].flatMap(({ status }) =>
      (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip),
    );
    expect(shown.toSorted()).toEqual([...new Set(shown)].sort());
  }

  writesTake(delays: readonly number[]): void {
    let writes = 0;
    this.#api.before = () => {
      const delay = delays[writes++ % delays.length] ?? 0;
      return new Promise((resolve) => void this.clock.setTimer(delay, resolve));
    };
  }

  async start(): Promise<void> {
    const { clock, services } = this;
    const queue = new MemoryQueue({ clock, random: () => 0.5 });
    this.#provider = new L2Provider();
    this.#setPools();
    this.#stop = new AbortController();
    const reconciler = new Reconciler({
      api: this.#api,
      services,
      namespaces: this.#namespaces,
      provider: this.#provider,
      queue,
      classes: { classes: new Set(), classless: true },
      events: new EventRecorder({ api: this.#api, clock, log: this.#log, instance: 'test' }),
      clock,
      log: this.#log,
      metrics: reconcilerMetrics(createRegistry(), () => queue.view()),
      onAllocation: () => {},
    });
    this.#run = reconciler.run(this.#stop.signal);
    await clock.advance(0);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.clock.advance(1_000);
    await this.#run;
  }

  async perform(one: typeof deed extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    switch (one.kind) {
      case 'wish':
        return this.#wish(one.name, one.wish);
      case 'delete':
        return this.#delete(one.name);
      case 'pools':
        this.#left = one.left;
        return this.#setPools();
      case 'restart':
        await this.stop();
        return this.start();
    }
  }

  #setPools(): void {
    const right = ADDRESSES.filter((address) => !this.#left.includes(address));
    const specs = Object.entries({ left: this.#left, right }).filter(([, addresses]) => addresses.length > 0);
    this.#provider.setPools(pools(Object.fromEntries(specs)));
  }

  #wish(service: string, annotations: Readonly<Record<string, string>>): void {
    const before = this.services.get(`shop/${service}`);
    const { [POOL]: _, [NAMED]: __, ...others } = before?.metadata.annotations ?? {};
    this.services.set({
      spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
      ...before,
      metadata: {
        name: service,
        namespace: 'shop',
        creationTimestamp: new Date(Date.UTC(2026, 0, 1) + this.#made++).toISOString(),
        ...before?.metadata,
        annotations: { ...others, ...annotations },
        resourceVersion: next(before),
      },
    });
  }

  #delete(service: string): void {
    const before = this.services.get(`shop/${service}`);
    if (!before) return;
    if ((before.metadata.finalizers ?? []).length === 0) {
      this.services.delete(keyOf(before));
      return;
    }
    const deletionTimestamp = '2026-01-02T00:00:00Z';
    this.services.set({
      ...before,
      metadata: { ...before.metadata, deletionTimestamp, resourceVersion: next(before) },
    });
  }
}

function next(before: ServiceObject | undefined): string {
  return `${Number(before?.metadata.resourceVersion ?? '0') + 1}`;
}

it('no two Services show one address at any time, and in the end nobody waits for one that nobody has', async () => {
  const play = async ({ steps, delays }: typeof history extends fc.Arbitrary<infer T> ? T : never) => {
    const world = new World();
    await world.start();
    world.writesTake(delays);
    for (const { deed: one, pause } of steps) {
      await world.perform(one);
      await world.clock.advance(pause);
    }
    await world.clock.advance(600_000);
    const served = [...world.services.values()].flatMap(({ status }) => status?.loadBalancer?.ingress ?? []);
    const open = [...world.services.values()].filter(
      ({ metadata: { annotations } }) => !annotations?.[POOL] && !annotations?.[NAMED],
    );
    if (open.some(({ status }) => !status?.loadBalancer?.ingress))
      expect(served).toHaveLength(ADDRESSES.length);
    await world.stop();
  };
  await fc.assert(fc.asyncProperty(history, play), { numRuns: 300 });
}, 60_000);
