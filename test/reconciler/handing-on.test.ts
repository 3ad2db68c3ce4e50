// No two Services ever show one address, whatever moves, however slowly statuses are written and the watch brings them,
// whatever answers are lost, and over restarts.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import { KubeError } from '../../src/kube/kube-api.ts';
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
/**
 * Milliseconds until the next deed, that each write takes, and that the watch takes for each change, one after the other;
 * and which writes are done without an answer.
 */
const history = fc.record({
  steps: fc.array(fc.record({ deed, pause: fc.nat(20) }), { minLength: 5, maxLength: 40, size: 'max' }),
  delays: fc.array(fc.nat(40), { minLength: 7, maxLength: 7 }),
  lags: fc.array(fc.nat(60), { minLength: 5, maxLength: 5 }),
  lost: fc.array(fc.constantFrom(false, false, false, true), { minLength: 11, maxLength: 11 }),
});

type History = typeof history extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly clock = new VirtualClock();
  disturbances: Pick<History, 'delays' | 'lags' | 'lost'> = { delays: [0], lags: [0], lost: [false] };
  /** What all Services showed where two of them showed one address. */
  readonly clashes: string[] = [];
  /** What the API server holds. */
  readonly server = new Store<ServiceObject>();
  /** As far as the controller has heard of it. */
  #services = new Store<ServiceObject>();
  readonly #namespaces = new Store<NamespaceObject>();
  readonly #api = new LoopbackApi();
  readonly #log = createLogger({ component: 'test', level: 'silent' });
  #provider = new L2Provider();
  #left: readonly string[] = ADDRESSES.slice(0, 2);
  #stop = new AbortController();
  #run: Promise<void> = Promise.resolve();
  #made = 0;

  constructor() {
    this.#api.follow(SERVICES, this.server);
    // Noted here and checked by who steps: the controller takes what is thrown in a write for a fault of the server.
    this.server.subscribe(() => {
      const shown = [...this.server.values()].flatMap(({ metadata }) => this.shown(metadata.name));
      if (new Set(shown).size < shown.length) this.clashes.push(shown.join());
    });
    const { clock } = this;
    let [writes, changes] = [0, 0];
    this.#api.before = () => {
      const { delays } = this.disturbances;
      const delay = delays[writes++ % delays.length] ?? 0;
      return new Promise((resolve) => void clock.setTimer(delay, resolve));
    };
    this.#api.after = () => {
      const { lost } = this.disturbances;
      if (lost[writes % lost.length]) throw new KubeError(0, 'ECONNRESET', 'no answer');
    };
    // In order: what is slow holds back what comes behind it.
    let quiet = 0;
    this.server.subscribe((key, service) => {
      const { lags } = this.disturbances;
      quiet = Math.max(quiet, clock.now() + (lags[changes++ % lags.length] ?? 0));
      const heard = this.#services;
      clock.setTimer(quiet - clock.now(), () => (service ? heard.set(service) : heard.delete(key)));
    });
  }

  shown(service: string): string[] {
    const { status } = this.server.get(`shop/${service}`) ?? {};
    return (status?.loadBalancer?.ingress ?? []).map(({ ip = '' }) => ip);
  }

  async start(): Promise<void> {
    const { clock } = this;
    this.#services = new Store();
    this.#services.replace([...this.server.values()]);
    const queue = new MemoryQueue({ clock, random: () => 0.5 });
    this.#provider = new L2Provider();
    this.#setPools();
    this.#stop = new AbortController();
    const reconciler = new Reconciler({
      api: this.#api,
      services: this.#services,
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
    const before = this.server.get(`shop/${service}`);
    const { [POOL]: _, [NAMED]: __, ...others } = before?.metadata.annotations ?? {};
    this.server.set({
      spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
      ...before,
      metadata: {
        name: service,
        namespace: 'shop',
        creationTimestamp: new Date(Date.UTC(2026, 0, 1) + this.#made).toISOString(),
        ...before?.metadata,
        annotations: { ...others, ...annotations },
        resourceVersion: this.#version(),
      },
    });
  }

  #delete(service: string): void {
    const before = this.server.get(`shop/${service}`);
    if (!before) return;
    if ((before.metadata.finalizers ?? []).length === 0) {
      this.server.delete(keyOf(before));
      return;
    }
    const deletionTimestamp = '2026-01-02T00:00:00Z';
    this.server.set({
      ...before,
      metadata: { ...before.metadata, deletionTimestamp, resourceVersion: this.#version() },
    });
  }

  /** Higher than that of any object of the same name before, patched a thousand times. */
  #version(): string {
    return `${1_000 * ++this.#made}`;
  }
}

it('no two Services show one address at any time, and in the end nobody waits for one that nobody has', async () => {
  const play = async ({ steps, ...disturbances }: History) => {
    const world = new World();
    await world.start();
    world.disturbances = disturbances;
    for (const { deed: one, pause } of steps) {
      await world.perform(one);
      await world.clock.advance(pause);
    }
    await world.clock.advance(600_000);
    expect(world.clashes).toEqual([]);
    const served = [...world.server.values()].flatMap(({ status }) => status?.loadBalancer?.ingress ?? []);
    const open = [...world.server.values()].filter(
      ({ metadata: { annotations } }) => !annotations?.[POOL] && !annotations?.[NAMED],
    );
    if (open.some(({ status }) => !status?.loadBalancer?.ingress))
      expect(served).toHaveLength(ADDRESSES.length);
    await world.stop();
  };
  await fc.assert(fc.asyncProperty(history, play), { numRuns: 300 });
}, 60_000);

it.each([
  ['late', false],
  ['late, and its answer lost', true],
])('what the controller wrote itself is not taken for not there where the watch is %s', async (_, lost) => {
  const world = new World();
  await world.start();
  const [first = '', second = ''] = ADDRESSES;
  const left = async (...addresses: string[]) => {
    await world.perform({ kind: 'pools', left: addresses });
    await world.clock.advance(100);
  };
  for (const each of ['a', 'b'] as const)
    await world.perform({ kind: 'wish', name: each, wish: { [POOL]: 'left' } });
  await left(first);
  await world.clock.advance(60_000);
  expect(world.shown('a')).toEqual([first]);
  world.disturbances = { delays: [0], lags: [60_000], lost: [lost] };
  await left(second);
  world.disturbances = { ...world.disturbances, lost: [false] };
  expect(world.shown('a')).toEqual([second]);
  // It is to have again what the store still shows. Nobody may be given the other before the API server shows that.
  await left(first);
  await left(first, second);
  await world.clock.advance(600_000);
  expect(world.clashes).toEqual([]);
  expect([...world.shown('a'), ...world.shown('b')].sort()).toEqual([first, second]);
  await world.stop();
});
