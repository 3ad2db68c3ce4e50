// A proxy that is killed leaves rules that forward, and its successor, of the same version or another, goes on
// with them without a gap.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ForeignChange, watchNftables } from '../../src/netlink/nftables-watch.ts';
import { DEFAULT_RULES, TABLES, type TableName, versionChain } from '../../src/proxy/rules.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { inNamespace, namespacePath } from '../sockets/netns.ts';
import { Child } from './child.ts';
import type { Question, Reply } from './host-process.ts';
import { meaningOf, readElements } from './kernel-view.ts';
import { makeNetwork, type Network, NODE, POD } from './network.ts';
import { type Objects, service, slice } from './objects.ts';
import type { NodeText } from './proxy-process.ts';

const CLUSTER = '10.96.0.1';
const BALANCED = '198.51.100.1';
const [FIRST, SECOND] = TABLES;
const VERSION = versionChain(DEFAULT_RULES);

let network: Network;
let node: string;
const proxies: Child[] = [];

const slicesOf = (of: string): NonNullable<Objects['slices']> => ({
  [`default/${of}-1`]: slice(
    of,
    [{ address: POD.a[0] }, { address: POD.c[0], node: 'node2' }],
    [{ port: 8080 }],
  ),
});
const WEB: Objects = {
  services: {
    'default/web': service(
      'web',
      { type: 'LoadBalancer', clusterIPs: [CLUSTER], ports: [{ port: 80, nodePort: 30080 }] },
      { ingress: [{ ip: BALANCED }] },
    ),
  },
  slices: slicesOf('web'),
};
const OTHER: Objects = {
  services: { 'default/other': service('other', { clusterIPs: ['10.96.0.2'], ports: [{ port: 80 }] }) },
  slices: { 'default/other-1': slice('other', [{ address: POD.b[0] }], [{ port: 8080 }]) },
};
const both = (a: Objects, b: Objects): Objects => ({
  services: { ...a.services, ...b.services },
  slices: { ...a.slices, ...b.slices },
});

beforeAll(async () => {
  network = makeNetwork();
  node = network.namespaceOf('node');
  const { a, b, c } = network.hosts;
  for (const [name, pod] of Object.entries({ a, b, c })) await pod.call('serve', name, 'TCP', 8080);
});

beforeEach(() => inNamespace(node, 'nft flush ruleset'));

afterEach(async () => {
  await Promise.all(proxies.splice(0).map((proxy) => proxy.kill()));
});

afterAll(() => network?.remove());

async function startProxy(): Promise<Child> {
  const proxy = new Child(node, 'proxy-process.ts');
  proxies.push(proxy);
  await proxy.call('start');
  return proxy;
}

/** Requests one after the other through the load balancer's address while `work` is done: all are answered. */
async function withoutAGap(work: () => Promise<void>): Promise<void> {
  const question: Question = { transport: 'TCP', address: BALANCED, port: 80 };
  const { client } = network.hosts;
  await client.call('startAsking', question);
  await work();
  await client.call('askTimes', question, 20);
  const replies = await client.call<Reply[]>('stopAsking');
  expect(replies.filter((reply) => 'error' in reply)).toEqual([]);
  expect(replies.length).toBeGreaterThan(20);
}

const tables = () => inNamespace(node, 'nft list tables inet').trim().split('\n').sort();
const meaning = async (table: TableName = FIRST) => meaningOf(await readElements(node, table));
const ofWeb = (lines: readonly string[]) =>
  lines.filter((line) => / (10\.96\.0\.1|198\.51\.100\.1|6 30080) ?/.test(line));

