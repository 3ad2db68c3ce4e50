// The elements in the real kernel as a function of the objects, whatever happened before.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { ip, toBytes } from '../../src/net/address.ts';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { Child } from './child.ts';
import { meaningOf, readElements } from './kernel-view.ts';
import { type Objects, service, slice } from './objects.ts';

const NAMESPACES = [`history-${process.pid}`, `fresh-${process.pid}`] as const;
const [HISTORY, FRESH] = NAMESPACES;
let history: Child;
let fresh: Child;

beforeAll(async () => {
  ipBatch(NAMESPACES.map((name) => `netns add ${name}`));
  history = new Child(HISTORY, 'proxy-process.ts');
  fresh = new Child(FRESH, 'proxy-process.ts');
  for (const proxy of [history, fresh]) {
    await proxy.call('start', { zone: 'here' });
    await proxy.call('set', {});
  }
});

beforeEach(() => history.call('set', NOTHING));

afterAll(async () => {
  await Promise.all([history?.kill(), fresh?.kill()]);
  removeNamespaces(...NAMESPACES);
});

const NAMES = ['a', 'b', 'c', 'd'];
const SLICES = NAMES.flatMap((name) => [`${name}-1`, `${name}-2`]);
const CLUSTER = ['10.96.0.1', '10.96.0.2', 'fd00:96::1', 'fd00:96::2'];
const OUTSIDE = ['198.51.100.1', '198.51.100.2', '2001:db8:5::1'];
const PORTS = [
  { name: 'web', protocol: 'TCP', port: 80 },
  { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053 },
  { name: 'tls', protocol: 'SCTP', port: 443, nodePort: 30443 },
] as const;
const PODS = ['10.244.0.1', '10.244.0.2', '10.244.1.1', 'fd00:244::1', 'fd00:244::2'];

const METHOD = 'fairlead.dev/load-balancing';
const BALANCED: Readonly<Record<string, Record<string, string>>> = {
  'round-robin': { [METHOD]: 'round-robin' },
  weighted: { [METHOD]: 'weighted', 'fairlead.dev/endpoint-weights': 'node/node2=2,10.244.0.1=3' },
  'source-hash': { [METHOD]: 'source-hash' },
};

const someService = fc
  .record({
    type: fc.constantFrom(
      'ClusterIP',
      'NodePort',
      'LoadBalancer',
      'LoadBalancer',
      'LoadBalancer',
      'ExternalName',
    ),
    clusterIPs: fc.oneof(
      { weight: 8, arbitrary: fc.subarray(CLUSTER, { minLength: 1, maxLength: 2 }) },
      { weight: 1, arbitrary: fc.constant(['None']) },
    ),
    externalIPs: fc.subarray(OUTSIDE),
    ports: fc.subarray([...PORTS], { minLength: 1 }),
    ingress: fc.subarray(OUTSIDE),
    ipMode: fc.constantFrom('VIP', 'Proxy'),
    pooled: fc.boolean(),
    balancing: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom('none', 'round-robin', 'weighted') },
      { weight: 1, arbitrary: fc.constant('source-hash') },
    ),
    elsewhere: fc.nat({ max: 9 }).map((n) => n === 0),
    internalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    sessionAffinity: fc.constantFrom('None', 'ClientIP'),
    sessionAffinityConfig: fc.constantFrom(undefined, { clientIP: { timeoutSeconds: 300 } }),
    loadBalancerSourceRanges: fc.subarray([
      '192.0.2.0/24',
      '192.0.2.7/32',
      '10.0.0.0/8',
      '10.1.0.0/16',
      '2001:db8::/32',
    ]),
  })
  .map(
    ({ ingress, ipMode, pooled, elsewhere, balancing, ...spec }) =>
      (name: string) =>
        service(name, spec as ServiceObject['spec'], {
          ingress: ingress.map((address) => ({ ip: address, ipMode })),
          pooled,
          annotations: BALANCED[balancing] ?? {},
          labels: elsewhere ? { 'service.kubernetes.io/service-proxy-name': 'other' } : {},
        }),
  );

