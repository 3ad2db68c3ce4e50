// Names of subnets and security groups, resolved to ids by AWS.
import type { AwsRequest } from '../../api/aws-request.ts';
import type { CloudAccount, Scheme } from '../../api/cloud-account.ts';
import type { AwsApi } from './aws-api.ts';
import { valuesOf } from './observe.ts';
import type { ObservedLoadBalancer } from './observed.ts';
import { chooseSubnets, type Subnet, type SubnetChoice } from './subnets.ts';

/** `current`: its subnets stay where the user names none, as long as its scheme does. */
export async function resolveSubnets(
  api: AwsApi,
  { clusterName: cluster, aws }: CloudAccount,
  request: AwsRequest,
  scheme: Scheme,
  current: ObservedLoadBalancer | undefined,
): Promise<SubnetChoice> {
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
      tags: valuesOf(each.Tags),
    }),
  );
  const choice = chooseSubnets(wish, subnets);
  if (choice.kind !== 'needsRoutes') return choice;
  const isPublic = await publicSubnets(api, aws.vpcId);
  return chooseSubnets(
    wish,
    subnets.map((each) => ({ ...each, isPublic: isPublic(each.id) })),
  );
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

/** The user's own security groups by id or Name tag. */
export async function resolveGroups(api: AwsApi, vpc: string, request: AwsRequest): Promise<GroupChoice> {
  if (request.securityGroups.kind !== 'given') return { kind: 'chosen', ids: [] };
  const { groups } = request.securityGroups;
  const names = groups.filter((each) => !each.startsWith('sg-'));
  if (names.length === 0) return { kind: 'chosen', ids: groups };
  const { SecurityGroups: found = [] } = await api('DescribeSecurityGroups', {
    Filters: [
      { Name: 'vpc-id', Values: [vpc] },
      { Name: 'tag:Name', Values: names },
    ],
  });
  const ids: string[] = [];
  for (const each of groups) {
    if (each.startsWith('sg-')) {
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
