// The whole controller process, as the account that it has in a cluster.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { ADDRESS_QUOTAS, IP_ADDRESS_POOLS, SERVICES } from '../../src/kube/resources.ts';
import {
  addressesOf,
  allocatedCondition,
  Cluster,
  type Config,
  validCondition,
} from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let test: TestServer;
let cluster: Cluster;
let controller: ControllerProcess;
/** Of the controller's account. */
let kubeconfig: string;

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  kubeconfig = await test.accountKubeconfig('controller');
  cluster = new Cluster(test.api);
  controller = new ControllerProcess(kubeconfig);
});

afterAll(async () => {
  await controller.stop('SIGKILL');
  await cluster.close();
  await test.close();
});

/** Names of Services by address; fails where one address is with two. */
function holders(): Map<string, string> {
  const byAddress = new Map<string, string>();
  for (const service of cluster.services.values()) {
    for (const address of addressesOf(service)) {
      expect(byAddress.get(address), `a second holder of ${address}`).toBeUndefined();
      byAddress.set(address, service.metadata.name);
    }
  }
  return byAddress;
}

/** What the status shows, whatever it is. */
function shownBy({ status }: ServiceObject): string {
  return (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname).join();
}

describe('the controller', () => {
  it('gives a Service that was there before any pool an address, and says so on it', async () => {
    await cluster.createService('web');
    const waiting = await cluster.serviceWith('web', 'NoPools');
    expect(allocatedCondition(waiting)).toMatchObject({
      status: 'False',
      message: 'there is no IPAddressPool; create one',
    });
    await cluster.createPool('lan', ['192.0.2.10-192.0.2.12', '2001:db8::/120']);
    const served = await cluster.service('web');
    expect(served.status?.loadBalancer?.ingress).toEqual([{ ip: '192.0.2.10', ipMode: 'VIP' }]);
    expect(allocatedCondition(served)).toMatchObject({
      status: 'True',
      reason: 'Allocated',
      message: '192.0.2.10 from lan',
    });
    expect(served.metadata.annotations).toEqual({
      'fairlead.dev/ip-allocated-from-pool': 'lan',
      'fairlead.dev/allocated-ips': '192.0.2.10',
    });
    await controller.logged('synced');
  });

  it('serves its own class and leaves another alone', async () => {
    await cluster.createService('foreign', { loadBalancerClass: 'example.com/other' });
    await cluster.createService('own', { loadBalancerClass: 'fairlead.dev/l2' });
    expect(addressesOf(await cluster.service('own'))).toEqual(['192.0.2.11']);
    expect(cluster.services.get('default/foreign')?.status).toEqual({ loadBalancer: {} });
  });

  it('counts what is assigned and available in the status of the pool', async () => {
    const pool = await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 2);
    expect(pool.status).toMatchObject({ availableIPv4: 1, assignedIPv6: 0, availableIPv6: 256 });
    expect(validCondition(pool)).toMatchObject({ status: 'True', reason: 'Valid', observedGeneration: 1 });
  });

  it('gives a dual-stack Service one address of each family, the primary first', async () => {
    await cluster.createService('dual', { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] });
    expect(addressesOf(await cluster.service('dual'))).toEqual(['2001:db8::', '192.0.2.12']);
  });

  it('lets a Service wait while the pool is exhausted, and serves it when an address comes back', async () => {
    await cluster.createService('late');
    const waiting = await cluster.serviceWith('late', 'PoolExhausted');
    expect(allocatedCondition(waiting)?.message).toBe(
      'no address is free: pool "lan" is without a free IPv4 address',
    );
    await cluster.deleteService('own');
    expect(addressesOf(await cluster.service('late'))).toEqual(['192.0.2.11']);
    expect(await cluster.eventsOn('late', 2)).toEqual(['Warning AllocationFailed', 'Normal IPAllocated']);
  });

  it('empties the status of a Service that is no load balancer any more, and gives its address to who waits', async () => {
    await cluster.createService('later');
    await cluster.serviceWith('later', 'PoolExhausted');
    await cluster.patchService('late', { spec: { type: 'ClusterIP' } });
    expect(addressesOf(await cluster.service('later'))).toEqual(['192.0.2.11']);
    const former = await cluster.service('late', (each) => !allocatedCondition(each));
    expect(addressesOf(former)).toEqual([]);
    expect(former.metadata.annotations ?? {}).toEqual({});
  });

  it('says on a bad pool which field and value is wrong and what to write, and serves the others', async () => {
    await cluster.createPool('bad', ['198.51.100.300', '198.51.100.9-198.51.100.1']);
    await cluster.createPool('overlapping', { addresses: ['192.0.2.12-192.0.2.20'], autoAssign: false });
    await cluster.createPool('good', ['198.51.100.1']);
    const bad = await cluster.pool('bad', (each) => validCondition(each) !== undefined);
    expect(validCondition(bad)).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(validCondition(bad)?.message).toBe(
      'IPAddressPool/bad: spec.addresses[0] "198.51.100.300" is not an IP address: "300" is not 0 to 255; ' +
        'IPAddressPool/bad: spec.addresses[1] "198.51.100.9-198.51.100.1" ends before it starts; ' +
        'write 198.51.100.1-198.51.100.9',
    );
    const overlapping = await cluster.pool('overlapping', (each) => validCondition(each) !== undefined);
    expect(overlapping.status?.conditions?.find(({ type }) => type === 'Overlapping')?.message).toBe(
      'serves with the rest: IPAddressPool/overlapping: spec.addresses "192.0.2.12" ' +
        'belongs to the older pool "lan"; take it out of one of the two',
    );
    await cluster.createService('other');
    expect(addressesOf(await cluster.service('other'))).toEqual(['198.51.100.1']);
  });

  it('names an advertisement of a pool that is not there', async () => {
    await cluster.createAdvertisement('lan', { ipAddressPools: ['lan', 'gone'] });
    const object = await cluster.advertisement('lan', (each) => validCondition(each) !== undefined);
    expect(validCondition(object)?.message).toBe(
      'L2Advertisement/lan: spec.ipAddressPools "gone" is no IPAddressPool; create it, or correct the name',
    );
  });

  it.each([
    ['spec.loadBalancerIP', { loadBalancerIP: '203.0.113.9' }, {}],
    ['our annotation', {}, { 'fairlead.dev/load-balancer-ips': '203.0.113.9' }],
    ['the annotation of MetalLB', {}, { 'metallb.io/loadBalancerIPs': '203.0.113.9' }],
  ])('refuses an address outside of all pools that %s asks for', async (_, spec, annotations) => {
    await cluster.createService('outside', spec, annotations);
    const refused = await cluster.serviceWith('outside', 'AddressNotInPool');
    expect(allocatedCondition(refused)?.message).toBe(
      'no pool gives out 203.0.113.9; the pools are "good", "lan", "overlapping"',
    );
    await cluster.deleteService('outside');
    await cluster.service('web');
  });

  it('refuses wishes that cannot be read, each with its mend, and leaves the Service what it has', async () => {
    await cluster.patchService('web', {
      metadata: { annotations: { 'fairlead.dev/load-balancer-ips': '192.0.2.010' } },
    });
    const refused = await cluster.serviceWith('web', 'InvalidRequest');
    expect(allocatedCondition(refused)?.message).toBe(
      'keeps 192.0.2.10; Service/default/web: metadata.annotations[fairlead.dev/load-balancer-ips] "192.0.2.010" ' +
        'has a leading zero in "010"; write 10',
    );
    expect(addressesOf(refused)).toEqual(['192.0.2.10']);
    await cluster.patchService('web', {
      metadata: { annotations: { 'fairlead.dev/load-balancer-ips': null } },
    });
    await cluster.serviceWith('web', 'Allocated');
  });

  it('lets Services with one key and different ports share an address', async () => {
    const key = { 'fairlead.dev/allow-shared-ip': 'dns', 'fairlead.dev/load-balancer-ips': '2001:db8::53' };
    const one = { ipFamilies: ['IPv6'], ports: [{ port: 53, protocol: 'UDP' }] } as const;
    const two = { ipFamilies: ['IPv6'], ports: [{ port: 53, protocol: 'TCP' }] } as const;
    await cluster.createService('dns-udp', one, key);
    await cluster.createService('dns-tcp', two, key);
    await cluster.createService('dns-more', two, key);
    expect(addressesOf(await cluster.service('dns-udp'))).toEqual(['2001:db8::53']);
    expect(addressesOf(await cluster.service('dns-tcp'))).toEqual(['2001:db8::53']);
    const refused = await cluster.serviceWith('dns-more', 'AddressInUse');
    expect(allocatedCondition(refused)?.message).toBe(
      '2001:db8::53 is held by the Service default/dns-tcp: both have the port TCP/53',
    );
    await cluster.deleteService('dns-more');
    await cluster.deleteService('dns-udp');
    await cluster.deleteService('dns-tcp');
  });

  it('keeps back what a node has and what is reserved, until the reservation goes', async () => {
    const from = { 'fairlead.dev/address-pool': 'kept' };
    await cluster.createNode('node-9', '203.0.113.100');
    const service = { namespace: 'default', name: 'awaited' };
    await cluster.createReservation('awaited', { addresses: ['203.0.113.101'], service });
    await cluster.createPool('kept', { addresses: ['203.0.113.100-203.0.113.102'], autoAssign: false });
    // Each kind has a watch of its own: by now the controller has heard of all three.
    const kept = await cluster.pool('kept', ({ status }) => status?.availableIPv4 === 1);
    expect(kept.status?.conditions?.find(({ type }) => type === 'NodeAddresses')?.message).toContain(
      '203.0.113.100 (node-9)',
    );
    await cluster.createService('kept-1', {}, from);
    expect(addressesOf(await cluster.service('kept-1'))).toEqual(['203.0.113.102']);
    await cluster.createService('kept-2', {}, from);
    await cluster.serviceWith('kept-2', 'PoolExhausted');
    await cluster.createService('awaited', {}, from);
    expect(addressesOf(await cluster.service('awaited'))).toEqual(['203.0.113.101']);
    await cluster.deleteService('awaited');
    await cluster.deleteReservation('awaited');
    expect(addressesOf(await cluster.service('kept-2'))).toEqual(['203.0.113.101']);
    for (const name of ['kept-1', 'kept-2']) await cluster.deleteService(name);
    await cluster.deletePool('kept');
  });

  it('lets a namespace have as many addresses as its quota allows, from all pools, and says who is at the limit', async () => {
    const quota = () => test.api.get<Config>(ADDRESS_QUOTAS, { name: 'small' });
    const conditions = async () => (await quota()).status?.conditions?.map(({ type }) => type);
    await cluster.createPool('quota', { addresses: ['203.0.113.110-203.0.113.119'], autoAssign: false });
    const has = [...cluster.services.values()].filter(
      (service) =>
        service.metadata.namespace === 'default' && addressesOf(service).some((each) => !each.includes(':')),
    ).length;
    await cluster.createQuota('small', { maxIPv4: has + 1, namespaces: ['default'] });
    while (!(await conditions())?.includes('Valid'));
    const from = { 'fairlead.dev/address-pool': 'quota' };
    await cluster.createService('quota-1', {}, from);
    await cluster.service('quota-1');
    await cluster.createService('quota-2', {}, from);
    const refused = await cluster.serviceWith('quota-2', 'LimitReached');
    expect(allocatedCondition(refused)?.message).toBe(
      `no pool serves the Service: pool "quota" is closed to the namespace, which has as many IPv4 addresses as spec.maxIPv4 of the AddressQuota "small" allows: ${has + 1}`,
    );
    while (!(await conditions())?.includes('LimitReached'));
    // Lowered under use it takes nothing away.
    await cluster.patchQuota('small', { maxIPv4: has });
    while (!(await conditions())?.includes('LimitExceeded'));
    expect(addressesOf(await cluster.service('quota-1'))).toEqual(['203.0.113.110']);
    await cluster.patchQuota('small', { maxIPv4: has + 2 });
    expect(addressesOf(await cluster.service('quota-2'))).toEqual(['203.0.113.111']);
    for (const name of ['quota-1', 'quota-2']) await cluster.deleteService(name);
    await cluster.deleteQuota('small');
    await cluster.deletePool('quota');
  });

  it('writes a status that was emptied, or changed, by hand back with the same address', async () => {
    const before = await cluster.service('web');
    for (const ingress of [null, [{ ip: '192.0.2.99' }], [{ hostname: 'web.example.com' }]]) {
      const changed = cluster.service('web', (each) => addressesOf(each)[0] !== '192.0.2.10');
      await cluster.patchStatus('web', { loadBalancer: { ingress } });
      await changed;
      const after = await cluster.service('web', (each) => addressesOf(each)[0] === '192.0.2.10');
      expect(after.status?.loadBalancer).toEqual(before.status?.loadBalancer);
    }
  });

  it('shows its figures and its health', async () => {
    expect(JSON.parse(await controller.page('/healthz'))).toMatchObject({ healthy: true, synced: true });
    const metrics = await controller.page('/metrics');
    expect(metrics).toContain('fairlead_pool_addresses_assigned{pool="lan",family="IPv4"} 3');
    expect(metrics).toMatch(/fairlead_reconciler_runs_total\{outcome="done"\} \d/);
  });
});

