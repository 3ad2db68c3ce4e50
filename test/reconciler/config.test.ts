import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import { KubeError } from '../../src/kube/kube-api.ts';
import type { Condition, KubeObject, NodeObject } from '../../src/kube/objects.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
} from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { L2Provider } from '../../src/providers/l2/l2-provider.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { Config } from '../../src/reconciler/config.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { request } from '../ipam/builders.ts';
import { LoopbackApi } from './loopback-api.ts';

type Status = Readonly<Record<string, unknown>> & { readonly conditions?: readonly Condition[] };

const registry = createRegistry();
let clock: VirtualClock;
let api: LoopbackApi;
let pools: Store<KubeObject>;
let advertisements: Store<KubeObject>;
let reservations: Store<KubeObject>;
let quotas: Store<KubeObject>;
let nodes: Store<NodeObject>;
let provider: L2Provider;
let config: Config;
let stop: AbortController;
let version = 1;

beforeEach(() => {
  clock = new VirtualClock();
  api = new LoopbackApi();
  pools = new Store();
  advertisements = new Store();
  reservations = new Store();
  quotas = new Store();
  nodes = new Store();
  provider = new L2Provider();
  stop = new AbortController();
  api.follow(IP_ADDRESS_POOLS, pools);
  api.follow(L2_ADVERTISEMENTS, advertisements);
  api.follow(ADDRESS_RESERVATIONS, reservations);
  api.follow(ADDRESS_QUOTAS, quotas);
  registry.clear();
  const log = createLogger({ component: 'test', level: 'silent' });
  config = new Config({
    api,
    pools,
    reservations,
    quotas,
    advertisements,
    nodes,
    provider,
    events: new EventRecorder({ api, clock, log, instance: 'test' }),
    clock,
    log,
    metrics: reconcilerMetrics(registry, () => new MemoryQueue({ clock, random: () => 0.5 }).view()),
  });
});

afterEach(() => stop.abort());

function object(name: string, spec: object): KubeObject {
  return {
    metadata: { name, uid: name, resourceVersion: `${1_000 * version++}`, generation: 1 },
    spec,
  } as KubeObject;
}

function pool(name: string, ...addresses: readonly string[]): KubeObject {
  return object(name, { addresses });
}

function statusOf(store: Store<KubeObject>, name: string): Status {
  return (store.get(name) as { status?: Status } | undefined)?.status ?? {};
}

function node(name: string, ...addresses: readonly string[]): NodeObject {
  const status = { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) };
  return { metadata: { name, uid: name, resourceVersion: `${1_000 * version++}` }, status };
}

/** `type reason` of each. */
function conditionsOf(store: Store<KubeObject>, name: string): string[] {
  return (statusOf(store, name).conditions ?? []).map(({ type, reason }) => `${type} ${reason}`);
}

function problemOf(store: Store<KubeObject>, name: string): string {
  return statusOf(store, name).conditions?.find(({ type }) => type === 'Valid')?.message ?? 'nothing is said';
}

