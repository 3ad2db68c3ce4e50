import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceRequest } from '../../src/api/service.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import { KubeError } from '../../src/kube/kube-api.ts';
import type { KubeObject, NamespaceObject, ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import type { BeforeWrite } from '../../src/providers/provider.ts';
import { ScriptedProvider } from '../../src/providers/scripted-provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { Reconciler } from '../../src/reconciler/reconciler.ts';
import { LoopbackApi } from './loopback-api.ts';

const FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';

/** Remembers what it was asked. */
class Provider extends ScriptedProvider {
  readonly calls: string[] = [];
  readonly shown: string[] = [];
  /** Awaited before `keep` ends. */
  keeping: Promise<void> = Promise.resolve();

  override async keep(request: ServiceRequest) {
    this.calls.push(`keep ${request.key}`);
    await this.keeping;
    return super.keep(request);
  }

  override async ensure(request: ServiceRequest, beforeWrite: BeforeWrite) {
    this.calls.push(`ensure ${request.key}`);
    if (request.pool === 'broken') throw new Error('a fault of the provider');
    return super.ensure({ ...request }, beforeWrite);
  }

  override async remove(key: string, beforeWrite: BeforeWrite) {
    this.calls.push(`remove ${key}`);
    await super.remove(key, beforeWrite);
  }

  override async shows(key: string, addresses: readonly Ip[]) {
    this.shown.push(`${key} ${addresses.join()}`);
  }
}

let clock: VirtualClock;
let api: LoopbackApi;
let provider: Provider;
let services: Store<ServiceObject>;
let namespaces: Store<NamespaceObject>;
let stop: AbortController;
let run: Promise<void>;
let logged: string[];
let uid = 0;

beforeEach(() => {
  clock = new VirtualClock();
  api = new LoopbackApi();
  provider = new Provider();
  services = new Store();
  namespaces = new Store();
  stop = new AbortController();
  run = Promise.resolve();
  logged = [];
  api.follow(SERVICES, services);
});

afterEach(async () => {
  stop.abort();
  await clock.advance(1_000);
  await run;
});

async function start(queue = new MemoryQueue({ clock, random: () => 0.5 })): Promise<void> {
  const log = createLogger({
    component: 'test',
    level: 'warn',
    destination: { write: (line) => logged.push(JSON.parse(line).msg) },
  });
  const reconciler = new Reconciler({
    api,
    services,
    namespaces,
    provider,
    queue,
    classes: { classes: new Set(['fairlead.dev/l2']), classless: true },
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics: reconcilerMetrics(createRegistry(), () => queue.view()),
    onAllocation: () => {},
  });
  run = reconciler.run(stop.signal);
  await clock.advance(0);
}

interface Given {
  readonly age?: number;
  readonly held?: string;
  readonly spec?: Partial<ServiceObject['spec']>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly namespace?: string;
}

function service(
  name: string,
  { age = 0, held, spec, annotations = {}, namespace = 'shop' }: Given = {},
): ServiceObject {
  return {
    metadata: {
      name,
      namespace,
      uid: `${uid++}`,
      resourceVersion: '1',
      creationTimestamp: new Date(Date.UTC(2026, 0, 1) + age * 1000).toISOString(),
      annotations: held ? { ...annotations, 'fairlead.dev/ip-allocated-from-pool': 'script' } : annotations,
    },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }], ...spec },
    status: held ? { loadBalancer: { ingress: [{ ip: held, ipMode: 'VIP' }] } } : {},
  };
}

function change(name: string, spec: Partial<ServiceObject['spec']>): void {
  const object = services.get(`shop/${name}`) ?? expect.fail(`no ${name}`);
  services.set({
    ...object,
    metadata: { ...object.metadata, resourceVersion: `${Number(object.metadata.resourceVersion) + 1}` },
    spec: { ...object.spec, ...spec },
  });
}

/** As the API server does where finalizers hold an object. */
function markDeleted(name: string, others: readonly string[] = []): void {
  const object = services.get(`shop/${name}`) ?? expect.fail(`no ${name}`);
  const { metadata } = object;
  services.set({
    ...object,
    metadata: {
      ...metadata,
      resourceVersion: `${Number(metadata.resourceVersion) + 1}`,
      deletionTimestamp: '2026-01-02T05:00:00Z',
      finalizers: [...others, ...(metadata.finalizers ?? [])],
    },
  });
}