describe("Kubernetes' expectations of a load balancer", () => {
  const [name, finalizers] = ['life', ['service.kubernetes.io/load-balancer-cleanup']];
  let address: string[];
  /** Every state of the Service that the API server told of. */
  const states: ServiceObject[] = [];
  let unsubscribe: () => void;

  beforeAll(() => {
    unsubscribe = cluster.services.subscribe((key, object) => {
      if (key === `default/${name}` && object) states.push(object);
    });
  });
  afterAll(() => unsubscribe());

  /** How many writes the Service saw since the last call, once the controller is done with all that came before. */
  async function writes(): Promise<number> {
    const mark = `mark-${states.length}`;
    await cluster.createService(mark, {}, { 'fairlead.dev/address-pool': 'no such pool' });
    await cluster.serviceWith(mark, 'UnknownPool');
    await cluster.deleteService(mark);
    return states.splice(0).length;
  }

  it('hold as soon as a Service is made: the finalizer is there with its address, in one write', async () => {
    await cluster.createPool('life', ['203.0.113.64/28']);
    await cluster.pool('life', (each) => validCondition(each) !== undefined);
    const pool = { 'fairlead.dev/address-pool': 'life' };
    await cluster.createService(name, { allocateLoadBalancerNodePorts: false }, pool);
    const served = await cluster.service(name);
    address = addressesOf(served);
    expect(served.metadata.finalizers).toEqual(finalizers);
    expect(served.spec.ports?.[0]?.nodePort).toBeUndefined();
    expect(await writes()).toBe(2);
  });

  it.each<[string, object]>([
    ['node ports are allocated', { allocateLoadBalancerNodePorts: true }],
    [
      'its ports change',
      {
        ports: [
          { name: 'a', port: 80 },
          { name: 'b', port: 443 },
        ],
      },
    ],
    ['its node port changes', { ports: [{ name: 'a', port: 80, nodePort: 31_999 }] }],
    ['its policy changes', { externalTrafficPolicy: 'Local' }],
    ['its selector changes', { selector: { app: 'other' } }],
  ])('keep the address, without a write of ours, when %s', async (_, spec) => {
    await cluster.patchService(name, { spec });
    expect(await writes()).toBe(1);
    expect(addressesOf(await cluster.service(name))).toEqual(address);
  });

  it.each(['ClusterIP', 'NodePort', 'ExternalName'] as const)(
    'let the Service go with one write when its type becomes %s, and serve it again when that is over',
    async (type) => {
      const external = { externalName: 'example.com', clusterIP: '', clusterIPs: null };
      const back = { type: 'LoadBalancer', externalName: null };
      await cluster.patchService(name, { spec: { type, ...(type === 'ExternalName' ? external : {}) } });
      const former = await cluster.service(name, (each) => !allocatedCondition(each));
      expect(addressesOf(former)).toEqual([]);
      expect(former.metadata.finalizers).toBeUndefined();
      expect(former.metadata.annotations).toEqual({ 'fairlead.dev/address-pool': 'life' });
      expect(await writes()).toBe(2);
      await cluster.patchService(name, { spec: back });
      const again = await cluster.serviceWith(name, 'Allocated');
      expect(addressesOf(again)).toEqual(address);
      expect(again.metadata.finalizers).toEqual(finalizers);
      expect(await writes()).toBe(2);
    },
  );

  it('rest while the Service goes from one other type to another, in every direction', async () => {
    const external = { externalName: 'example.com', clusterIP: '', clusterIPs: null };
    const change = (type: 'ClusterIP' | 'NodePort' | 'ExternalName' | 'LoadBalancer') =>
      cluster.patchService(name, {
        spec: { type, externalName: null, ...(type === 'ExternalName' ? external : {}) },
      });
    await change('ClusterIP');
    await cluster.service(name, (each) => !allocatedCondition(each));
    await writes();
    for (const type of [
      'NodePort',
      'ClusterIP',
      'ExternalName',
      'NodePort',
      'ExternalName',
      'ClusterIP',
    ] as const) {
      await change(type);
      expect([type, await writes()]).toEqual([type, 1]);
    }
    await change('LoadBalancer');
    expect(addressesOf(await cluster.serviceWith(name, 'Allocated'))).toEqual(address);
    expect(await writes()).toBe(2);
  });

  it('set right a status that another wrote, and rest where the API server completes it itself', async () => {
    const status = { loadBalancer: { ingress: [{ ip: address[0] }] } };
    const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
    await cluster.api.patch(SERVICES, { name, namespace: 'default' }, { status }, options);
    expect(await writes()).toBe(0); // ipMode: VIP is what the server adds
    const wrong = { loadBalancer: { ingress: [{ ip: '203.0.113.99' }] } };
    await cluster.api.patch(SERVICES, { name, namespace: 'default' }, { status: wrong }, options);
    expect(await writes()).toBe(2);
    expect(addressesOf(await cluster.service(name))).toEqual(address);
  });

  it('let a deleted Service go with two writes: its status is empty while it is still there', async () => {
    await cluster.deleteService(name);
    const seen = states.map((each) => [each.metadata.deletionTimestamp !== undefined, addressesOf(each)]);
    expect(seen).toEqual([
      [true, address],
      [true, []],
    ]);
    await cluster.deletePool('life');
  });
});