describe('the configuration', () => {
  it('hands the pools on at its start, and says of each how full it is', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    config.start(stop.signal);
    await provider.ensure(request('a'));
    await clock.advance(200);
    expect(statusOf(pools, 'lan')).toMatchObject({ assignedIPv4: 1, availableIPv4: 8, assignedIPv6: 0 });
    const text = await registry.metrics();
    expect(text).toContain('fairlead_pool_addresses_available{pool="lan",family="IPv4"} 8');
  });

  it('writes many changes of the counts at once', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    config.start(stop.signal);
    await clock.advance(1_000);
    api.writes.length = 0;
    for (const name of ['a', 'b', 'c', 'd']) {
      await provider.ensure(request(name));
      config.changed();
      await clock.advance(40);
    }
    await clock.advance(1_000);
    expect(api.writes).toHaveLength(1);
    expect(statusOf(pools, 'lan')).toMatchObject({ assignedIPv4: 4 });
  });

  it('leaves each Service its address where a pool is renamed within one list', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9', '192.0.2.100'));
    config.start(stop.signal);
    await provider.ensure(request('a', { addresses: ['192.0.2.100'] }));
    pools.replace([pool('renamed', '192.0.2.1-192.0.2.9', '192.0.2.100')]);
    await clock.advance(20);
    expect(await provider.ensure(request('a'))).toMatchObject({
      addresses: ['192.0.2.100'],
      source: 'renamed',
    });
  });

  it('sets a bad pool aside: its Services keep what they have, its figures go, the others go on', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    config.start(stop.signal);
    await provider.ensure(request('a'));
    await clock.advance(1_200);
    pools.replace([pool('lan', '192.0.2.1-192.0.2.9', '192.0.2.300'), pool('good', '198.51.100.1')]);
    await clock.advance(1_200);
    expect(await provider.ensure(request('a'))).toMatchObject({ kind: 'done', addresses: ['192.0.2.1'] });
    expect(await provider.ensure(request('b'))).toMatchObject({ kind: 'done', addresses: ['198.51.100.1'] });
    expect(problemOf(pools, 'lan')).toContain('spec.addresses[1] "192.0.2.300" is not an IP address');
    expect(statusOf(pools, 'lan')).not.toHaveProperty('assignedIPv4');
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    await clock.advance(1_200);
    expect(statusOf(pools, 'lan')).toMatchObject({ assignedIPv4: 1, conditions: [{ status: 'True' }] });
  });

  it('does not take its own status for a change', async () => {
    const heard: string[] = [];
    pools.set(pool('lan', '192.0.2.1'));
    config.start(stop.signal);
    await provider.ensure(request('a'));
    await provider.ensure(request('b'));
    provider.subscribe((key) => heard.push(key));
    await clock.advance(1_000);
    expect(api.writes).toHaveLength(1);
    expect(heard).toEqual([]);
  });

  it('says of an advertisement what is wrong with it, and takes that back', async () => {
    advertisements.replace([
      object('bad', { nodes: ['a'] }),
      object('lost', { ipAddressPools: ['lan', 'wan'] }),
      object('good', {}),
    ]);
    config.start(stop.signal);
    await clock.advance(200);
    expect(problemOf(advertisements, 'bad')).toContain('spec.nodes "nodes" is no field here');
    expect(problemOf(advertisements, 'lost')).toBe(
      'L2Advertisement/lost: spec.ipAddressPools "lan" is no IPAddressPool; create it, or correct the name; ' +
        'L2Advertisement/lost: spec.ipAddressPools "wan" is no IPAddressPool; create it, or correct the name',
    );
    expect(problemOf(advertisements, 'good')).toBe('');
    pools.replace([pool('lan', '192.0.2.1'), pool('wan', '198.51.100.1')]);
    await clock.advance(1_200);
    expect(problemOf(advertisements, 'lost')).toBe('');
  });

  it('says of an advertisement that no node has an interface that it names, once the agents had time to tell', async () => {
    const told = (interfaces: object) =>
      advertisements.set({
        ...object('near', { interfaces: ['eth0', 'eth9'] }),
        status: { ...statusOf(advertisements, 'near'), interfaces },
      } as KubeObject);
    nodes.set(node('node-1', '198.51.100.1'));
    told({});
    config.start(stop.signal);
    await clock.advance(4_000);
    expect(conditionsOf(advertisements, 'near')).toEqual(['Valid Valid']);
    told({ eth0: 'node-1' });
    await clock.advance(10_000);
    expect(conditionsOf(advertisements, 'near')).toEqual(['Valid Valid', 'UnknownInterface NoNodeHasIt']);
    expect(statusOf(advertisements, 'near').conditions?.[1]?.message).toBe(
      'spec.interfaces: no node that this selects has "eth9", as far as agents tell; correct the name, or see that agents run there',
    );
    told({ eth0: 'node-1', eth9: 'node-1' });
    await clock.advance(2_000);
    expect(conditionsOf(advertisements, 'near')).toEqual(['Valid Valid']);
  });

  it('writes a status again that could not be written, but not of what is gone', async () => {
    let tries = 0;
    api.before = (key) => {
      if (++tries <= 2) throw new KubeError(0, 'ECONNREFUSED', 'connect ECONNREFUSED');
      if (key === 'gone') throw new KubeError(404, 'NotFound', 'not found');
    };
    pools.replace([pool('lan', '192.0.2.1'), pool('gone', '192.0.2.2')]);
    config.start(stop.signal);
    await clock.advance(200);
    expect(problemOf(pools, 'lan')).toBe('nothing is said');
    await clock.advance(60_000);
    expect(problemOf(pools, 'lan')).toBe('');
    const after = tries;
    await clock.advance(60_000);
    expect(tries).toBe(after);
  });

  it('writes nothing after its end', async () => {
    pools.set(pool('lan', '192.0.2.1'));
    config.start(stop.signal);
    stop.abort();
    pools.set(pool('wan', '192.0.2.2'));
    await clock.advance(60_000);
    expect(api.writes).toEqual([]);
  });

  it('writes at most once a second, however long the counts change', async () => {
    pools.set(pool('lan', '192.0.2.0/24'));
    config.start(stop.signal);
    for (let i = 0; i < 100; i++) {
      await provider.ensure(request(`s${i}`));
      config.changed();
      await clock.advance(50);
    }
    await clock.advance(1_000);
    expect(api.writes.length).toBeLessThanOrEqual(6);
    expect(statusOf(pools, 'lan')).toMatchObject({ assignedIPv4: 100 });
  });

  it('gives nobody the address of a node, from the moment that the node has it', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.3'));
    nodes.set(node('node-1', '192.0.2.1', 'node-1.example.com'));
    config.start(stop.signal);
    expect(await provider.ensure(request('a'))).toMatchObject({ addresses: ['192.0.2.2'] });
    await clock.advance(2_000);
    expect(statusOf(pools, 'lan').conditions?.find(({ type }) => type === 'NodeAddresses')).toMatchObject({
      status: 'True',
      reason: 'KeptBack',
      message:
        'nodes have these addresses, which are not given out: 192.0.2.1 (node-1); take them out of spec.addresses, or name them in spec.exclude',
    });
    nodes.set(node('node-1', '192.0.2.3'));
    await clock.advance(20);
    expect(await provider.ensure(request('b'))).toMatchObject({ addresses: ['192.0.2.1'] });
    expect(await provider.ensure(request('c'))).toMatchObject({ kind: 'pending', reason: 'PoolExhausted' });
    nodes.set(node('node-1', '198.51.100.1'));
    await clock.advance(2_000);
    expect(conditionsOf(pools, 'lan').join()).not.toContain('NodeAddresses');
  });

  it('does not take the heartbeat of a node for a change', async () => {
    const heard: string[] = [];
    pools.set(pool('lan', '192.0.2.1'));
    nodes.set(node('node-1', '198.51.100.1'));
    config.start(stop.signal);
    for (const name of ['a', 'b']) await provider.ensure(request(name));
    await clock.advance(2_000);
    api.writes.length = 0;
    provider.subscribe((key) => heard.push(key));
    nodes.set(node('node-1', '198.51.100.1'));
    await clock.advance(2_000);
    expect(api.writes).toEqual([]);
    expect(heard).toEqual([]);
  });

  it('holds a reserved address back until the reservation ends, and says so on it', async () => {
    pools.set(pool('lan', '192.0.2.1'));
    const expires = new Date(clock.wallTime().getTime() + 60_000).toISOString();
    reservations.set(object('mine', { addresses: ['192.0.2.1'], expires }));
    config.start(stop.signal);
    expect(await provider.ensure(request('a'))).toMatchObject({ kind: 'pending' });
    await clock.advance(2_000);
    expect(conditionsOf(reservations, 'mine')).toEqual(['Valid Valid']);
    await clock.advance(60_000);
    expect(await provider.ensure(request('a'))).toMatchObject({ addresses: ['192.0.2.1'] });
    expect(conditionsOf(reservations, 'mine')).toEqual(['Valid Valid', 'Expired TimePassed']);
  });

  it('tells of a reserved address with whom it is, and of a bad reservation what is wrong', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    const service = { namespace: 'shop', name: 'a' };
    reservations.replace([
      object('good', { addresses: ['192.0.2.5'], service }),
      object('bad', { addresses: ['192.0.2.0/24'] }),
    ]);
    config.start(stop.signal);
    expect(await provider.ensure(request('a'))).toMatchObject({ addresses: ['192.0.2.5'] });
    await clock.advance(2_000);
    expect(conditionsOf(reservations, 'good')).toEqual(['Valid Valid', 'Held ByItsService']);
    expect(problemOf(reservations, 'bad')).toContain('spec.addresses[0] "192.0.2.0/24" is not an IP address');
  });

  it('says of a quota which namespaces have as much as it allows, or more, and takes nothing away', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    quotas.set(object('all', { maxIPv4: 1 }));
    config.start(stop.signal);
    expect(await provider.ensure(request('a'))).toMatchObject({ kind: 'done' });
    expect(await provider.ensure(request('b'))).toMatchObject({ kind: 'pending', reason: 'LimitReached' });
    await clock.advance(2_000);
    expect(conditionsOf(quotas, 'all')).toEqual(['Valid Valid', 'LimitReached NoMore']);
    quotas.set(object('all', { maxIPv4: 0 }));
    await clock.advance(2_000);
    expect(conditionsOf(quotas, 'all')).toEqual(['Valid Valid', 'LimitExceeded InUse']);
    expect(statusOf(quotas, 'all').conditions?.[1]?.message).toContain('shop (1 IPv4)');
    expect(await provider.ensure(request('a'))).toMatchObject({ kind: 'done', addresses: ['192.0.2.1'] });
  });

  it('says of a quota what is wrong with it, which limits nothing then, and the others go on', async () => {
    pools.set(pool('lan', '192.0.2.1-192.0.2.9'));
    quotas.replace([
      object('bad', {
        maxIPv4: 0,
        namespaceSelectors: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }],
      }),
      object('good', { maxIPv4: 1 }),
    ]);
    config.start(stop.signal);
    expect(await provider.ensure(request('a'))).toMatchObject({ kind: 'done' });
    expect(await provider.ensure(request('b'))).toMatchObject({ reason: 'LimitReached' });
    await clock.advance(2_000);
    expect(conditionsOf(quotas, 'bad')).toEqual(['Valid Invalid']);
    expect(problemOf(quotas, 'bad')).toContain('spec.namespaceSelectors[0].matchExpressions[0].values');
    expect(conditionsOf(quotas, 'good')).toEqual(['Valid Valid', 'LimitReached NoMore']);
  });

  it('says of a pool that it is unused, nearly full, exhausted, and with whom it overlaps', async () => {
    pools.replace([pool('lan', '192.0.2.1-192.0.2.4'), pool('late', '192.0.2.4-192.0.2.5')]);
    config.start(stop.signal);
    await clock.advance(2_000);
    expect(conditionsOf(pools, 'lan')).toEqual(['Valid Valid', 'Unused NoServices']);
    expect(conditionsOf(pools, 'late')).toEqual([
      'Valid Valid',
      'Overlapping OlderPool',
      'Unused NoServices',
    ]);
    for (const name of ['a', 'b', 'c']) await provider.ensure(request(name, { pool: 'lan' }));
    config.changed();
    await clock.advance(2_000);
    expect(conditionsOf(pools, 'lan')).toEqual(['Valid Valid', 'NearlyFull Above75Percent']);
    for (const name of ['d', 'e', 'f']) await provider.ensure(request(name, { pool: 'lan' }));
    config.changed();
    await clock.advance(2_000);
    expect(conditionsOf(pools, 'lan')).toEqual([
      'Valid Valid',
      'Exhausted NoFreeIPv4',
      'NearlyFull Above95Percent',
    ]);
    expect(statusOf(pools, 'lan').conditions?.[1]?.message).toBe('no IPv4 address is free; 2 Services wait');
    expect(api.created.map((event) => (event as { note?: string }).note)).toEqual([
      '75 % or more of the IPv4 addresses are in use; add addresses, or let some go',
      '95 % or more of the IPv4 addresses are in use; add addresses, or let some go',
    ]);
    expect(await registry.metrics()).toContain('fairlead_pool_services_waiting{pool="lan"} 2');
  });
});
