// Announcers on real links: another machine's kernel resolves what they announce, and follows when it moves.
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Announcer } from '../../src/arp/announcer.ts';
import type { InterfaceChoice } from '../../src/arp/election.ts';
import { arpMetrics } from '../../src/arp/metrics.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import type { Mac } from '../../src/net/mac.ts';
import { watchInterfaces } from '../../src/netlink/rtnetlink-watch.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { openAnsweringSocket } from '../../src/sockets/open-answering-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { inNamespace, ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';

const FOUR = ip('192.0.2.10');
const SIX = ip('fd00::12:3456');
/** Names of network namespaces, which all tests share. */
const [LAN, CLIENT, NODE_A, NODE_B] = ['arp-lan', 'arp-client', 'arp-node-a', 'arp-node-b'];
const HOSTS = [CLIENT, NODE_A, NODE_B];

/** A bridge with three hosts on it, whose interfaces are all called eth0. */
beforeAll(() => {
  ipBatch([LAN, ...HOSTS].map((name) => `netns add ${name}`));
  for (const host of HOSTS) inNamespace(host, 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad');
  inNamespace(LAN, 'ip link add br0 type bridge && ip link set br0 up');
  for (const host of HOSTS) {
    ipBatch([`link add ${host} netns ${LAN} type veth peer name eth0 netns ${host}`]);
    inNamespace(LAN, `ip link set ${host} master br0 up`);
    inNamespace(host, 'ip link set eth0 up');
  }
  inNamespace(CLIENT, 'ip addr add 192.0.2.1/24 dev eth0 && ip addr add fd00::1/64 dev eth0 nodad');
});
afterAll(() => removeNamespaces(LAN, ...HOSTS));

const conflicts: [address: Ip, mac: Mac | undefined][] = [];
const closers: (() => void)[] = [];
afterEach(() => {
  conflicts.length = 0;
  for (const close of closers.splice(0)) close();
  inNamespace(CLIENT, 'ip neigh flush dev eth0 nud all; true');
});

async function startNode(namespace: string): Promise<Announcer> {
  const networkNamespace = namespacePath(namespace);
  const announcer = new Announcer({
    open: (options) => openAnsweringSocket({ ...options, networkNamespace }),
    clock: systemClock,
    random: Math.random,
    log: createLogger({ component: namespace, level: 'silent' }),
    metrics: arpMetrics(new Registry()),
    right: { holds: () => true, until: () => Number.POSITIVE_INFINITY },
    excluded: /^$/,
    onConflict: 'withhold',
    tellConflict: (address, conflict) => void conflicts.push([address, conflict?.mac]),
    onInterfaces: () => {},
    onAnswered: () => {},
  });
  const watch = await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    networkNamespace,
    onChange: (interfaces) => announcer.setInterfaces(interfaces),
    onError: (error) => expect.unreachable(error.message),
  });
  closers.push(() => {
    watch.close();
    announcer.close();
  });
  return announcer;
}

const all = (...addresses: Ip[]) => new Map<Ip, InterfaceChoice>(addresses.map((each) => [each, 'all']));
const macOf = (namespace: string) => inNamespace(namespace, 'cat /sys/class/net/eth0/address').trim();

/** The link-layer address that the client's kernel has for the address, if any. */
function neighbour(address: Ip): string | undefined {
  const shown = JSON.parse(inNamespace(CLIENT, `ip -j neigh show to ${address} dev eth0`) || '[]');
  return shown[0]?.lladdr;
}

async function neighbourBecomes(address: Ip, mac: string): Promise<void> {
  await vi.waitFor(() => expect(neighbour(address)).toBe(mac), { interval: 10, timeout: 10_000 });
}

/** Has the client's kernel ask for the address, as for a packet to it. */
function resolve(address: Ip): void {
  inNamespace(CLIENT, `ip neigh replace ${address} dev eth0 nud none use`);
}

