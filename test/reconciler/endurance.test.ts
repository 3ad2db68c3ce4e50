// Two hundred restarts and breaks of the API server under a controller at work: the end is the same as without.
import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Clock } from '../../src/clock/clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import { type KubeApi, KubeError, type Resource } from '../../src/kube/kube-api.ts';
import { kubeMetrics } from '../../src/kube/metrics.ts';
import type { KubeObject, NamespaceObject, NodeObject, ServiceObject } from '../../src/kube/objects.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
  NAMESPACES,
  NODES,
  SERVICES,
} from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { Config } from '../../src/reconciler/config.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { startEmbeddedServer, type TestServer } from '../lab/apiserver/running-server.ts';

const BREAKS = 200;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
type Name = (typeof NAMES)[number];

/** Fifty times as fast as the system's: pauses between tries are real, and short. */
const SPEED = 50;
const clock: Clock = {
  now: () => performance.now() * SPEED,
  wallTime: () => new Date(),
  setTimer(delay, callback) {
    const timeout = setTimeout(callback, delay / SPEED);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Times in a row that the controller is found with nothing to do. */
const CALM = 10;

/** What a user does. Each Service asks for addresses of its own, so that the end hangs on nobody's haste. */
type Deed =
  | { readonly kind: 'create'; readonly name: Name; readonly choice: number }
  | { readonly kind: 'move'; readonly name: Name; readonly choice: number }
  | { readonly kind: 'retype'; readonly name: Name; readonly type: 'ClusterIP' | 'LoadBalancer' }
  | { readonly kind: 'delete'; readonly name: Name };

interface Round {
  readonly deeds: readonly Deed[];
  readonly fault: 'restart' | 'drop' | 'forget';
  /** Turns of the event loop from the first deed to the fault. */
  readonly after: number;
  /** Milliseconds of peace before the next. */
  readonly peace: number;
}

const name = fc.constantFrom(...NAMES);
const choice = fc.nat(2);
const deed: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({ kind: fc.constant('create' as const), name, choice }),
  fc.record({ kind: fc.constant('move' as const), name, choice }),
  fc.record({
    kind: fc.constant('retype' as const),
    name,
    type: fc.constantFrom('ClusterIP' as const, 'LoadBalancer' as const),
  }),
  fc.record({ kind: fc.constant('delete' as const), name }),
);
const round: fc.Arbitrary<Round> = fc.record({
  deeds: fc.array(deed, { maxLength: 3 }),
  fault: fc.constantFrom('restart' as const, 'drop' as const, 'forget' as const),
  after: fc.nat(30),
  peace: fc.constantFrom(0, 0, 5, 20),
});

it('ends as an undisturbed run does, after two hundred restarts and breaks at random points', async () => {
  const rounds = fc.array(round, { minLength: BREAKS, maxLength: BREAKS, size: 'max' });
  const compare = async (each: readonly Round[]) => {
    const disturbed = await run(each, perform);
    expect(disturbed).toEqual(await run(each, async () => {}));
    expect(disturbed.length).toBeGreaterThan(0);
  };
  // One history a run of the tests, another each time; a failure prints its seed.
  await fc.assert(fc.asyncProperty(rounds, compare), { numRuns: 1, endOnFailure: true });
}, 120_000);

/** The end state of a cluster in which a controller works while all this happens. */
async function run(
  rounds: readonly Round[],
  disturb: (server: TestServer['server'], round: Round) => Promise<void>,
): Promise<unknown[]> {
  const test = await startEmbeddedServer({ crds: true });
  const controller = startController(test.api);
  await test.api.create(IP_ADDRESS_POOLS, {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'IPAddressPool',
    metadata: { name: 'lan' },
    spec: { addresses: ['192.0.2.0/24', '2001:db8::/64'] },
  } as KubeObject);
  for (const each of rounds) {
    const disturbing = disturb(test.server, each);
    for (const one of each.deeds) await persist(test.api, one);
    await disturbing;
    await wait(each.peace);
  }
  await controller.settled();
  const state = await endState(test.api);
  await controller.stop();
  await test.close();
  return state;
}

async function perform(server: TestServer['server'], { fault, after }: Round): Promise<void> {
  for (let turn = 0; turn < after; turn++) await new Promise((resolve) => setImmediate(resolve));
  if (fault === 'restart') {
    await server.stop();
    await server.start();
    return;
  }
  if (fault === 'forget') await server.forgetHistory();
  server.dropWatches();
}

/** Does it, again where the connection broke: it may have been done already. */
async function persist(api: KubeApi, one: Deed): Promise<void> {
  for (;;) {
    try {
      return await attempt(api, one);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      // There already, or gone already, by the try before or by an earlier deed.
      if (error.status === 409 || error.status === 404) return;
      if (error.status !== 0) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function attempt(api: KubeApi, one: Deed): Promise<void> {
  const place = { name: one.name, namespace: 'default' };
  const options = { type: 'merge', fieldManager: 'test' } as const;
  switch (one.kind) {
    case 'create': {
      const service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { ...place, annotations: wishOf(one) },
        spec: {
          type: 'LoadBalancer',
          ipFamilyPolicy: 'RequireDualStack',
          ipFamilies: ['IPv4', 'IPv6'],
          ports: [{ port: 80 }],
          // One of them is another controller's.
          ...(one.name === 'f' ? { loadBalancerClass: 'example.com/other' } : {}),
        },
      } as const;
      await api.create(SERVICES, service);
      return;
    }
    case 'move':
      await api.patch(SERVICES, place, { metadata: { annotations: wishOf(one) } }, options);
      return;
    case 'retype': {
      // A class stays with its type alone.
      const spec = one.name === 'f' ? {} : { type: one.type };
      await api.patch(SERVICES, place, { spec }, options);
      return;
    }
    case 'delete':
      await api.delete(SERVICES, place);
      // The name is free when the controller has let go of it; until then it would depend on haste what comes next.
      for (;;) {
        await api.get(SERVICES, place);
        await wait(1);
      }
  }
}

function wishOf({ name, choice }: { name: Name; choice: number }): Record<string, string> {
  const number = (NAMES.indexOf(name) + 1) * 10 + choice;
  return { 'fairlead.dev/load-balancer-ips': `192.0.2.${number},2001:db8::${number}` };
}

/** All that the controller says, without times and versions. */
async function endState(api: KubeApi): Promise<unknown[]> {
  const services = await api.list(SERVICES, {});
  const pools = await api.list(IP_ADDRESS_POOLS, {});
  const conditionsOf = (status: unknown) => {
    const { conditions = [] } = (status ?? {}) as { conditions?: Record<string, unknown>[] }; // our own kinds and Services
    return conditions.map(({ lastTransitionTime: _, ...rest }) => rest);
  };
  return [
    ...services.items.map(({ metadata, spec, status }) => ({
      name: metadata.name,
      annotations: metadata.annotations,
      finalizers: metadata.finalizers,
      type: spec.type,
      ingress: status?.loadBalancer?.ingress,
      conditions: conditionsOf(status),
    })),
    ...pools.items.map((pool) => {
      const { status } = pool as { status?: Record<string, unknown> }; // a pool has one
      return { ...status, name: pool.metadata.name, conditions: conditionsOf(status) };
    }),
  ];
}

interface Controller {
  /** Resolves when it knows all that the server has, and has nothing left to do. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** As commands/controller.ts puts it together, on the fast clock. */
function startController(api: KubeApi): Controller {
  const stop = new AbortController();
  const registry = createRegistry();
  const log = createLogger({ component: 'test', level: 'silent' });
  const metrics = kubeMetrics(registry);
  const services = new Store<ServiceObject>();
  const namespaces = new Store<NamespaceObject>();
  const pools = new Store<KubeObject>();
  const reservations = new Store<KubeObject>();
  const quotas = new Store<KubeObject>();
  const advertisements = new Store<KubeObject>();
  const nodes = new Store<NodeObject>();
  const followed = [
    follow(SERVICES, services),
    follow(NAMESPACES, namespaces),
    follow(IP_ADDRESS_POOLS, pools),
    follow(ADDRESS_RESERVATIONS, reservations),
    follow(ADDRESS_QUOTAS, quotas),
    follow(L2_ADVERTISEMENTS, advertisements),
    follow(NODES, nodes),
  ];
  const runs: Promise<unknown>[] = followed.map(({ run }) => run);

  function follow<T extends KubeObject>(resource: Resource<T>, store: Store<T>) {
    const reflector = new Reflector({ api, resource, store, clock, random: Math.random, log, metrics });
    return { synced: reflector.synced, run: reflector.run(stop.signal) };
  }

  const queue = new MemoryQueue({ clock, random: Math.random });
  const shared = {
    api,
    provider: new L2Provider(),
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics: reconcilerMetrics(registry, () => queue.view()),
  };
  const config = new Config({ ...shared, pools, reservations, quotas, advertisements, nodes });
  const reconciler = new Reconciler({
    ...shared,
    services,
    namespaces,
    queue,
    classes: { classes: new Set(['fairlead.dev/l2']), classless: true },
    onAllocation: () => config.changed(),
  });
  const working = Promise.all(followed.map(({ synced }) => synced)).then(() => {
    config.start(stop.signal);
    return reconciler.run(stop.signal);
  });
  runs.push(working);

  const isSettled = async () => {
    const versions = (objects: Iterable<KubeObject>) =>
      [...objects].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort();
    const [listed, pooled] = [await api.list(SERVICES, {}), await api.list(IP_ADDRESS_POOLS, {})];
    const known = [versions(services.values()), versions(pools.values())];
    const { ready, delayed, running } = await queue.view();
    const idle = ready + delayed + running === 0;
    return idle && isDeepStrictEqual(known, [versions(listed.items), versions(pooled.items)]);
  };
  return {
    async settled() {
      // Nothing to do, and nothing came of what was being done, several times in a row.
      for (let calm = 0; calm < CALM; ) {
        calm = (await isSettled().catch(() => false)) ? calm + 1 : 0;
        await wait(1_000 / SPEED);
      }
    },
    async stop() {
      stop.abort();
      await Promise.all(runs);
    },
  };
}