const someSlice = fc
  .record({
    of: fc.constantFrom(...NAMES),
    family: fc.constantFrom('.', ':'),
    endpoints: fc.array(
      fc.record({
        address: fc.constantFrom(...PODS),
        node: fc.constantFrom('node', 'node2'),
        ready: fc.boolean(),
        serving: fc.boolean(),
        terminating: fc.boolean(),
        forZones: fc.constantFrom([], ['here'], ['there']),
      }),
      { minLength: 2, maxLength: 6 },
    ),
    ports: fc.subarray(
      [
        { name: 'web', port: 8080, protocol: 'TCP' as const },
        { name: 'dns', port: 5353, protocol: 'UDP' as const },
        { name: 'tls', port: 8443, protocol: 'SCTP' as const },
      ],
      { minLength: 1 },
    ),
  })
  .map(({ of, family, endpoints, ports }) =>
    slice(
      of,
      endpoints.filter(({ address }) => address.includes(family)),
      ports,
    ),
  );

const change = fc.oneof(
  fc
    .tuple(fc.constantFrom(...NAMES), fc.option(someService, { freq: 6 }))
    .map(([name, some]): Objects => ({ services: { [`default/${name}`]: some?.(name) ?? null } })),
  fc
    .tuple(fc.constantFrom(...SLICES), fc.option(someSlice, { freq: 6 }))
    .map(([name, some]): Objects => ({ slices: { [`default/${name}`]: some } })),
);
/** Changes that come together, and an address whose elements the kernel refuses meanwhile. */
const step = fc.record({
  changes: fc.array(change, { minLength: 3, maxLength: 8 }),
  refused: fc.option(fc.constantFrom(...CLUSTER, ...OUTSIDE, ...PODS), { freq: 4 }),
});

const merge = (all: readonly Objects[]): Objects => ({
  services: Object.assign({}, ...all.map(({ services }) => services ?? {})),
  slices: Object.assign({}, ...all.map(({ slices }) => slices ?? {})),
});
const NOTHING: Objects = {
  services: Object.fromEntries(NAMES.map((name) => [`default/${name}`, null])),
  slices: Object.fromEntries(SLICES.map((name) => [`default/${name}`, null])),
};

/** Whether two Services restrict one address: the list of the second waits, whole, for the first to go. */
function haveRivals({ services = {} }: Objects): boolean {
  const restricted = Object.values(services)
    .filter((each) => each?.spec?.loadBalancerSourceRanges?.length)
    .flatMap((each) => each?.status?.loadBalancer?.ingress?.map((ingress) => ingress.ip) ?? []);
  return new Set(restricted).size < restricted.length;
}

async function kernelOf(namespace: string): Promise<string[]> {
  return meaningOf(await readElements(namespace));
}