function statusOf(name: string) {
  const { status } = services.get(`shop/${name}`) ?? expect.fail(`no ${name}`);
  const condition = status?.conditions?.find(({ type }) => type === 'fairlead.dev/Allocated');
  return {
    addresses: (status?.loadBalancer?.ingress ?? []).map((each) => each.ip),
    reason: condition?.reason,
  };
}

function reasons(): string[] {
  return (api.created as readonly (KubeObject & { reason?: string })[]).map(({ reason = '' }) => reason);
}

describe('at its start', () => {
  it('lets every Service keep what it has, oldest first, before it gives anybody anything', async () => {
    services.replace([
      service('new', { age: 1 }),
      service('young', { age: 9, held: '198.51.100.70' }),
      service('old', { age: 2, held: '198.51.100.80' }),
      service('bad', { age: 3, held: '198.51.100.90', spec: { loadBalancerIP: 'x' } }),
      service('foreign', { held: '198.51.100.91', spec: { loadBalancerClass: 'example.com/other' } }),
    ]);
    await start();
    expect(provider.calls.filter((call) => call.startsWith('keep')).slice(0, 3)).toEqual([
      'keep shop/old',
      'keep shop/bad',
      'keep shop/young',
    ]);
    const first = provider.calls.findIndex((call) => call.startsWith('ensure'));
    expect(provider.calls.slice(0, first)).toEqual(
      expect.arrayContaining(['keep shop/old', 'keep shop/bad', 'keep shop/young']),
    );
    // Each write comes back by the watch and is looked at once more: only the first runs are of interest.
    expect(provider.calls.filter((call) => call.startsWith('ensure')).slice(0, 3)).toEqual([
      'ensure shop/new',
      'ensure shop/old',
      'ensure shop/young',
    ]);
    expect(statusOf('old')).toEqual({ addresses: ['198.51.100.80'], reason: 'Allocated' });
    expect(statusOf('bad')).toEqual({ addresses: ['198.51.100.90'], reason: 'InvalidRequest' });
    expect(statusOf('foreign').reason).toBeUndefined();
  });

  it('gives up what a Service had that was deleted meanwhile', async () => {
    const kept = Promise.withResolvers<void>();
    provider.keeping = kept.promise;
    services.set(service('a', { held: '198.51.100.80' }));
    await start();
    services.delete('shop/a');
    kept.resolve();
    await clock.advance(0);
    expect(provider.calls).toEqual(['keep shop/a', 'remove shop/a']);
    expect(await provider.listOwned()).toEqual([]);
  });
});

