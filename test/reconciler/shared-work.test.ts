// Several controllers on one queue: one says what is to be done, and all do it.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { SERVICES } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { CloudReconciler } from '../../src/reconciler/cloud-reconciler.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { CLOUD_CLASS, DRIFT_CHECK, ScriptedCloud } from '../providers/scripted-cloud.ts';
import { LoopbackApi } from './loopback-api.ts';

interface Controller {
  leads: boolean;
  /** What it has heard of, which may be old. */
  readonly heard: Store<ServiceObject>;
  readonly reconciler: CloudReconciler;
  readonly cloud: ScriptedCloud;
  readonly calls: string[];
  /** Which of them were thorough. */
  readonly thorough: string[];
}

let clock: VirtualClock;
let api: LoopbackApi;
let server: Store<ServiceObject>;
let queue: MemoryQueue;
let stop: AbortController;
let runs: Promise<void>[];
/** Calls to the cloud wait for it. */
let working: Promise<void>;

beforeEach(() => {
  clock = new VirtualClock();
  api = new LoopbackApi();
  server = new Store();
  api.follow(SERVICES, server);
  queue = new MemoryQueue({ clock, random: () => 0.5 });
  stop = new AbortController();
  runs = [];
  working = Promise.resolve();
});

afterEach(async () => {
  stop.abort();
  await clock.advance(1_000);
  await Promise.all(runs);
});

async function start(leads: boolean): Promise<Controller> {
  const log = createLogger({ component: 'test', level: 'silent' });
  const [calls, thorough]: [string[], string[]] = [[], []];
  const heard = new Store<ServiceObject>();
  const cloud = new ScriptedCloud(async (key, _, isThorough) => {
    calls.push(key);
    if (isThorough) thorough.push(key);
    await working;
  });
  const options = {
    api,
    services: heard,
    provider: cloud,
    queue,
    cloud: { classes: { classes: new Set([CLOUD_CLASS]), classless: false }, leaves: () => false },
    pools: { classes: new Set(['fairlead.dev/l2']), classless: true },
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics: reconcilerMetrics(createRegistry(), () => queue.view()),
    leads: () => controller.leads,
    mayWrite: () => true,
  };
  const reconciler = new CloudReconciler(options);
  const controller: Controller = { leads, heard, cloud, calls, thorough, reconciler };
  runs.push(controller.reconciler.run(stop.signal));
  await clock.advance(0);
  return controller;
}

let version = 0;
function service(name: string, loadBalancerClass = CLOUD_CLASS): ServiceObject {
  const resourceVersion = `${++version}`;
  return {
    metadata: {
      name,
      namespace: 'shop',
      uid: name,
      resourceVersion,
      labels: { version: resourceVersion },
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { type: 'LoadBalancer', loadBalancerClass, clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] },
    status: {},
  };
}

/** The API server has it; these controllers have heard of it. */
async function create(object: ServiceObject, ...heardBy: readonly Controller[]): Promise<void> {
  server.set(object);
  for (const { heard } of heardBy) heard.set(object);
  await clock.advance(0);
}

function shown(name: string): string | undefined {
  return server.get(`shop/${name}`)?.status?.loadBalancer?.ingress?.[0]?.hostname;
}