describe('the kernel’s elements', () => {
  it('are what the objects say, whatever they said before and whatever the kernel refused then', async () => {
    const seen = { lines: 0, setAside: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
        for (const proxy of [history, fresh]) await proxy.call('set', NOTHING);
        expect([...(await kernelOf(HISTORY)), ...(await kernelOf(FRESH))]).toEqual([]);
        for (const { changes, refused } of steps) {
          await history.call('poison', refused === null ? [] : [...toBytes(ip(refused))]);
          await history.call('set', merge(changes));
          const [count = 0] = await history.call<number[]>('metric', 'fairlead_proxy_services_set_aside');
          seen.setAside += count;
        }
        await history.call('poison', []);
        // Those that were set aside are tried again with the next change.
        const end = merge(steps.flatMap(({ changes }) => changes));
        await history.call('set', { slices: { 'default/a-1': end.slices?.['default/a-1'] ?? null } });
        await fresh.call('set', end);
        const lines = await kernelOf(HISTORY);
        seen.lines += lines.length;
        expect(lines).toEqual(await kernelOf(FRESH));
        const useless = haveRivals(end) ? /lost (?!list)|nobody/ : /lost|nobody/;
        expect(lines.filter((line) => useless.test(line))).toEqual([]);
        expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
      }),
      { numRuns: 25 },
    );
    expect(seen.lines).toBeGreaterThan(60);
    expect(seen.setAside).toBeGreaterThan(2);
  }, 60_000);

  it('of one Service that the kernel refuses do not hold back those of others, and come when it accepts them', async () => {
    const simple = (name: string, clusterIP: string) =>
      service(name, { clusterIPs: [clusterIP], ports: [{ port: 80 }] });
    const names = Array.from({ length: 50 }, (_, i) => [`web-${i}`, `10.96.1.${i}`] as const);
    const services = Object.fromEntries(
      names.map(([name, address]) => [`default/${name}`, simple(name, address)]),
    );
    await history.call('poison', [10, 96, 1, 7]);
    await history.call('set', { services });
    const addresses = names.map(([, address]) => `IPv4 cluster ${address}`).sort();
    expect(await kernelOf(HISTORY)).toEqual(addresses.filter((line) => !line.endsWith(' 10.96.1.7')));
    expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([1]);
    const [failures = 0] = await history.call<number[]>('metric', 'fairlead_proxy_sync_failures_total');
    expect(failures).toBeGreaterThan(0);
    // While it is set aside, others' changes are not sent twice.
    await history.call('set', { services: { 'default/more': simple('more', '10.96.2.1') } });
    expect(await history.call('metric', 'fairlead_proxy_sync_failures_total')).toEqual([failures]);
    await history.call('poison', []);
    await history.call('set', { services: { 'default/more': null } });
    expect(await kernelOf(HISTORY)).toEqual(addresses);
    expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
    await history.call('set', {
      services: Object.fromEntries(Object.keys(services).map((key) => [key, null])),
    });
    expect(await kernelOf(HISTORY)).toEqual([]);
  });

  it('that somebody else changed are put right by the change that meets them', async () => {
    const objects = (pod: string): Objects => ({
      services: { 'default/a': service('a', { clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] }) },
      slices: { 'default/a-1': slice('a', [{ address: pod }], [{ port: 8080 }]) },
    });
    await history.call('set', objects('10.244.0.1'));
    inNamespace(HISTORY, 'nft flush map inet fairlead tcp-endpoints4');
    await history.call('set', objects('10.244.0.2'));
    const expected = [
      'IPv4 cluster 10.96.0.1',
      'IPv4 frontends 10.96.0.1 6 80 -> 10.244.0.2 8080',
      'IPv4 hairpins 10.244.0.2 10.244.0.2',
    ];
    expect(await kernelOf(HISTORY)).toEqual(expected);
    expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
  });

  it('that somebody removed together with the rules are all put back by the next change', async () => {
    const web = (name: string, clusterIP: string): Objects => ({
      services: { [`default/${name}`]: service(name, { clusterIPs: [clusterIP], ports: [{ port: 80 }] }) },
      slices: { [`default/${name}-1`]: slice(name, [{ address: '10.244.0.1' }], [{ port: 8080 }]) },
    });
    await history.call('set', merge([web('a', '10.96.0.1'), web('b', '10.96.0.2')]));
    const before = await kernelOf(HISTORY);
    inNamespace(HISTORY, 'nft flush ruleset');
    await history.call('set', web('c', '10.96.0.3'));
    await history.call('set', { services: { 'default/c': null }, slices: { 'default/c-1': null } });
    expect(await kernelOf(HISTORY)).toEqual(before);
    expect(inNamespace(HISTORY, 'nft -t list table inet fairlead')).not.toContain('flags dormant');
  });

  it('are sent again after a fault of the socket, and nothing is forgotten', async () => {
    const objects = (pod: string): Objects => ({
      services: { 'default/a': service('a', { clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] }) },
      slices: { 'default/a-1': slice('a', [{ address: pod, node: 'node2' }], [{ port: 8080 }]) },
    });
    await history.call('set', objects('10.244.0.1'));
    await history.call('breakSends', 1);
    await expect(history.call('set', objects('10.244.0.2'))).rejects.toThrow('Message too long');
    await history.call('set', {});
    expect(await kernelOf(HISTORY)).toEqual([
      'IPv4 cluster 10.96.0.1',
      'IPv4 frontends 10.96.0.1 6 80 -> 10.244.0.2 8080',
    ]);
    await history.call('breakSends', 1);
    await expect(history.call('set', NOTHING)).rejects.toThrow('Message too long');
    await history.call('set', objects('10.244.0.3'));
    await history.call('set', NOTHING);
    expect(await kernelOf(HISTORY)).toEqual([]);
  });

  it('of the node that change while others of it are on their way are not forgotten', async () => {
    await history.call('nodeMeanwhile', { addresses: ['192.0.2.2'] });
    await history.call('node', { addresses: ['192.0.2.1'] });
    expect(await kernelOf(HISTORY)).toEqual(['IPv4 nodes 192.0.2.1']);
    await history.call('set', {});
    expect(await kernelOf(HISTORY)).toEqual(['IPv4 nodes 192.0.2.2']);
    await history.call('node', {});
    expect(await kernelOf(HISTORY)).toEqual([]);
  });

  it('are as many as a Service has endpoints, with one more chain for a number that never was', async () => {
    const endpoints = Array.from({ length: 1_000 }, (_, i) => ({
      address: `10.244.${i >> 8}.${i & 255}`,
      node: 'node2',
    }));
    const chains = () =>
      inNamespace(HISTORY, 'nft -t list table inet fairlead').match(/chain pick4-tcp-\d+/g) ?? [];
    const before = chains();
    await history.call('set', {
      services: { 'default/a': service('a', { clusterIPs: ['10.96.0.1'], ports: [{ port: 80 }] }) },
      slices: { 'default/a-1': slice('a', endpoints, [{ port: 8080 }]) },
    });
    expect(chains()).toEqual([...before, 'chain pick4-tcp-1000']);
    const [, frontend] = await kernelOf(HISTORY);
    expect(new Set(frontend?.split('-> ')[1]?.split(', '))).toEqual(
      new Set(endpoints.map(({ address }) => `${address} 8080`)),
    );
    expect(inNamespace(HISTORY, 'nft list chain inet fairlead pick4-tcp-1000')).toContain(
      'numgen random mod 1000',
    );
  });

  it('of a Service whose chain cannot be made do not hold back those of others', async () => {
    const web = (name: string, clusterIP: string, endpoints: number): Objects => ({
      services: { [`default/${name}`]: service(name, { clusterIPs: [clusterIP], ports: [{ port: 80 }] }) },
      slices: {
        [`default/${name}-1`]: slice(
          name,
          Array.from({ length: endpoints }, (_, i) => ({ address: `10.244.0.${i}`, node: 'node2' })),
          [{ port: 8080 }],
        ),
      },
    });
    await history.call('hideCommands', true);
    await history.call('set', merge([web('a', '10.96.0.1', 50), web('b', '10.96.0.2', 1)]));
    const of = (lines: readonly string[]) => lines.map((line) => line.split(' ')[2]);
    expect(of(await kernelOf(HISTORY))).toEqual(['10.96.0.2', '10.96.0.2']);
    expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([1]);
    await history.call('hideCommands', false);
    await history.call('set', web('b', '10.96.0.3', 1));
    expect(of(await kernelOf(HISTORY))).toEqual(['10.96.0.1', '10.96.0.3', '10.96.0.1', '10.96.0.3']);
    expect(await history.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
  });

  it('include those for SCTP, in a map of their own', async () => {
    const ports = [{ protocol: 'SCTP', port: 36412 }] as const;
    await history.call('set', {
      services: { 'default/a': service('a', { clusterIPs: ['10.96.0.1', 'fd00:96::1'], ports }) },
      slices: {
        'default/a-1': slice('a', [{ address: '10.244.0.1' }], [{ port: 36412, protocol: 'SCTP' }]),
        'default/a-2': slice('a', [{ address: 'fd00:244::1' }], [{ port: 36412, protocol: 'SCTP' }]),
      },
    } satisfies Objects);
    const list = (map: string) => inNamespace(HISTORY, `nft list map inet fairlead ${map}`);
    expect(list('frontends4')).toMatch(/10\.96\.0\.1 \. sctp \. 36412 : 0xfa/);
    expect(list('frontends6')).toMatch(/fd00:96::1 \. sctp \. 36412 : 0xfa/);
    expect(list('sctp-endpoints6')).toMatch(/: fd00:244::1 \. 36412/);
  });
});