describe('a successor', () => {
  it('goes on with the elements that it finds, byte for byte, and removes those of Services that ended meanwhile', async () => {
    const first = await startProxy();
    await first.call('set', both(OTHER, WEB));
    const before = await readElements(node);
    await withoutAGap(async () => {
      await first.kill();
      const second = await startProxy();
      expect(await readElements(node)).toEqual(before);
      await second.call('set', both(WEB, OTHER));
      expect(await readElements(node)).toEqual(before);
      await second.kill();
      const third = await startProxy();
      await third.call('set', WEB);
    });
    const expected = meaningOf(before).filter((line) => !/10\.96\.0\.2|10\.244\.1\.3/.test(line));
    expect(await meaning()).toEqual(expected);
    expect(tables()).toEqual([`table inet ${FIRST}`]);
  });

  it('gives an address that went from one Service to another meanwhile the other’s endpoints', async () => {
    const first = await startProxy();
    await first.call('set', both(OTHER, WEB));
    await first.kill();
    const second = await startProxy();
    const swapped: Objects = {
      services: {
        'default/other': service('other', { clusterIPs: [CLUSTER], ports: [{ port: 80 }] }),
        'default/web': service('web', { clusterIPs: ['10.96.0.2'], ports: [{ port: 80 }] }),
      },
      slices: both(WEB, OTHER).slices ?? {},
    };
    await second.call('set', swapped);
    expect(await meaning()).toEqual([
      'IPv4 cluster 10.96.0.1',
      'IPv4 cluster 10.96.0.2',
      'IPv4 frontends 10.96.0.1 6 80 -> 10.244.1.3 8080',
      'IPv4 frontends 10.96.0.2 6 80 -> 10.244.1.2 8080, 10.244.2.2 8080',
      'IPv4 hairpins 10.244.1.2 10.244.1.2',
      'IPv4 hairpins 10.244.1.3 10.244.1.3',
    ]);
  });

  it('of another version replaces the table in one step when its own is complete, and so does the next', async () => {
    const first = await startProxy();
    await first.call('set', WEB);
    const before = await meaning();
    for (const [old, new_] of [
      [FIRST, SECOND],
      [SECOND, FIRST],
    ] as const) {
      inNamespace(node, `nft rename chain inet ${old} ${VERSION} version-0`);
      await withoutAGap(async () => {
        await proxies.at(-1)?.kill();
        const next = await startProxy();
        expect(tables()).toEqual(TABLES.map((name) => `table inet ${name}`));
        await network.hosts.client.call('askTimes', { transport: 'TCP', address: BALANCED, port: 80 }, 5);
        await next.call('set', both(WEB, OTHER));
        expect(tables()).toEqual([`table inet ${new_}`]);
      });
      expect(ofWeb(await meaning(new_))).toEqual(ofWeb(before));
    }
  });

  it('of another version that dies before it is complete leaves its predecessor’s table in force', async () => {
    const first = await startProxy();
    await first.call('set', WEB);
    inNamespace(node, `nft rename chain inet ${FIRST} ${VERSION} version-0`);
    await withoutAGap(async () => {
      await first.kill();
      const second = await startProxy();
      await second.kill();
      const third = await startProxy();
      await third.kill();
      const fourth = await startProxy();
      await fourth.call('set', WEB);
    });
    expect(tables()).toEqual([`table inet ${SECOND}`]);
  });

  it('removes what a successor of another version left unfinished', async () => {
    const first = await startProxy();
    await first.call('set', WEB);
    inNamespace(node, `nft rename chain inet ${FIRST} ${VERSION} version-0`);
    await (await startProxy()).kill();
    inNamespace(node, `nft rename chain inet ${FIRST} version-0 ${VERSION}`);
    await withoutAGap(async () => void (await startProxy()));
    expect(tables()).toEqual([`table inet ${FIRST}`]);
  });
});

