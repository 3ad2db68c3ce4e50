// The part of EC2 that a network load balancer needs: subnets, routes, security groups and their tags.
import type { Cloud, CloudRule, CloudSecurityGroup, CloudSubnet } from './cloud.ts';
import { refuse } from './fault.ts';
import { type Params, required, structures, text, texts } from './query.ts';
import type { Answer } from './xml.ts';

export function describeSubnets(cloud: Cloud, params: Params): Answer {
  const found = cloud.subnets.filter((subnet) =>
    passes(params, subnet.tags, (name) => filtered(cloud, subnet, name)),
  );
  return {
    subnetSet: found.map((subnet) => ({
      subnetId: subnet.id,
      vpcId: cloud.vpc,
      availabilityZone: subnet.zone,
      cidrBlock: subnet.cidr,
      availableIpAddressCount: subnet.freeAddresses,
      ipv6CidrBlockAssociationSet: subnet.ipv6Cidr
        ? [{ ipv6CidrBlock: subnet.ipv6Cidr, ipv6CidrBlockState: { state: 'associated' } }]
        : [],
      tagSet: tagSet(subnet.tags),
    })),
  };
}

function filtered(cloud: Cloud, subnet: CloudSubnet, name: string): string | undefined {
  return name === 'vpc-id' ? cloud.vpc : name === 'subnet-id' ? subnet.id : undefined;
}

/** One table a subnet: to the internet gateway for those that are public. */
export function describeRouteTables(cloud: Cloud): Answer {
  return {
    routeTableSet: cloud.subnets.map(({ id, isPublic }) => ({
      routeTableId: id.replace('subnet', 'rtb'),
      vpcId: cloud.vpc,
      associationSet: [{ main: false, subnetId: id }],
      routeSet: [
        { destinationCidrBlock: '10.0.0.0/16', gatewayId: 'local' },
        ...(isPublic ? [{ destinationCidrBlock: '0.0.0.0/0', gatewayId: 'igw-00000001' }] : []),
      ],
    })),
  };
}

export function describeSecurityGroups(cloud: Cloud, params: Params): Answer {
  const ids = texts(params, 'GroupId');
  for (const id of ids) find(cloud, id);
  const found = [...cloud.securityGroups.values()].filter(
    (group) =>
      (ids.length === 0 || ids.includes(group.id)) &&
      passes(params, group.tags, (name) => groupFields(group)[name]),
  );
  return {
    securityGroupInfo: found.map((group) => ({
      groupId: group.id,
      groupName: group.name,
      vpcId: group.vpc,
      ipPermissions: group.rules.map(permission),
      tagSet: tagSet(group.tags),
    })),
  };
}

function groupFields({ vpc, name, rules }: CloudSecurityGroup): Readonly<Record<string, string | string[]>> {
  return {
    'vpc-id': vpc,
    'group-name': name,
    'ip-permission.group-id': rules.map(({ source }) => source).filter((source) => source.startsWith('sg-')),
  };
}

/** One for each instance, with the addresses of its pods. */
export function describeNetworkInterfaces(cloud: Cloud, params: Params): Answer {
  const found = [...cloud.instances].filter(([id, { address, podAddresses }]) =>
    passes(params, {}, (name) => {
      const fields: Readonly<Record<string, string | string[]>> = {
        'vpc-id': cloud.vpc,
        'attachment.instance-id': id,
        'attachment.device-index': '0',
        'addresses.private-ip-address': [address, ...podAddresses],
        'ipv6-addresses.ipv6-address': [...podAddresses],
      };
      return fields[name];
    }),
  );
  return {
    networkInterfaceSet: found.map(([id, { address, podAddresses, groups }]) => ({
      networkInterfaceId: id.replace('i-', 'eni-'),
      vpcId: cloud.vpc,
      privateIpAddress: address,
      attachment: { instanceId: id, deviceIndex: 0 },
      groupSet: groups.map((groupId) => ({ groupId })),
      privateIpAddressesSet: [address, ...podAddresses]
        .filter((each) => !each.includes(':'))
        .map((privateIpAddress) => ({ privateIpAddress })),
      ipv6AddressesSet: podAddresses
        .filter((each) => each.includes(':'))
        .map((ipv6Address) => ({ ipv6Address })),
    })),
  };
}

export function createSecurityGroup(cloud: Cloud, params: Params): Answer {
  const [name, vpc] = [required(params, 'GroupName'), required(params, 'VpcId')];
  if ([...cloud.securityGroups.values()].some((each) => each.name === name && each.vpc === vpc))
    refuse('InvalidGroup.Duplicate', `The security group '${name}' already exists`);
  const [spec] = structures(params, 'TagSpecification');
  const tags = Object.fromEntries(
    (spec ? structures(spec, 'Tag') : []).map((tag) => [required(tag, 'Key'), text(tag, 'Value') ?? '']),
  );
  const id = `sg-${cloud.serial()}`;
  cloud.securityGroups.set(id, { id, name, vpc, rules: [], tags });
  return { return: true, groupId: id };
}