describe('a controller in trouble', () => {
  const faults: readonly (readonly [string, () => Promise<void> | void])[] = [
    ['every watch is cut', () => test.server.dropWatches()],
    [
      'history is forgotten, so that watches end with 410',
      async () => {
        await test.server.forgetHistory();
        test.server.dropWatches();
      },
    ],
    [
      'the API server restarts',
      async () => {
        await test.server.stop();
        await test.server.start();
      },
    ],
  ];

  it.each(faults)('loses nothing and gives no address twice when %s', async (_, fault) => {
    await cluster.createPool('more', ['203.0.113.0/28']);
    await cluster.service('later');
    const before = holders();
    const fresh = ['m1', 'm2', 'm3', 'm4'];
    const creating = Promise.all(fresh.slice(0, 2).map((name) => cluster.createService(name)));
    await creating;
    await fault();
    for (const name of fresh.slice(2)) await cluster.createService(name);
    for (const name of fresh) await cluster.service(name);
    const after = holders();
    for (const [address, name] of before) expect(after.get(address)).toBe(name);
    for (const name of fresh) await cluster.deleteService(name);
    const empty = await cluster.pool('more', ({ status }) => status?.assignedIPv4 === 0);
    expect(empty.status?.availableIPv4).toBe(16);
    await cluster.deletePool('more');
  });

  it('does what was asked for while the API server was away', async () => {
    const had = addressesOf(await cluster.service('later'));
    const before = controller.lines.length;
    await test.server.stop();
    await controller.logged('the API server does not answer; will try again', before);
    await test.server.start();
    await cluster.deleteService('later');
    await cluster.createService('heir', { loadBalancerIP: had[0] ?? '' });
    expect(addressesOf(await cluster.service('heir'))).toEqual(had);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
    'leaves every address where it is over a restart after %s, whatever was created meanwhile',
    async (signal) => {
      const before = holders();
      expect(await controller.stop(signal)).toBe(signal === 'SIGKILL' ? null : 0);
      // Older by name and first in the list, yet it must not take what another has.
      await cluster.createService('aaa');
      controller = new ControllerProcess(kubeconfig);
      await cluster.serviceWith('aaa', 'PoolExhausted');
      expect(holders()).toEqual(before);
      await cluster.deleteService('aaa');
    },
  );

  it('writes nothing over a restart where nothing changed', async () => {
    const versions = () =>
      [...cluster.services.values()].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
    const before = versions();
    await controller.stop();
    controller = new ControllerProcess(kubeconfig);
    await controller.logged('synced');
    await cluster.createService('zzz');
    await cluster.serviceWith('zzz', 'PoolExhausted');
    await cluster.deleteService('zzz');
    await cluster.createService('mark', { type: 'ClusterIP' });
    await cluster.service('mark', () => true);
    expect(versions().filter((each) => !each.startsWith('mark '))).toEqual(before);
  });

  it('frees what was deleted, and empties what changed its type, while it was away', async () => {
    const had = addressesOf(await cluster.service('heir'));
    await controller.stop('SIGKILL');
    await cluster.markServiceDeleted('heir');
    await cluster.patchService('other', { spec: { type: 'ClusterIP' } });
    await cluster.createService('next', { loadBalancerIP: had[0] ?? '' });
    controller = new ControllerProcess(kubeconfig);
    expect(addressesOf(await cluster.service('next'))).toEqual(had);
    await cluster.serviceGone('heir');
    const former = await cluster.service('other', (each: ServiceObject) => !allocatedCondition(each));
    expect(addressesOf(former)).toEqual([]);
    expect(former.metadata.finalizers).toBeUndefined();
  });
});

describe('what stands in front of an address', () => {
  const service = (shown: string) => cluster.service('fronted', (each) => shownBy(each) === shown);

  it('is shown in its place: what the pool says, or what the Service says', async () => {
    await cluster.createPool('front', {
      addresses: ['198.51.100.32/28'],
      publish: [{ addresses: '198.51.100.32/28', as: '203.0.113.128/28' }],
    });
    await cluster.createService('fronted', {}, { 'fairlead.dev/address-pool': 'front' });
    const served = await service('203.0.113.128');
    expect(served.metadata.annotations).toMatchObject({ 'fairlead.dev/allocated-ips': '198.51.100.32' });
    expect(allocatedCondition(served)?.message).toBe('198.51.100.32 from front, shown as 203.0.113.128');
    const publish = (value: string | null) =>
      cluster.patchService('fronted', { metadata: { annotations: { 'fairlead.dev/publish': value } } });
    await publish('www.example.com');
    await service('www.example.com');
    await publish(null);
    await service('203.0.113.128');
  });

  it('does not hide over a restart who has which address, nor over a pool that cannot be read', async () => {
    await controller.stop('SIGKILL');
    await cluster.createService('taker', {}, { 'fairlead.dev/address-pool': 'front' });
    controller = new ControllerProcess(kubeconfig);
    await cluster.service('taker', (each) => shownBy(each) === '203.0.113.129');
    const pool = (spec: object) =>
      cluster.api.patch(
        IP_ADDRESS_POOLS,
        { name: 'front' },
        { spec },
        { type: 'merge', fieldManager: 'test' },
      );
    await pool({ exclude: ['198.51.100.9-198.51.100.1'] });
    await cluster.pool('front', (each) => validCondition(each)?.status === 'False');
    await controller.stop('SIGKILL');
    controller = new ControllerProcess(kubeconfig);
    await controller.logged('synced');
    // What comes last is served when all that was there is done.
    await cluster.createService('after', {}, { 'fairlead.dev/address-pool': 'no such pool' });
    await cluster.serviceWith('after', 'UnknownPool');
    expect(shownBy(await cluster.service('fronted'))).toBe('203.0.113.128');
    await pool({ exclude: null, publish: null });
    await service('198.51.100.32');
    await cluster.service('taker', (each) => shownBy(each) === '198.51.100.33');
    for (const name of ['fronted', 'taker', 'after']) await cluster.deleteService(name);
    await cluster.deletePool('front');
  });
});

describe('a status that was emptied while the controller was away', () => {
  it.each([
    ['its addresses', { loadBalancer: null }],
    ['all of it', { loadBalancer: null, conditions: null }],
  ])('comes back with the same address: %s', async (_, status) => {
    const from = { 'fairlead.dev/address-pool': 'memory' };
    await cluster.createPool('memory', ['198.51.100.64-198.51.100.65']);
    await cluster.createService('first', {}, from);
    await cluster.service('first');
    // Older than the one whose status is emptied: whatever is free goes to it.
    await cluster.createService('elder', {}, { 'fairlead.dev/address-pool': 'later' });
    await cluster.serviceWith('elder', 'UnknownPool');
    await cluster.createService('third', {}, from);
    expect(addressesOf(await cluster.service('third'))).toEqual(['198.51.100.65']);
    await cluster.patchService('elder', { metadata: { annotations: from } });
    await cluster.serviceWith('elder', 'PoolExhausted');
    await controller.stop('SIGKILL');
    await cluster.patchStatus('third', status);
    await cluster.service('third', (each) => addressesOf(each).length === 0);
    controller = new ControllerProcess(kubeconfig);
    expect(addressesOf(await cluster.service('third'))).toEqual(['198.51.100.65']);
    await cluster.serviceWith('elder', 'PoolExhausted');
    for (const name of ['elder', 'third', 'first']) await cluster.deleteService(name);
    await cluster.deletePool('memory');
  });
});

describe('the classes of the controller', () => {
  it('are those that its flags name, and what is not its own any more is let go', async () => {
    await controller.stop();
    controller = new ControllerProcess(kubeconfig, ['--lb-class', 'example.com/other', '--no-classless']);
    expect(addressesOf(await cluster.service('foreign'))).toHaveLength(1);
    const former = await cluster.service('web', (each) => !allocatedCondition(each));
    expect(addressesOf(former)).toEqual([]);
    // It leads no more: on the real server the next is on the same cluster.
    await controller.stop();
  });
});

describe('a controller before there is everything that it needs', () => {
  it('says which kinds to install, and serves as soon as the pools are, without advertisements', async () => {
    const bare = await startTestServer();
    const view = new Cluster(bare.api);
    const early = new ControllerProcess(await bare.accountKubeconfig('controller'));
    await view.createService('web');
    expect(
      await early.logged('this kind is not installed in the cluster yet; apply deploy/crds (waiting for it)'),
    ).toMatchObject({
      resource: expect.stringMatching(
        /^(ipaddresspools|addressreservations|addressquotas|l2advertisements|announcements|cloudaccounts)\.fairlead\.dev$/,
      ),
    });
    await view.installCrd('ipaddresspools');
    await view.createPool('lan', ['192.0.2.1']);
    expect(addressesOf(await view.service('web'))).toEqual(['192.0.2.1']);
    expect(await early.stop()).toBe(0);
    await view.close();
    await bare.close();
  });

  it('stops with status 0 though the API server takes connections and never answers', async () => {
    const silent = createServer();
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    const { port } = silent.address() as AddressInfo; // a TCP server that listens has one
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-controller-'));
    const file = join(folder, 'kubeconfig');
    const cluster = { server: `http://127.0.0.1:${port}` };
    const config = {
      clusters: [{ name: 'x', cluster }],
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    };
    writeFileSync(
      file,
      JSON.stringify({ ...config, users: [{ name: 'x', user: {} }], 'current-context': 'x' }),
    );
    const connected = once(silent, 'connection');
    const waiting = new ControllerProcess(file);
    await connected;
    await waiting.logged('serving metrics and health');
    expect(JSON.parse(await waiting.page('/healthz'))).toMatchObject({ synced: false });
    expect(await waiting.stop()).toBe(0);
    silent.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a mistake in the call of the controller', () => {
  it.each([
    [['--metrics-bind-address', 'here'], 'Write host:port'],
    [['--log-level', 'loud'], 'Write one of trace, debug, info, warn, error'],
    [['--pool', 'lan'], "unknown option '--pool'"],
    [['--kubeconfig', '/nonexistent/config'], '--kubeconfig: "/nonexistent/config" cannot be read'],
    [['here'], 'too many arguments'],
  ])('ends it with status 2 and the mend: %j', async (args, words) => {
    const { status, stderr } = await new ControllerProcess(kubeconfig, args).ended();
    expect(stderr).toContain(words);
    expect(status).toBe(2);
  });
});