describe('a Service', () => {
  it('that is new gets its address, one event, and no second write', async () => {
    await start();
    services.set(service('a'));
    await clock.advance(0);
    expect(statusOf('a')).toEqual({ addresses: ['198.51.100.1'], reason: 'Allocated' });
    expect(reasons()).toEqual(['IPAllocated']);
    await clock.advance(60_000);
    expect(api.writes).toHaveLength(1);
  });

  it('is asked for again when the provider says so, with an event for each change of state', async () => {
    provider.say('shop/a', { kind: 'pending', reason: 'Later', message: 'not yet', addresses: [] });
    await start();
    services.set(service('a'));
    await clock.advance(0);
    expect(statusOf('a')).toEqual({ addresses: [], reason: 'Later' });
    provider.say('shop/a', { kind: 'done', addresses: [ip('198.51.100.50')], source: 'script' });
    await clock.advance(0);
    expect(statusOf('a')).toEqual({ addresses: ['198.51.100.50'], reason: 'Allocated' });
    expect(reasons()).toEqual(['AllocationFailed', 'IPAllocated']);
  });

  it('is said to show what it has when that is written, and not before', async () => {
    await start();
    const writing = Promise.withResolvers<void>();
    api.before = () => writing.promise;
    services.set(service('a'));
    await clock.advance(0);
    expect(provider.shown).toEqual([]);
    writing.reject(new KubeError(500, 'InternalError', 'not written'));
    await clock.advance(0);
    expect(provider.shown).toEqual([]);
    api.before = () => {};
    await clock.advance(60_000);
    expect(new Set(provider.shown)).toEqual(new Set(['shop/a 198.51.100.1']));
  });

  it('that is no load balancer any more, or deleted, gives up what it has', async () => {
    services.replace([service('a'), service('b')]);
    await start();
    change('a', { type: 'ClusterIP' });
    services.delete('shop/b');
    await clock.advance(0);
    expect(statusOf('a')).toEqual({ addresses: [], reason: undefined });
    expect(await provider.listOwned()).toEqual([]);
    expect(reasons().at(-1)).toBe('IPReleased');
  });

  it('bears the finalizer before it has an address, and goes only when that is off its status and free', async () => {
    services.set(service('a'));
    await start();
    expect(services.get('shop/a')?.metadata.finalizers).toEqual([FINALIZER]);
    expect(api.writes).toHaveLength(1);
    const seen: unknown[] = [];
    api.before = (key) => void seen.push([provider.calls.at(-1), services.get(key)?.status?.loadBalancer]);
    provider.calls.length = 0;
    markDeleted('a');
    await clock.advance(0);
    expect(seen).toEqual([
      [undefined, { ingress: [{ ip: '198.51.100.1', ipMode: 'VIP' }] }],
      ['remove shop/a', {}],
    ]);
    expect(services.get('shop/a')).toBeUndefined();
    expect(await provider.listOwned()).toEqual([]);
    expect(reasons()).toEqual(['IPAllocated']);
  });

  it('that another finalizer holds has no address meanwhile, and is not written again', async () => {
    services.set(service('a'));
    await start();
    markDeleted('a', ['example.com/other']);
    await clock.advance(60_000);
    expect(statusOf('a')).toEqual({ addresses: [], reason: undefined });
    expect(services.get('shop/a')?.metadata.finalizers).toEqual(['example.com/other']);
    expect(api.writes).toHaveLength(3);
  });

  it('of others that bears the same finalizer keeps it', async () => {
    const metadata = { finalizers: [FINALIZER], deletionTimestamp: '2026-01-02T05:00:00Z' };
    for (const [name, spec] of [
      ['other', { loadBalancerClass: 'example.com/other' }],
      ['former', { type: 'ClusterIP' }],
    ] as const) {
      const object = service(name, { spec });
      services.set({ ...object, metadata: { ...object.metadata, ...metadata } });
    }
    await start();
    expect(api.writes).toEqual([]);
  });

  it.each([1, 2])(
    'is let go in the end where write %i of its release is the last before a crash',
    async (cut) => {
      services.set(service('a'));
      await start();
      let writes = 0;
      api.before = () => {
        if (++writes >= cut) throw new KubeError(0, 'ECONNREFUSED', 'cut off');
      };
      change('a', { type: 'ClusterIP' });
      await clock.advance(0);
      stop.abort();
      await clock.advance(1_000);
      await run;
      [api.before, stop, provider] = [() => {}, new AbortController(), new Provider()];
      await start();
      expect(services.get('shop/a')?.metadata).toMatchObject({ annotations: {} });
      expect(services.get('shop/a')?.metadata.finalizers).toBeUndefined();
      expect(statusOf('a')).toEqual({ addresses: [], reason: undefined });
    },
  );

  it('whose wishes cannot be read any more keeps what it has', async () => {
    services.set(service('a'));
    await start();
    change('a', { loadBalancerIP: '192.0.2' });
    await clock.advance(0);
    expect(statusOf('a')).toEqual({ addresses: ['198.51.100.1'], reason: 'InvalidRequest' });
    expect(provider.calls.at(-1)).toBe('keep shop/a');
  });

  it('is read anew when the labels of its namespace change, and others are not', async () => {
    services.replace([service('a'), service('b', { namespace: 'bank' })]);
    await start();
    provider.calls.length = 0;
    namespaces.set({ metadata: { name: 'bank', labels: { team: 'red' } } });
    await clock.advance(0);
    expect(provider.calls).toEqual(['ensure bank/b', 'keep bank/b']);
  });
});

describe('Services that come in one list', () => {
  it('are served oldest first, after those that are gone', async () => {
    services.set(service('gone'));
    await start();
    provider.calls.length = 0;
    services.replace([service('a', { age: 9 }), service('b', { age: 1 }), service('c', { age: 5 })]);
    await clock.advance(0);
    expect(provider.calls.filter((call) => !call.startsWith('keep')).slice(0, 4)).toEqual([
      'remove shop/gone',
      'ensure shop/b',
      'ensure shop/c',
      'ensure shop/a',
    ]);
  });
});

