// The lab's network: a bridge as the LAN, hosts on it, and pods that are routed behind the nodes.
import { execFileSync } from 'node:child_process';
import type { Mac } from '../net/mac.ts';
import { LAN_PREFIX_LENGTHS, type LabHost, type LabPlan } from './plan.ts';

const BRIDGE = 'lan';
const HOST_INTERFACE = 'eth0';
/** The pods' way out: found at the node's end of the cable; of link scope, so that nothing is masqueraded as it. */
const POD_GATEWAYS = ['169.254.1.1', 'fe80::1'] as const;

/** Name of the client's and the nodes' interface on the LAN. */
export const LAN_INTERFACE = HOST_INTERFACE;

export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

/** Builds everything in a network namespace that `prepareNamespace` has made ready. Throws with `ip`'s own words. */
export function buildNetwork(plan: LabPlan): void {
  const { operator, nodes } = plan;
  const hosts = hostsOf(plan);
  const all = [...hosts, ...nodes.flatMap(({ pods }) => pods)];
  batch(
    undefined,
    all.map(({ name }) => `netns add ${name}`),
  );
  trustAddresses(all.map(({ name }) => name));
  batch(undefined, [
    `link add ${BRIDGE} type bridge`,
    ...addressLines(BRIDGE, operator),
    `link set ${BRIDGE} up`,
    ...hosts.flatMap(({ name }) => [
      `link add ${name} type veth peer name ${HOST_INTERFACE} netns ${name}`,
      `link set ${name} master ${BRIDGE} up`,
    ]),
  ]);
  for (const host of hosts) {
    batch(host.name, [
      'link set lo up',
      ...addressLines(HOST_INTERFACE, host),
      `link set ${HOST_INTERFACE} up`,
      // The operator's host stands where the router would be: packets to nowhere end there.
      ...operator.addresses.map((address) => `route add default via ${address}`),
    ]);
  }
  for (const node of nodes) {
    const others = nodes.filter((other) => other !== node);
    batch(node.name, [
      ...node.pods.flatMap(({ name, addresses }) => [
        `link add veth-${name} type veth peer name ${HOST_INTERFACE} netns ${name}`,
        `address add ${POD_GATEWAYS[0]}/32 dev veth-${name} scope link`,
        `address add ${POD_GATEWAYS[1]}/64 dev veth-${name}`,
        `link set veth-${name} up`,
        ...addresses.map((address) => `route add ${address} dev veth-${name}`),
      ]),
      ...others.flatMap((other) =>
        other.pods.flatMap(({ addresses }) =>
          addresses.map((address, family) => `route add ${address} via ${other.addresses[family]}`),
        ),
      ),
    ]);
    for (const { name, addresses } of node.pods) {
      batch(name, [
        'link set lo up',
        ...addresses.map(
          (address) => `address add ${address}/${address.includes(':') ? 128 : 32} dev ${HOST_INTERFACE}`,
        ),
        `link set ${HOST_INTERFACE} up`,
        ...POD_GATEWAYS.map((gateway) => `route add default via ${gateway} dev ${HOST_INTERFACE} onlink`),
      ]);
    }
  }
}

/** For another network in the same place; what runs in this one must have ended. */
export function removeNetwork(plan: LabPlan): void {
  const hosts = [...hostsOf(plan), ...plan.nodes.flatMap(({ pods }) => pods)];
  batch(undefined, [...hosts.map(({ name }) => `netns delete ${name}`), `link delete ${BRIDGE}`]);
}

function hostsOf({ controlPlane, client, aws, nodes }: LabPlan): LabHost[] {
  return [controlPlane, client, ...(aws ? [aws] : []), ...nodes];
}

/** Pulls the host's cable out of the LAN's switch: the host itself still sees a carrier, as with a dead switch port. */
export function cutOff({ name }: LabHost): void {
  batch(undefined, [`link set ${name} nomaster`]);
}

/** Puts the cable back. */
export function plugIn({ name }: LabHost): void {
  batch(undefined, [`link set ${name} master ${BRIDGE}`]);
}

/** The host's link-layer address on the LAN. */
export function macOf({ name }: LabHost): Mac {
  const path = `/sys/class/net/${HOST_INTERFACE}/address`;
  const text = execFileSync('ip', ['netns', 'exec', name, 'cat', path], { encoding: 'utf8' });
  return text.trim() as Mac; // as the kernel writes it
}

function addressLines(device: string, { addresses }: LabHost): string[] {
  return addresses.map(
    (address, family) => `address add ${address}/${LAN_PREFIX_LENGTHS[family]} dev ${device}`,
  );
}

/** Nobody else is there: IPv6 addresses are of use at once, not after a second of asking whose they are. */
function trustAddresses(namespaces: readonly string[]): void {
  const files = ['default', 'all'].map((scope) => `/proc/sys/net/ipv6/conf/${scope}/accept_dad`);
  const write = files.map((file) => `echo 0 >${file}`).join('; ');
  const lines = namespaces.map((name) => `ip netns exec ${name} sh -ec '${write}'`);
  execFileSync('sh', ['-ec', [write, ...lines].join('\n')], { stdio: 'pipe' });
}

function batch(namespace: string | undefined, lines: readonly string[]): void {
  const inside = namespace === undefined ? [] : ['-n', namespace];
  execFileSync('ip', [...inside, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: 'pipe' });
}
