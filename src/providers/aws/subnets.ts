// Which subnets a load balancer is in: those that are named, or those that its tags and routes fit.
import type { Scheme } from '../../api/cloud-account.ts';
import type { Tags } from './ownership.ts';

export interface Subnet {
  readonly id: string;
  readonly zone: string;
  readonly freeAddresses: number;
  readonly hasIpv6: boolean;
  /** CIDR, of both families. */
  readonly ranges: readonly string[];
  readonly tags: Tags;
  /** Whether its route table leads to an internet gateway; undefined where nobody has looked. */
  readonly isPublic?: boolean;
}

export interface SubnetWish {
  /** Ids or Name tags, in the order that pairs with EIPs; empty: discovery. */
  readonly named: readonly string[];
  readonly scheme: Scheme;
  readonly cluster: string;
  readonly dualstack: boolean;
}

export type SubnetChoice =
  | { readonly kind: 'chosen'; readonly ids: readonly string[] }
  /** Nobody tagged a subnet: the routes decide, and have to be looked up. */
  | { readonly kind: 'needsRoutes' }
  | { readonly kind: 'none'; readonly message: string };

/** A network load balancer takes an address or more of each subnet, and AWS asks for 8 free ones. */
const FREE_ADDRESSES = 8;

export function chooseSubnets(wish: SubnetWish, subnets: readonly Subnet[]): SubnetChoice {
  return wish.named.length > 0 ? named(wish, subnets) : discovered(wish, subnets);
}

function named({ named, dualstack }: SubnetWish, subnets: readonly Subnet[]): SubnetChoice {
  const chosen: Subnet[] = [];
  const complaints: string[] = [];
  for (const text of named) {
    const matches = subnets.filter(({ id, tags }) => id === text || tags.Name === text);
    const [match] = matches;
    if (matches.length > 1)
      complaints.push(`"${text}" is the Name of ${matches.length} subnets; write the id`);
    else if (!match) complaints.push(`"${text}" is neither the id nor the Name of a subnet of the VPC`);
    else chosen.push(match);
  }
  for (const [zone, each] of Map.groupBy(chosen, ({ zone }) => zone)) {
    if (each.length > 1)
      complaints.push(
        `${each.map(({ id }) => id).join(' and ')} are both in ${zone}; name one for each zone`,
      );
  }
  for (const { id, hasIpv6 } of dualstack ? chosen : [])
    if (!hasIpv6) complaints.push(`${id} has no IPv6 range, which dualstack needs`);
  return complaints.length > 0
    ? { kind: 'none', message: complaints.join('; ') }
    : { kind: 'chosen', ids: chosen.map(({ id }) => id) };
}

function discovered({ scheme, cluster, dualstack }: SubnetWish, subnets: readonly Subnet[]): SubnetChoice {
  const role = scheme === 'internal' ? 'kubernetes.io/role/internal-elb' : 'kubernetes.io/role/elb';
  const tagged = subnets.filter(({ tags }) => tags[role] === '' || tags[role] === '1');
  const unlooked = subnets.some(({ isPublic }) => isPublic === undefined);
  if (tagged.length === 0 && unlooked && subnets.length > 0) return { kind: 'needsRoutes' };
  const wanted = scheme === 'internet-facing';
  const fitting = tagged.length > 0 ? tagged : subnets.filter(({ isPublic }) => isPublic === wanted);
  const reasons: string[] = [];
  const usable = fitting.filter((subnet) => {
    const why = unfit(subnet, cluster, dualstack);
    if (why) reasons.push(`${subnet.id} ${why}`);
    return !why;
  });
  if (usable.length === 0) {
    const rest = reasons.length > 0 ? `: ${reasons.join('; ')}` : '';
    const message = `no subnet of the VPC is tagged ${role} or has the routes for ${scheme}${rest}; tag one for each zone, or name them (aws-load-balancer-subnets)`;
    return { kind: 'none', message };
  }
  const byZone = Map.groupBy(usable, ({ zone }) => zone);
  const chosen = [...byZone.values()].flatMap((each) => best(each, cluster)?.id ?? []);
  return { kind: 'chosen', ids: chosen.sort() };
}

function unfit(
  { freeAddresses, hasIpv6, tags }: Subnet,
  cluster: string,
  dualstack: boolean,
): string | undefined {
  const clusters = Object.keys(tags).filter((key) => key.startsWith('kubernetes.io/cluster/'));
  if (clusters.length > 0 && !clusters.includes(`kubernetes.io/cluster/${cluster}`))
    return 'is tagged for other clusters only';
  if (freeAddresses < FREE_ADDRESSES)
    return `has ${freeAddresses} free addresses of the ${FREE_ADDRESSES} needed`;
  return dualstack && !hasIpv6 ? 'has no IPv6 range' : undefined;
}

/** Tagged for this cluster first, then the lowest id. */
function best(subnets: readonly Subnet[], cluster: string): Subnet | undefined {
  const rank = ({ id, tags }: Subnet) =>
    `${tags[`kubernetes.io/cluster/${cluster}`] === undefined ? 1 : 0}${id}`;
  return [...subnets].sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}
