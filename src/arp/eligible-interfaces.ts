// On which interfaces an address can be announced at all.
import { bitsOf, familyOf, type Ip, toBigInt } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import { contains, type Range } from '../net/range.ts';
import type { InterfaceAddress, NetworkInterface } from '../netlink/rtnetlink.ts';
import type { InterfaceChoice } from './election.ts';

/** Interfaces of container networks and the like: nobody who asks for a load balancer's address is behind them. */
export const DEFAULT_EXCLUDED =
  '^(docker|br-|cbr|cni|veth|cali|cilium|flannel|tunl|vxlan|lxc|kube-|nodelocaldns|virbr|dummy|podman)';

export interface EligibleInterface {
  readonly index: number;
  readonly name: string;
  readonly mac: Mac;
  /** Of its own addresses, but for those that are alone in theirs. */
  readonly subnets: readonly Range[];
}

/** Up, with a cable, able to resolve addresses, not a port of something else, and not excluded by name. */
export function eligibleInterfaces(
  interfaces: readonly NetworkInterface[],
  excluded: RegExp,
): EligibleInterface[] {
  const eligible: EligibleInterface[] = [];
  for (const { index, name, mac, up, carrier, noArp, loopback, master, addresses } of interfaces) {
    if (!up || !carrier || noArp || loopback || master !== undefined || mac === undefined) continue;
    if (!excluded.test(name)) eligible.push({ index, name, mac, subnets: subnetsOf(addresses) });
  }
  return eligible;
}

/** Of the fit interfaces those on whose own subnet the address is, for nobody asks elsewhere; without one, all. */
export function closestInterfaces(address: Ip, eligible: readonly EligibleInterface[]): InterfaceChoice {
  const near = eligible.filter(({ subnets }) => subnets.some((subnet) => contains(subnet, address)));
  return near.length === 0 ? 'all' : new Set(near.map(({ name }) => name));
}

/** The one of these on whose subnet the address is. */
export function ownAddressNear(address: Ip, own: readonly InterfaceAddress[]): Ip | undefined {
  return own.find((each) => subnetsOf([each]).some((subnet) => contains(subnet, address)))?.address;
}

function subnetsOf(addresses: readonly InterfaceAddress[]): Range[] {
  return addresses.flatMap(({ address, prefixLength }) => {
    const family = familyOf(address);
    const size = 1n << BigInt(bitsOf(family) - prefixLength);
    const first = (toBigInt(address) / size) * size;
    return size === 1n ? [] : [{ family, first, last: first + size - 1n }];
  });
}