export function deleteSecurityGroup(cloud: Cloud, params: Params): Answer {
  const { id } = find(cloud, required(params, 'GroupId'));
  const named = [...cloud.securityGroups.values()].some(
    (group) => group.id !== id && group.rules.some(({ source }) => source === id),
  );
  if (named || cloud.holds(id)) refuse('DependencyViolation', `resource ${id} has a dependent object`);
  cloud.securityGroups.delete(id);
  return { return: true };
}

export function authorizeIngress(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'GroupId'));
  const rules = readRules(params);
  for (const rule of rules)
    if (group.rules.some((each) => key(each) === key(rule)))
      refuse('InvalidPermission.Duplicate', `the specified rule "${key(rule)}" already exists`);
  if (group.rules.length + rules.length > cloud.behaviour.quotas.rules)
    refuse(
      'RulesPerSecurityGroupLimitExceeded',
      'The maximum number of rules per security group has been reached.',
    );
  group.rules = [...group.rules, ...rules];
  return { return: true };
}

export function revokeIngress(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'GroupId'));
  const keys = readRules(params).map(key);
  const missing = keys.find((each) => !group.rules.some((rule) => key(rule) === each));
  if (missing)
    refuse(
      'InvalidPermission.NotFound',
      `The specified rule "${missing}" does not exist in this security group.`,
    );
  group.rules = group.rules.filter((rule) => !keys.includes(key(rule)));
  return { return: true };
}

export function createTags(cloud: Cloud, params: Params): Answer {
  for (const id of texts(params, 'ResourceId')) {
    const group = find(cloud, id);
    const added = structures(params, 'Tag').map((tag) => [required(tag, 'Key'), text(tag, 'Value') ?? '']);
    group.tags = { ...group.tags, ...Object.fromEntries(added) };
  }
  return { return: true };
}

export function deleteTags(cloud: Cloud, params: Params): Answer {
  const keys = structures(params, 'Tag').map((tag) => required(tag, 'Key'));
  for (const id of texts(params, 'ResourceId')) {
    const group = find(cloud, id);
    group.tags = Object.fromEntries(Object.entries(group.tags).filter(([each]) => !keys.includes(each)));
  }
  return { return: true };
}

function find(cloud: Cloud, id: string): CloudSecurityGroup {
  return (
    cloud.securityGroups.get(id) ??
    refuse('InvalidGroup.NotFound', `The security group '${id}' does not exist`)
  );
}

/** `Filter.N`: every filter must hold, with one of its values. */
function passes(
  params: Params,
  tags: Readonly<Record<string, string>>,
  fieldOf: (name: string) => string | readonly string[] | undefined,
): boolean {
  return structures(params, 'Filter').every((filter) => {
    const name = required(filter, 'Name');
    const values = texts(filter, 'Value');
    if (name === 'tag-key') return values.some((each) => tags[each] !== undefined);
    const value = name.startsWith('tag:') ? tags[name.slice(4)] : fieldOf(name);
    return [value ?? []].flat().some((each) => values.includes(each));
  });
}

function readRules(params: Params): CloudRule[] {
  return structures(params, 'IpPermissions').flatMap((permission) => {
    const sources = [
      ...structures(permission, 'IpRanges').map((each) => required(each, 'CidrIp')),
      ...structures(permission, 'Ipv6Ranges').map((each) => required(each, 'CidrIpv6')),
      ...structures(permission, 'PrefixListIds').map((each) => required(each, 'PrefixListId')),
    ];
    const groups = structures(permission, 'Groups').map((each) => ({
      source: required(each, 'GroupId'),
      description: text(each, 'Description'),
    }));
    return [...sources.map((source) => ({ source })), ...groups].map((each) => ({
      protocol: required(permission, 'IpProtocol'),
      from: Number(text(permission, 'FromPort')),
      to: Number(text(permission, 'ToPort')),
      ...each,
    }));
  });
}

function key({ protocol, from, to, source }: CloudRule): string {
  return `${protocol} ${from}-${to} ${source}`;
}

function permission({ protocol, from, to, source, description }: CloudRule): Answer {
  return {
    ipProtocol: protocol,
    fromPort: from,
    toPort: to,
    groups: source.startsWith('sg-') ? [{ groupId: source, description }] : [],
    ipRanges: source.includes('.') ? [{ cidrIp: source }] : [],
    ipv6Ranges: source.includes(':') ? [{ cidrIpv6: source }] : [],
    prefixListIds: source.startsWith('pl-') ? [{ prefixListId: source }] : [],
  };
}

function tagSet(tags: Readonly<Record<string, string>>): Answer {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}