describe('10,000 Services', () => {
  it('come, change and go whole, through the buffers of a user namespace', async () => {
    const SERVICES = 10_000;
    const names = Array.from({ length: SERVICES }, (_, i) => `web-${i}`);
    const host = (i: number) => `${i >> 8}.${i & 255}`;
    const slices = (net: number) =>
      Object.fromEntries(
        names.map((name, i) => [
          `default/${name}-1`,
          slice(
            name,
            [{ address: `10.244.${host(i)}` }, { address: `10.${net}.${host(i)}` }],
            [{ port: 8080 }],
          ),
        ]),
      );
    const services = Object.fromEntries(
      names.map((name, i) => [
        `default/${name}`,
        service(name, { clusterIPs: [`10.96.${host(i)}`], ports: [{ port: 80 }] }),
      ]),
    );
    const frontends = (lines: readonly string[], net: number) =>
      lines.filter(
        (line) => / frontends .* -> 10\.244\.\S+ 8080, /.test(line) && line.includes(`, 10.${net}.`),
      );
    await history.call('set', { services, slices: slices(245) });
    expect(frontends(await kernelOf(HISTORY), 245)).toHaveLength(SERVICES);
    await history.call('set', { slices: slices(246) });
    const lines = await kernelOf(HISTORY);
    expect(frontends(lines, 246)).toHaveLength(SERVICES);
    expect(frontends(lines, 245)).toHaveLength(0);
    const gone = (objects: object) => Object.fromEntries(Object.keys(objects).map((key) => [key, null]));
    await history.call('set', { services: gone(services), slices: gone(slices(246)) });
    expect(await kernelOf(HISTORY)).toEqual([]);
  }, 60_000);
});

