// What AWS would refuse of a load balancer that is about to be made, found out before anything is written.
import type { AwsRequest } from '../../api/aws-request.ts';
import type { Scheme } from '../../api/cloud-account.ts';
import { parseIp } from '../../net/address.ts';
import { contains, parsePrefix } from '../../net/range.ts';
import type { AwsApi } from './aws-api.ts';
import type { Subnet } from './subnets.ts';

export interface Places {
  readonly request: AwsRequest;
  readonly scheme: Scheme;
  /** In the order that pairs with addresses. */
  readonly subnets: readonly Subnet[];
}

/** Sentences; empty: nothing is known to be wrong. One read where there are EIPs. */
export async function checkValues(api: AwsApi, places: Places): Promise<string[]> {
  const { request, scheme } = places;
  const allocations = scheme === 'internet-facing' ? request.allocations : [];
  return [...checkAddresses(places), ...(await checkAllocations(api, allocations))];
}

/** Pure: how many there are, and whether each is in its subnet. */
export function checkAddresses({ request, scheme, subnets }: Places): string[] {
  const complaints: string[] = [];
  const lists = [
    { name: 'eip-allocations', values: scheme === 'internet-facing' ? request.allocations : [] },
    {
      name: 'private-ipv4-addresses',
      values: scheme === 'internal' ? request.privateAddresses : [],
      rangesOf: ({ ranges }: Subnet) => ranges.filter((each) => !each.includes(':')),
    },
    {
      name: 'ipv6-addresses',
      values: request.ipv6Addresses,
      rangesOf: ({ ranges }: Subnet) => ranges.filter((each) => each.includes(':')),
    },
    {
      name: 'source-nat-ipv6-prefixes',
      values: request.sourceNatPrefixes,
      rangesOf: ({ ranges }: Subnet) => ranges.filter((each) => each.includes(':')),
    },
  ];
  for (const { name, values, rangesOf } of lists) {
    if (values.length > 0 && values.length !== subnets.length)
      complaints.push(
        `aws-load-balancer-${name} names ${values.length} for the ${subnets.length} subnets ${subnets.map(({ id }) => id).join(', ')}; name one for each`,
      );
    for (const [i, value] of values.entries()) {
      const subnet = subnets[i];
      const ranges = subnet && rangesOf?.(subnet);
      if (!ranges || value === 'auto_assigned' || ranges.some((range) => isIn(value, range))) continue;
      complaints.push(
        `aws-load-balancer-${name}: ${value} is not in the subnet ${subnet.id} (${ranges.join(', ') || 'which has no such range'}); write one that is, in the order of the subnets`,
      );
    }
  }
  return complaints;
}

function isIn(text: string, range: string): boolean {
  const [prefix, address] = [parsePrefix(range), parseIp(text.split('/')[0] ?? '')];
  return prefix.kind === 'parsed' && address.kind === 'parsed' && contains(prefix.value, address.value);
}

async function checkAllocations(api: AwsApi, allocations: readonly string[]): Promise<string[]> {
  if (allocations.length === 0) return [];
  const { Addresses = [] } = await api('DescribeAddresses', {
    Filters: [{ Name: 'allocation-id', Values: [...allocations] }],
  });
  return allocations.flatMap((id) => {
    const found = Addresses.find(({ AllocationId }) => AllocationId === id);
    if (!found)
      return [`aws-load-balancer-eip-allocations: ${id} does not exist; write one of the account and region`];
    return found.AssociationId
      ? [
          `aws-load-balancer-eip-allocations: ${id} is in use (${found.AssociationId}); free it, or write another`,
        ]
      : [];
  });
}