describe('of several controllers on one queue', () => {
  it('one queues what changes, and each works on it, once in all', async () => {
    let finish = () => {};
    working = new Promise((resolve) => {
      finish = resolve;
    });
    const [leader, other] = [await start(true), await start(false)];
    for (let i = 0; i < 64; i++) await create(service(`s${i}`), leader, other);
    // 32 at a time in each of them.
    expect([leader.calls.length, other.calls.length]).toEqual([32, 32]);
    expect(new Set([...leader.calls, ...other.calls]).size).toBe(64);
    finish();
    await clock.advance(100);
    expect(leader.calls.length + other.calls.length).toBe(64);
    const { accounts } = await queue.view();
    expect(accounts).toEqual({ main: { ready: 0, running: 0, parked: 0, delayed: 64 } });
  });

  it('each works on a Service as the API server has it, however late it hears of that', async () => {
    const leader = await start(true);
    const [old, recent] = [service('a'), service('a')];
    server.set(recent);
    leader.heard.set(old);
    await clock.advance(0);
    expect(shown('a')).toBe(`${recent.metadata.labels?.version}.example`);
    // Heard of, and gone in fact.
    leader.heard.set(service('b'));
    await clock.advance(0);
    expect(await queue.view()).toMatchObject({ ready: 0, running: 0, parked: 0, delayed: 1 });
  });

  it('each says what it heard of nodes and endpoints, and what is done by then is not done again', async () => {
    const [leader, other] = [await start(true), await start(false)];
    await create(service('a'), leader, other);
    for (const each of [leader, other]) each.heard.set(server.get('shop/a') ?? expect.fail('gone'));
    const calls = () => leader.calls.length + other.calls.length;
    expect(calls()).toBe(1);
    other.cloud.print = 'one node more';
    leader.cloud.print = 'one node more';
    for (const { cloud } of [leader, other]) cloud.tell({ key: 'shop/a', why: 'inputs' });
    await clock.advance(100);
    expect(calls()).toBe(2);
    for (const { cloud } of [other, leader]) cloud.tell({ key: 'shop/a', why: 'inputs' });
    await clock.advance(100);
    expect(calls()).toBe(2);
    // Whoever hears of it late: the run before it may have been its own.
    other.cloud.print = 'two nodes more';
    leader.cloud.print = 'two nodes more';
    other.cloud.tell({ key: 'shop/a', why: 'inputs' });
    await clock.advance(100);
    expect(calls()).toBe(3);
  });

  it('one says what has to be looked at thoroughly', async () => {
    const [leader, other] = [await start(true), await start(false)];
    await create(service('a'), leader, other);
    other.cloud.tell({ key: 'shop/a', why: 'suspect' });
    await clock.advance(100);
    expect(leader.calls.length + other.calls.length).toBe(1);
    leader.cloud.tell({ key: 'shop/a', why: 'suspect' });
    await clock.advance(100);
    expect([...leader.thorough, ...other.thorough]).toEqual(['shop/a']);
  });

  it('one hears of a status that somebody spoilt, and it is put right', async () => {
    const leader = await start(true);
    await create(service('a'), leader);
    const good = server.get('shop/a') ?? expect.fail('gone');
    leader.heard.set(good);
    await create({ ...good, status: {} }, leader);
    expect(shown('a')).toBe(`${good.metadata.labels?.version}.example`);
  });

  it('one queues what users change, and not what a controller wrote', async () => {
    const leader = await start(true);
    await create(service('a'), leader);
    const written = server.get('shop/a') ?? expect.fail('gone');
    expect(written.status?.loadBalancer?.ingress).toHaveLength(1);
    leader.heard.set(written);
    await clock.advance(100);
    expect(leader.calls).toHaveLength(1);
    const { metadata } = written;
    await create(
      { ...written, metadata: { ...metadata, resourceVersion: '1000', annotations: { a: 'b' } } },
      leader,
    );
    expect(leader.calls).toHaveLength(2);
  });

  it('the next leader queues what its predecessor may have missed, and repeats nothing that is finished', async () => {
    const [first, second] = [await start(true), await start(false)];
    await create(service('finished'), first, second);
    for (const { heard } of [first, second]) heard.set(server.get('shop/finished') ?? expect.fail('gone'));
    await clock.advance(40_000);
    first.leads = false;
    await create(service('missed'), second);
    await create(service('never-heard-of'));
    second.heard.set(service('never-heard-of'));
    await clock.advance(0);
    expect(shown('missed')).toBeUndefined();
    second.leads = true;
    second.reconciler.lookAtAll();
    await clock.advance(100);
    expect(shown('missed')).toBeDefined();
    expect([...first.calls, ...second.calls].sort()).toEqual([
      'shop/finished',
      'shop/missed',
      'shop/never-heard-of',
    ]);
  });

  it('a Service is looked at again when the provider asked for it, whoever leads', async () => {
    const [first, second] = [await start(true), await start(false)];
    await create(service('a'), first, second);
    first.leads = false;
    await clock.advance(DRIFT_CHECK - 1);
    expect(first.calls.length + second.calls.length).toBe(1);
    await clock.advance(1);
    expect(first.calls.length + second.calls.length).toBe(2);
  });

  it('all leave a Service alone that is none of theirs, whatever it bears', async () => {
    const leader = await start(true);
    const foreign = service('a', 'fairlead.dev/l2');
    const annotations = { 'fairlead.dev/ip-allocated-from-pool': 'lan' };
    await create({ ...foreign, metadata: { ...foreign.metadata, annotations } }, leader);
    queue.add('shop/a');
    await clock.advance(100);
    expect(api.writes).toEqual([]);
    expect(leader.calls).toEqual([]);
  });
});