describe('the ruleset', () => {
  const count = (ruleset: string, what: RegExp) => ruleset.match(what)?.length ?? 0;
  const listing = () =>
    execFileSync('ip', ['netns', 'exec', HISTORY, 'nft', 'list', 'ruleset'], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
  /** Handles are given to rules alone here: what the kernel numbers by itself. */
  const rules = () =>
    count(
      inNamespace(HISTORY, 'nft -a -t list table inet fairlead'),
      /^\t\t(?!type |elements|typeof).*# handle/gm,
    );

  it('is printed whole by nft, and has as many rules for 500 Services as for one', async () => {
    const many = (services: number): Objects => {
      const names = Array.from({ length: services }, (_, i) => `web-${i}`);
      return {
        services: Object.fromEntries(
          names.map((name, i) => [
            `default/${name}`,
            service(
              name,
              {
                type: 'LoadBalancer',
                clusterIPs: [`10.96.${i >> 8}.${i & 255}`],
                ports: [{ port: 80, nodePort: 30000 + i }],
              },
              { ingress: [{ ip: `198.51.${100 + (i >> 8)}.${i & 255}` }] },
            ),
          ]),
        ),
        slices: Object.fromEntries(
          names.map((name, i) => [
            `default/${name}-1`,
            slice(
              name,
              [{ address: `10.244.${i >> 8}.${i & 255}` }, { address: `10.245.${i >> 8}.${i & 255}` }],
              [{ port: 8080 }],
            ),
          ]),
        ),
      };
    };
    await history.call('set', many(1));
    const one = rules();
    expect(one).toBeGreaterThan(40);
    await history.call('set', many(500));
    expect(rules()).toBe(one);
    const ruleset = listing();
    expect(count(ruleset, /^table inet fairlead /gm)).toBe(1);
    expect(count(ruleset, /198\.51\.\d+\.\d+ \. tcp \. 80 : 0xfa/g)).toBe(500);
    expect(count(ruleset, /10\.96\.\d+\.\d+ \. tcp \. 80 : 0xfa/g)).toBe(500);
    expect(count(ruleset, /tcp \. 30\d\d\d : 0xfa/g)).toBe(500);
    expect(count(ruleset, /: goto pick4-tcp-2\b/g)).toBe(500);
    expect(count(ruleset, / : 10\.24[45]\.\d+\.\d+ \. 8080/g)).toBe(1000);
    const keys = Object.keys(many(500).services ?? {});
    await history.call('set', {
      services: Object.fromEntries(keys.map((key) => [key, null])),
      slices: Object.fromEntries(keys.map((key) => [`${key}-1`, null])),
    });
    expect(await kernelOf(HISTORY)).toEqual([]);
  });
});