describe('a successor of the same version', () => {
  /** Everything that a Service may have in the kernel. */
  const FULL: Objects = {
    services: {
      'default/full': service(
        'full',
        {
          type: 'LoadBalancer',
          clusterIPs: [CLUSTER],
          ports: [{ port: 80, nodePort: 30080 }],
          externalTrafficPolicy: 'Local',
          loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.0/24'],
          sessionAffinity: 'ClientIP',
        },
        { ingress: [{ ip: BALANCED }], annotations: { 'fairlead.dev/load-balancing': 'round-robin' } },
      ),
    },
    slices: slicesOf('full'),
  };
  const NODE_TEXT: NodeText = {
    addresses: NODE,
    podCidrs: ['10.244.0.0/16', 'fd00:244::/32'],
    serviceCidrs: ['10.96.0.0/16', 'fd00:96::/112'],
  };
  const next = async (): Promise<Child> => {
    await proxies.at(-1)?.kill();
    const proxy = new Child(node, 'proxy-process.ts');
    proxies.push(proxy);
    await proxy.call('start', NODE_TEXT);
    return proxy;
  };
  const inForce = async (): Promise<string[]> => {
    const table = tables()[0]?.replace('table inet ', '') as TableName; // there is one, and it is ours
    const ranges = ['pods', 'inside', 'allocated-from'].flatMap((set) =>
      [4, 6].map((digit) => inNamespace(node, `nft list set inet ${table} ${set}${digit}`)),
    );
    const texts = [inNamespace(node, 'nft -t list ruleset'), ...ranges];
    return [...texts.map((text) => text.replaceAll(SECOND, FIRST)), ...(await meaning(table))];
  };

  it('that finds what it wants changes nothing in the kernel', async () => {
    await (await next()).call('set', FULL);
    const heard: ForeignChange[] = [];
    const watch = watchNftables({
      open: (options) => openNetlinkSocket({ ...options, networkNamespace: namespacePath(node) }),
      tables: TABLES,
      isOwn: () => false,
      isAskedFor: () => false,
      onChange: (change) => heard.push(change),
      onError: (error) => expect.unreachable(error.message),
    });
    const second = await next();
    await second.call('set', FULL);
    expect(await second.call('foreignChanges')).toBe(0);
    // This one is heard, and so would those before it.
    inNamespace(node, `nft add chain inet ${FIRST} other`);
    await expect.poll(() => heard, { timeout: 15_000 }).toEqual(['anything']);
    watch.close();
  });

  it.each([
    'add element inet fairlead cluster4 { 10.96.0.99 }; delete element inet fairlead cluster4 { 10.96.0.1 }',
    'flush set inet fairlead pods4',
    'add element inet fairlead inside6 { fd00:99::/64 }',
    'insert rule inet fairlead services counter accept',
    'flush chain inet fairlead sticky4-tcp-1-turn-e00001',
    'add table inet fairlead { flags dormant; }',
  ])('undoes "nft %s", which was done while none ran', async (damage) => {
    await (await next()).call('set', FULL);
    const before = await inForce();
    await proxies.at(-1)?.kill();
    const turns = /sticky4-tcp-1-turn-\w+/.exec(inNamespace(node, 'nft -t list ruleset'))?.[0] ?? '';
    inNamespace(node, `nft '${damage.replace('sticky4-tcp-1-turn-e00001', turns)}'`);
    expect(await inForce()).not.toEqual(before);
    const second = await next();
    await second.call('set', FULL);
    expect(await inForce()).toEqual(before);
    await second.call('set', both(FULL, OTHER));
    expect(
      await network.hosts.client.call('ask', { transport: 'TCP', address: BALANCED, port: 80 }),
    ).toMatchObject({ name: 'a' });
  });
});

describe('the first proxy of a node', () => {
  it('lets everything pass until it knows all Services', async () => {
    const proxy = await startProxy();
    const question: Question = { transport: 'TCP', address: POD.b[0], port: 8080 };
    expect(await network.hosts.a.call('ask', question)).toMatchObject({ name: 'b' });
    expect(inNamespace(node, `nft -t list table inet ${FIRST}`)).toContain('flags dormant');
    await proxy.call('set', WEB);
    expect(inNamespace(node, `nft -t list table inet ${FIRST}`)).not.toContain('flags dormant');
  });

  it('leaves the tables of others as they are', async () => {
    inNamespace(node, "nft 'table inet other { set x { type ipv4_addr; elements = { 10.0.0.1 } }; }'");
    const before = inNamespace(node, 'nft list table inet other');
    await (await startProxy()).call('set', WEB);
    expect(inNamespace(node, 'nft list table inet other')).toBe(before);
  });

  it('switches forwarding on where it was off, for the families of its Services', async () => {
    const [ipv4, ipv6] = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'];
    inNamespace(node, `echo 0 > ${ipv4}; echo 0 > ${ipv6}`);
    await (await startProxy()).call('set', WEB);
    expect(inNamespace(node, `cat ${ipv4} ${ipv6}`)).toBe('1\n0\n');
  });

  it('says what to install where there is no nft', async () => {
    const proxy = new Child(node, 'proxy-process.ts', { PATH: '' });
    proxies.push(proxy);
    await expect(proxy.call('start')).rejects.toThrow('install the package nftables');
  });
});