describe('a host on the link', () => {
  it('resolves an announced IPv4 address by ARP, and none that is not announced', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(FOUR));
    resolve(ip('192.0.2.99'));
    resolve(FOUR);
    await neighbourBecomes(FOUR, macOf(NODE_A));
    expect(neighbour(ip('192.0.2.99'))).toBe(undefined);
  });

  it('resolves an announced IPv6 address by a solicitation to its group', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(SIX));
    expect(inNamespace(NODE_A, 'ip -6 maddr show dev eth0')).toContain('ff02::1:ff12:3456');
    resolve(SIX);
    await neighbourBecomes(SIX, macOf(NODE_A));
    node.reconcile(new Map());
    expect(inNamespace(NODE_A, 'ip -6 maddr show dev eth0')).not.toContain('ff02::1:ff12:3456');
  });

  it('follows at once when an address moves to another node', async () => {
    const [a, b] = [await startNode(NODE_A), await startNode(NODE_B)];
    a.reconcile(all(FOUR, SIX));
    for (const address of [FOUR, SIX]) {
      resolve(address);
      await neighbourBecomes(address, macOf(NODE_A));
    }
    a.reconcile(new Map());
    b.reconcile(all(FOUR, SIX));
    for (const address of [FOUR, SIX]) await neighbourBecomes(address, macOf(NODE_B));
  });

  it('follows when the interface gets another MAC address', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(FOUR, SIX));
    for (const address of [FOUR, SIX]) {
      resolve(address);
      await neighbourBecomes(address, macOf(NODE_A));
    }
    inNamespace(NODE_A, 'ip link set eth0 address 02:00:00:00:0a:0a');
    for (const address of [FOUR, SIX]) await neighbourBecomes(address, '02:00:00:00:0a:0a');
  });

  it('follows when the interface becomes a port of a bridge, is one no more, and gets another name', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(FOUR, SIX));
    const own = macOf(NODE_A);
    const bridge = '02:00:00:00:0b:0b';
    const becomes = async (mac: string) => {
      for (const address of [FOUR, SIX]) await neighbourBecomes(address, mac);
    };
    for (const address of [FOUR, SIX]) resolve(address);
    await becomes(own);
    try {
      inNamespace(NODE_A, `ip link add br9 address ${bridge} type bridge && ip link set br9 up`);
      inNamespace(NODE_A, 'ip link set eth0 master br9');
      await becomes(bridge);
      expect(node.links().map(({ name }) => name)).toEqual(['br9']);
      inNamespace(NODE_A, 'ip link del br9');
      await becomes(own);
      inNamespace(NODE_A, 'ip link set eth0 down && ip link set eth0 name lan9 && ip link set lan9 up');
      await vi.waitFor(() => expect(node.interfacesOf(FOUR)).toEqual(['lan9']), { timeout: 10_000 });
      inNamespace(CLIENT, 'ip neigh flush dev eth0 nud all; true');
      for (const address of [FOUR, SIX]) resolve(address);
      await becomes(own);
    } finally {
      inNamespace(
        NODE_A,
        'ip link del br9 2>/dev/null; ip link set lan9 down && ip link set lan9 name eth0; true',
      );
      inNamespace(NODE_A, 'ip link set eth0 up');
    }
  });

  it('resolves the addresses again after the interface went down and came up', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(FOUR, SIX));
    inNamespace(NODE_A, 'ip link set eth0 down && ip link set eth0 up');
    for (const address of [FOUR, SIX]) {
      resolve(address);
      await neighbourBecomes(address, macOf(NODE_A));
    }
  });

  it('finds the address taken when it wants it for itself', async () => {
    const node = await startNode(NODE_A);
    node.reconcile(all(SIX));
    inNamespace(
      CLIENT,
      'echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad && ip addr add fd00::12:3456/64 dev eth0',
    );
    const state = () => inNamespace(CLIENT, 'ip -6 addr show dev eth0');
    await vi.waitFor(() => expect(state()).toContain('dadfailed'), { interval: 10, timeout: 10_000 });
    inNamespace(
      CLIENT,
      'ip addr del fd00::12:3456/64 dev eth0; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad',
    );
  });
});

describe('a host on the link, where the node’s interface', () => {
  const MAC = '02:00:00:00:0b:0b';

  it.each([
    [
      'is renamed',
      'ip link set eth0 down && ip link set eth0 name lan0 && ip link set lan0 up',
      'ip link set lan0 down && ip link set lan0 name eth0 && ip link set eth0 up',
      undefined,
    ],
    [
      'becomes a port of a bridge',
      `ip link add br0 address ${MAC} type bridge && ip link set eth0 master br0 && ip link set br0 up`,
      'ip link del br0',
      MAC,
    ],
  ])('%s, resolves the addresses again, and once more when that is undone', async (_, change, undo, mac) => {
    const own = macOf(NODE_B);
    const node = await startNode(NODE_B);
    node.reconcile(all(FOUR, SIX));
    const resolves = async (to: string) => {
      for (const address of [FOUR, SIX]) {
        inNamespace(CLIENT, `ip neigh flush to ${address} dev eth0`);
        resolve(address);
        await neighbourBecomes(address, to);
      }
    };
    await resolves(own);
    inNamespace(NODE_B, change);
    try {
      await resolves(mac ?? own);
    } finally {
      inNamespace(NODE_B, undo);
    }
    await resolves(own);
  });
});

describe('a node that looks for another one', () => {
  it('sees who answers for an address on its link, and knows of none elsewhere', async () => {
    inNamespace(NODE_B, 'ip addr add 192.0.2.3/24 dev eth0 && ip addr add fd00::3/64 dev eth0 nodad');
    try {
      const [a, b] = [await startNode(NODE_A), await startNode(NODE_B)];
      a.reconcile(all(FOUR, SIX));
      for (const address of [FOUR, SIX])
        await vi.waitFor(async () => expect(await b.lookUp(address)).toEqual([macOf(NODE_A)]), {
          timeout: 10_000,
        });
      expect(await b.lookUp(ip('192.0.2.77'))).toEqual([]);
      expect(await b.lookUp(ip('192.0.2.1'))).toEqual([macOf(CLIENT)]);
      expect(await b.lookUp(ip('198.51.100.1'))).toBeUndefined();
      expect(await a.lookUp(FOUR)).toBeUndefined();
    } finally {
      inNamespace(NODE_B, 'ip addr flush dev eth0 scope global');
    }
  });
});

describe('an address that another host has', () => {
  afterEach(() =>
    inNamespace(CLIENT, `ip addr del ${FOUR}/24 dev eth0; ip addr del ${SIX}/64 dev eth0; true`),
  );

  it.each([
    ['IPv4', FOUR, `ip addr add ${FOUR}/24 dev eth0`],
    ['IPv6', SIX, `ip addr add ${SIX}/64 dev eth0 nodad`],
  ])(
    'is found before its first use, and used once that host has given it up (%s)',
    async (_, address, take) => {
      inNamespace(CLIENT, take);
      const node = await startNode(NODE_A);
      node.reconcile(all(address), () => true);
      await vi.waitFor(() => expect(conflicts).toEqual([[address, macOf(CLIENT)]]), {
        interval: 10,
        timeout: 10_000,
      });
      inNamespace(CLIENT, `ip addr del ${address}/${address === FOUR ? 24 : 64} dev eth0`);
      await vi.waitFor(() => expect(conflicts.at(-1)).toEqual([address, undefined]), {
        interval: 10,
        timeout: 10_000,
      });
      resolve(address);
      await neighbourBecomes(address, macOf(NODE_A));
    },
  );
});
