// Who is in a lab and under which addresses: one value, from which network, objects and printed help are made.
import { fromBigInt, type Ip, ip, toBigInt } from '../net/address.ts';

export interface LabPod {
  readonly name: string;
  readonly addresses: readonly [Ip, Ip];
}

export interface LabHost {
  /** Name of its network namespace, of its port on the LAN and of its Node object. */
  readonly name: string;
  /** On the LAN: IPv4, IPv6. */
  readonly addresses: readonly [Ip, Ip];
}

export interface LabNode extends LabHost {
  /** What AWS would call it, where the lab has one. */
  readonly instance: string;
  readonly pods: readonly LabPod[];
}

export interface LabPlan {
  readonly controlPlane: LabHost;
  readonly nodes: readonly LabNode[];
  readonly client: LabHost;
  /** Where the lab itself stands on the LAN, and `kubectl` beside it. */
  readonly operator: LabHost;
  /** Where AWS is emulated. */
  readonly aws?: LabHost;
}

/** RFC 5737, RFC 3849: networks that no real host is in. */
export const LAN_PREFIX_LENGTHS = [24, 64] as const;
const LAN = ['192.0.2.0', '2001:db8::'] as const;
/** As clusters usually have them. */
export const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:10:96::/112'] as const;
const PODS = ['10.244.0.0', 'fd00:10:244::'] as const;

/** What a user may give out: free addresses of the LAN. */
export const POOL_ADDRESSES = ['192.0.2.200-192.0.2.250', '2001:db8::200-2001:db8::250'] as const;

export const MOST_NODES = 50;

/** `nodes` up to MOST_NODES, `podsANode` up to 253: a node's pods share a /24. */
export function planLab(nodes: number, podsANode: number, { aws = false } = {}): LabPlan {
  const lanAddress = (number: number): [Ip, Ip] => [above(LAN[0], number), above(LAN[1], number)];
  return {
    controlPlane: { name: 'control-plane', addresses: lanAddress(2) },
    client: { name: 'client', addresses: lanAddress(3) },
    operator: { name: 'operator', addresses: lanAddress(4) },
    ...(aws ? { aws: { name: 'aws', addresses: lanAddress(5) } } : {}),
    nodes: Array.from({ length: nodes }, (_, i) => ({
      name: `node-${i + 1}`,
      instance: `i-${(i + 1).toString(16).padStart(17, '0')}`,
      addresses: lanAddress(10 + i),
      pods: Array.from({ length: podsANode }, (__, j) => ({
        name: `web-${i + 1}-${j + 1}`,
        addresses: [above(PODS[0], (i + 1) * 256 + j + 2), above(PODS[1], (i + 1) * 65_536 + j + 2)] as const,
      })),
    })),
  };
}

function above(base: string, number: number): Ip {
  const address = ip(base);
  return fromBigInt(address.includes(':') ? 'IPv6' : 'IPv4', toBigInt(address) + BigInt(number));
}
