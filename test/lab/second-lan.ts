// A second LAN beside that of the lab, on which some nodes have an interface of their own, and a host that asks.
import { execFileSync } from 'node:child_process';
import type { LabHost, LabNode } from '../../src/lab/plan.ts';
import { type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';

/** What the nodes call their interface on it. */
export const SECOND_INTERFACE = 'eth1';
const BRIDGE = 'lan2';
const CLIENT = 'client-2';

export class SecondLan {
  readonly client: LabHost = {
    name: CLIENT,
    addresses: [ip('203.0.113.9') as Ipv4, ip('2001:db8:2::9') as Ipv6],
  };
  readonly #nodes: readonly LabNode[];

  /** Addresses are of 203.0.113.0/24: the nodes have .1, .2 and so on, the client .9. */
  constructor(nodes: readonly LabNode[]) {
    this.#nodes = nodes;
    ipBatch([`netns add ${CLIENT}`]);
    ipBatch([
      `link add ${BRIDGE} type bridge`,
      `link set ${BRIDGE} up`,
      `link add ${cableOf(this.client)} type veth peer name eth0 netns ${CLIENT}`,
      ...nodes.map(
        (node) => `link add ${cableOf(node)} type veth peer name ${SECOND_INTERFACE} netns ${node.name}`,
      ),
      ...[this.client, ...nodes].map((host) => `link set ${cableOf(host)} master ${BRIDGE} up`),
    ]);
    ipBatch([`address add ${this.client.addresses[0]}/24 dev eth0`, 'link set eth0 up'], CLIENT);
    for (const [i, { name }] of nodes.entries())
      ipBatch(
        [`address add 203.0.113.${i + 1}/24 dev ${SECOND_INTERFACE}`, `link set ${SECOND_INTERFACE} up`],
        name,
      );
  }

  /** Takes the carrier away from the node's interface, or brings it back. */
  setCarrier(node: LabNode, carrier: boolean): void {
    ipBatch([`link set ${cableOf(node)} ${carrier ? 'up' : 'down'}`]);
  }

  macOf({ name }: LabNode): string {
    const path = `/sys/class/net/${SECOND_INTERFACE}/address`;
    return execFileSync('ip', ['netns', 'exec', name, 'cat', path], { encoding: 'utf8' }).trim();
  }

  remove(): void {
    ipBatch([
      ...this.#nodes.map((node) => `link del ${cableOf(node)}`),
      `netns del ${CLIENT}`,
      `link del ${BRIDGE}`,
    ]);
  }
}

/** The end of the host's cable at the switch. */
function cableOf({ name }: { readonly name: string }): string {
  return `2-${name}`;
}

function ipBatch(lines: readonly string[], namespace?: string): void {
  const inside = namespace === undefined ? [] : ['-n', namespace];
  execFileSync('ip', [...inside, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: 'pipe' });
}
