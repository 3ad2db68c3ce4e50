// On which interfaces an address can be announced at all.
import type { Mac } from '../net/mac.ts';
import type { NetworkInterface } from '../netlink/rtnetlink.ts';

/** Interfaces of container networks and the like: nobody who asks for a load balancer's address is behind them. */
export const DEFAULT_EXCLUDED =
  '^(docker|br-|cbr|cni|veth|cali|cilium|flannel|tunl|vxlan|lxc|kube-|nodelocaldns|virbr|dummy|podman)';

export interface EligibleInterface {
  readonly index: number;
  readonly name: string;
  readonly mac: Mac;
}

/** Up, with a cable, able to resolve addresses, not a port of something else, and not excluded by name. */
export function eligibleInterfaces(
  interfaces: readonly NetworkInterface[],
  excluded: RegExp,
): EligibleInterface[] {
  const eligible: EligibleInterface[] = [];
  for (const { index, name, mac, up, carrier, noArp, loopback, master } of interfaces) {
    if (!up || !carrier || noArp || loopback || master !== undefined || mac === undefined) continue;
    if (!excluded.test(name)) eligible.push({ index, name, mac });
  }
  return eligible;
}
