// Names of subnets and security groups, resolved to ids by AWS.
import type { AwsRequest } from '../../api/aws-request.ts';
import type { CloudAccount, Scheme } from '../../api/cloud-account.ts';
import type { AwsApi } from './aws-api.ts';
import { checkValues } from './check-values.ts';
import { valuesOf } from './observe.ts';
import type { ObservedLoadBalancer } from './observed.ts';
import { chooseSubnets, type Subnet, type SubnetChoice, type SubnetWish } from './subnets.ts';

export type PlaceChoice =
  | { readonly kind: 'chosen'; readonly ids: readonly string[] }
  | { readonly kind: 'none'; readonly reason: 'NoSubnets' | 'RefusedValues'; readonly message: string };

/**
 * `current`: its subnets stay where the user names none, as long as its scheme does. What goes into a load balancer
 * that is to be made is checked against what there is in AWS.
 */
export async function resolveSubnets(
  api: AwsApi,
  { clusterName: cluster, aws }: CloudAccount,
  request: AwsRequest,
  scheme: Scheme,
  current: ObservedLoadBalancer | undefined,
): Promise<PlaceChoice> {
  if (request.subnets.length === 0 && current?.scheme === scheme)
    return { kind: 'chosen', ids: current.mappings.map(({ subnet }) => subnet) };
  const wish = { named: request.subnets, scheme, cluster, dualstack: request.addressType === 'dualstack' };
  const Filters = [{ Name: 'vpc-id', Values: [aws.vpcId] }];
  const { Subnets: found = [] } = await api('DescribeSubnets', { Filters });
  const subnets = found.map(
    (each): Subnet => ({
      id: each.SubnetId ?? '',
      zone: each.AvailabilityZone ?? '',
      freeAddresses: each.AvailableIpAddressCount ?? 0,
      hasIpv6: (each.Ipv6CidrBlockAssociationSet ?? []).some(
        ({ Ipv6CidrBlockState: state }) => state?.State === 'associated',
      ),
      ranges: [
        each.CidrBlock ?? '',
        ...(each.Ipv6CidrBlockAssociationSet ?? []).flatMap(({ Ipv6CidrBlock }) => Ipv6CidrBlock ?? []),
      ].filter((range) => range !== ''),
      tags: valuesOf(each.Tags),
    }),
  );
  const choice = await chosenSubnets(api, aws.vpcId, wish, subnets);
  if (choice.kind === 'none') return { ...choice, reason: 'NoSubnets' };
  if (current?.scheme === scheme) return choice;
  const chosen = choice.ids.flatMap((id) => subnets.find((each) => each.id === id) ?? []);
  const complaints = await checkValues(api, { request, scheme, subnets: chosen });
  return complaints.length > 0
    ? { kind: 'none', reason: 'RefusedValues', message: complaints.join('; ') }
    : choice;
}

async function chosenSubnets(
  api: AwsApi,
  vpc: string,
  wish: SubnetWish,
  subnets: readonly Subnet[],
): Promise<Exclude<SubnetChoice, { readonly kind: 'needsRoutes' }>> {
  const choice = chooseSubnets(wish, subnets);
  if (choice.kind !== 'needsRoutes') return choice;
  const isPublic = await publicSubnets(api, vpc);
  const looked = chooseSubnets(
    wish,
    subnets.map((each) => ({ ...each, isPublic: isPublic(each.id) })),
  );
  if (looked.kind === 'needsRoutes') throw new Error('the routes of the subnets are known');
  return looked;
}

/** A subnet without a route table of its own has the VPC's main one. */
async function publicSubnets(api: AwsApi, vpc: string): Promise<(subnet: string) => boolean> {
  const { RouteTables: tables = [] } = await api('DescribeRouteTables', {
    Filters: [{ Name: 'vpc-id', Values: [vpc] }],
  });
  const open = new Map<string, boolean>();
  for (const { Associations = [], Routes = [] } of tables) {
    const toInternet = Routes.some(({ GatewayId = '' }) => GatewayId.startsWith('igw-'));
    for (const { SubnetId, Main } of Associations) open.set(SubnetId ?? (Main ? 'main' : ''), toInternet);
  }
  return (subnet) => open.get(subnet) ?? open.get('main') ?? false;
}

export type GroupChoice =
  | { readonly kind: 'chosen'; readonly ids: readonly string[] }
  | { readonly kind: 'none'; readonly message: string };

/** The user's own security groups by id or Name tag. `current`: what it has is there. */
export async function resolveGroups(
  api: AwsApi,
  vpc: string,
  request: AwsRequest,
  current: ObservedLoadBalancer | undefined,
): Promise<GroupChoice> {
  if (request.securityGroups.kind !== 'given') return { kind: 'chosen', ids: [] };
  const { groups } = request.securityGroups;
  const names = groups.filter((each) => !each.startsWith('sg-'));
  const known = groups.filter((each) => current?.groups.includes(each));
  if (known.length === groups.length) return { kind: 'chosen', ids: groups };
  const inVpc = { Name: 'vpc-id', Values: [vpc] };
  const find = async (Name: string, Values: string[]) => {
    if (Values.length === 0) return [];
    const { SecurityGroups = [] } = await api('DescribeSecurityGroups', {
      Filters: [inVpc, { Name, Values }],
    });
    return SecurityGroups;
  };
  const [found, byId] = await Promise.all([
    find('tag:Name', names),
    find(
      'group-id',
      groups.filter((each) => each.startsWith('sg-') && !known.includes(each)),
    ),
  ]);
  const ids: string[] = [];
  for (const each of groups) {
    if (each.startsWith('sg-')) {
      if (!known.includes(each) && !byId.some(({ GroupId }) => GroupId === each))
        return {
          kind: 'none',
          message: `the security group ${each} does not exist in the VPC; write another`,
        };
      ids.push(each);
      continue;
    }
    const matches = found.filter(({ Tags }) => valuesOf(Tags).Name === each);
    if (matches.length !== 1)
      return {
        kind: 'none',
        message: `"${each}" is the Name of ${matches.length} security groups; write the id`,
      };
    ids.push(matches[0]?.GroupId ?? '');
  }
  return { kind: 'chosen', ids };
}