describe('a write that fails', () => {
  it('with a conflict is tried again with what is there then', async () => {
    let conflicts = 2;
    api.before = (key) => {
      if (conflicts-- > 0) throw new KubeError(409, 'Conflict', `${key} has changed`);
    };
    services.set(service('a'));
    await start();
    await clock.advance(100);
    expect(statusOf('a').reason).toBe('Allocated');
    expect(reasons()).toEqual(['IPAllocated']);
    expect(logged).toEqual([]);
  });

  it('because the object is gone is no failure', async () => {
    api.before = () => services.delete('shop/a');
    services.set(service('a'));
    await start();
    expect(logged).toEqual([]);
    expect(await provider.listOwned()).toEqual([]);
  });

  it('because the API server is away is made up for, every one, soon after it is back', async () => {
    let away = true;
    let tries = 0;
    api.before = () => {
      tries++;
      if (away) throw new KubeError(0, 'ECONNREFUSED', 'connect ECONNREFUSED');
    };
    const names = Array.from({ length: 100 }, (_, i) => `s${i}`);
    services.replace(names.map((name, age) => service(name, { age })));
    await start();
    await clock.advance(600_000);
    // However many wait, and however long: no more than each worker twice a second.
    expect(tries).toBeLessThanOrEqual(32 * 2 * 600 + 32);
    away = false;
    await clock.advance(1_000);
    expect(names.map((name) => statusOf(name).addresses)).toEqual(
      names.map((_, i) => [`198.51.100.${i + 1}`]),
    );
    expect(reasons()).toHaveLength(100);
    expect(logged).toEqual([]);
  });

  it('because the server asks for patience is tried again when that is over', async () => {
    let tries = 0;
    api.before = () => {
      if (tries++ === 0) throw new KubeError(429, 'TooManyRequests', 'slow down', 7_000);
    };
    services.set(service('a'));
    await start();
    await clock.advance(6_999);
    expect(tries).toBe(1);
    await clock.advance(1);
    expect(statusOf('a').reason).toBe('Allocated');
  });

  it('of one Service, like a fault of the provider, holds back no other', async () => {
    api.before = (key) => {
      if (key === 'shop/a') throw new KubeError(422, 'Invalid', 'status is invalid');
    };
    services.replace([
      service('a', { age: 0 }),
      service('b', { age: 1, annotations: { 'fairlead.dev/address-pool': 'broken' } }),
      service('c', { age: 2 }),
    ]);
    await start();
    expect(statusOf('c').reason).toBe('Allocated');
    expect(logged).toEqual(Array(2).fill('reconciling a Service failed; will try again'));
    api.before = () => {};
    await clock.advance(1_000);
    expect(statusOf('a').reason).toBe('Allocated');
  });
});

describe('a Service whose lease is lost while it is worked on', () => {
  it('is not written to any more', async () => {
    let lost = true;
    class LosingQueue extends MemoryQueue {
      override async take(signal: AbortSignal) {
        const lease = await super.take(signal);
        return lease && { ...lease, key: lease.key, held: () => !lost };
      }
    }
    services.set(service('a'));
    await start(new LosingQueue({ clock, random: () => 0.5 }));
    expect(api.writes).toEqual([]);
    expect(logged).toEqual(['lost the right to a Service while working on it']);
    lost = false;
    services.set(service('b'));
    await clock.advance(0);
    expect(api.writes.map(({ key }) => key)).toEqual(['shop/b']);
  });
});

describe('a Service that fails by its own fault', () => {
  it('is parked in the end, and worked on again when it changes; one that the API server holds up is not', async () => {
    api.before = (key) => {
      if (key === 'shop/a') throw new KubeError(422, 'Invalid', 'status is invalid');
      if (key === 'shop/b') throw new KubeError(403, 'Forbidden', 'no rights');
    };
    services.replace([service('a'), service('b')]);
    const queue = new MemoryQueue({ clock, random: () => 0.5 });
    await start(queue);
    await clock.advance(3_600_000);
    expect(await queue.view()).toMatchObject({
      delayed: 1,
      parked: 1,
      parkedKeys: [{ key: 'shop/a', error: 'status is invalid' }],
    });
    api.before = () => {};
    change('a', {});
    await clock.advance(60_000);
    expect([statusOf('a').reason, statusOf('b').reason]).toEqual(['Allocated', 'Allocated']);
  });
});

describe('the end', () => {
  it('waits for a write under way, but not for a server that does not answer', async () => {
    api.before = () => new Promise(() => {});
    services.set(service('a'));
    await start();
    let ended = false;
    run.then(() => {
      ended = true;
    });
    stop.abort();
    await clock.advance(999);
    expect(ended).toBe(false);
    await clock.advance(1);
    expect(ended).toBe(true);
  });

  it('comes at once where nothing is under way', async () => {
    services.set(service('a'));
    await start();
    stop.abort();
    await run;
    services.set(service('b'));
    await clock.advance(0);
    expect(statusOf('b').reason).toBeUndefined();
  });
});
