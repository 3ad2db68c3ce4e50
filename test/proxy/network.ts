// A small cluster of network namespaces: a LAN with a client and two nodes, and pods behind the nodes.
//
//   client 192.0.2.10 ──┐
//   node   192.0.2.1  ──┼─ lan     pods a 10.244.1.2, b 10.244.1.3 behind node; c 10.244.2.2 behind node2
//   node2  192.0.2.2  ──┘
//
// IPv6 alike: 2001:db8:1::10, ::1, ::2; pods fd00:244:1::2, ::3, fd00:244:2::2. The client sends what is for cluster
// addresses (10.96.0.0/16, fd00:96::/64), load balancers' and external ones (198.51.100.0/24, 2001:db8:5::/64) to
// the node; it knows no way to the pods, and their answers to it go past the node where nothing masquerades.
import { execFileSync } from 'node:child_process';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { Child } from './child.ts';

const LAN = { client: 10, node: 1, node2: 2 } as const;
const PODS = { a: ['node', 1, 2], b: ['node', 1, 3], c: ['node2', 2, 2] } as const;
type Host = keyof typeof LAN | keyof typeof PODS;
const HOSTS: readonly Host[] = ['client', 'node', 'node2', 'a', 'b', 'c'];

export const POD = {
  a: ['10.244.1.2', 'fd00:244:1::2'],
  b: ['10.244.1.3', 'fd00:244:1::3'],
  c: ['10.244.2.2', 'fd00:244:2::2'],
} as const;
export const NODE = ['192.0.2.1', '2001:db8:1::1'] as const;
export const CLIENT = ['192.0.2.10', '2001:db8:1::10'] as const;

export interface Network {
  /** Name of a host's network namespace. */
  namespaceOf(host: Host): string;
  /** A process on each host but node2, that asks and serves. */
  readonly hosts: Readonly<Record<Exclude<Host, 'node2'>, Child>>;
  remove(): Promise<void>;
}

export function makeNetwork(): Network {
  const name = (host: Host | 'lan') => `${host}-${process.pid}`;
  ipBatch([...HOSTS, 'lan' as const].map((host) => `netns add ${name(host)}`));
  // Addresses are ready at once, and each refusal is said: not some of them a second, to one or to all.
  const settings = ['ipv6/conf/default/accept_dad', 'ipv4/icmp_ratemask', 'ipv6/icmp/ratemask'];
  for (const host of HOSTS)
    inNamespace(name(host), `for s in ${settings.join(' ')}; do echo 0 > /proc/sys/net/$s; done`);
  inside(name('lan'), ['link add lan type bridge', 'link set lan up']);
  for (const [host, number] of Object.entries(LAN) as [keyof typeof LAN, number][]) {
    inside(name('lan'), [
      `link add ${host} type veth peer name eth0 netns ${name(host)}`,
      `link set ${host} master lan up`,
    ]);
    inside(name(host), [
      'link set lo up',
      'link set eth0 up',
      `addr add 192.0.2.${number}/24 dev eth0`,
      `addr add 2001:db8:1::${number}/64 dev eth0`,
    ]);
  }
  for (const node of ['node', 'node2'] as const)
    inNamespace(name(node), 'cd /proc/sys/net; echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding');
  for (const [pod, [node, net, number]] of Object.entries(PODS) as [
    keyof typeof PODS,
    (typeof PODS)['a'],
  ][]) {
    inside(name(node), [
      `link add pod-${pod} address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns ${name(pod)}`,
      `link set pod-${pod} up`,
      `route add 10.244.${net}.${number} dev pod-${pod}`,
      `route add fd00:244:${net}::${number} dev pod-${pod}`,
    ]);
    inside(name(pod), [
      'link set lo up',
      'link set eth0 up',
      `addr add 10.244.${net}.${number}/32 dev eth0`,
      `addr add fd00:244:${net}::${number}/128 dev eth0`,
      'neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
      'neigh add fe80::1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent',
      'route add 169.254.1.1 dev eth0',
      'route add default via 169.254.1.1',
      'route add default via fe80::1 dev eth0',
    ]);
  }
  inside(name('node'), [
    'route add 10.244.2.0/24 via 192.0.2.2',
    'route add fd00:244:2::/64 via 2001:db8:1::2',
  ]);
  inside(name('node2'), [
    'route add 10.244.1.0/24 via 192.0.2.1',
    'route add fd00:244:1::/64 via 2001:db8:1::1',
  ]);
  // Some network plugins give the node an address on each pod's interface.
  inside(name('node'), ['addr add 169.254.1.1/32 dev pod-b scope link']);
  // A node sends what is for no address that it knows to its router; here that leads to nobody.
  for (const host of ['client', 'node', 'node2'] as const) {
    const gateway = host === 'client' ? 1 : 99;
    inside(name(host), [
      `route add default via 192.0.2.${gateway}`,
      `route add default via 2001:db8:1::${gateway}`,
    ]);
  }
  inside(name('client'), ['route add unreachable 10.244.0.0/16', 'route add unreachable fd00:244::/32']);
  const host = (each: Host) => new Child(name(each), 'host-process.ts');
  const hosts = { client: host('client'), node: host('node'), a: host('a'), b: host('b'), c: host('c') };
  return {
    namespaceOf: name,
    hosts,
    async remove() {
      await Promise.all(Object.values(hosts).map((each) => each.kill()));
      removeNamespaces(...HOSTS.map(name), name('lan'));
    },
  };
}

function inside(namespace: string, lines: readonly string[]): void {
  execFileSync('ip', ['-n', namespace, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
}
