// ELBv2: load balancers.
import { prefixContains } from './cidr.ts';
import type { Cloud, CloudLoadBalancer, CloudMapping } from './cloud.ts';
import { refuse } from './fault.ts';
import { pageOf } from './paging.ts';
import { type Params, pairs, required, structures, text, texts } from './query.ts';
import type { Answer } from './xml.ts';

const DEFAULTS = {
  'access_logs.s3.enabled': 'false',
  'access_logs.s3.bucket': '',
  'access_logs.s3.prefix': '',
  'deletion_protection.enabled': 'false',
  'dns_record.client_routing_policy': 'any_availability_zone',
  'ipv6.deny_all_igw_traffic': 'false',
  'load_balancing.cross_zone.enabled': 'false',
  'secondary_ips.auto_assigned.per_subnet': '0',
  'zonal_shift.config.enabled': 'false',
};

export function createLoadBalancer(cloud: Cloud, params: Params): Answer {
  const name = required(params, 'Name');
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/.test(name) || name.startsWith('internal-'))
    refuse('ValidationError', `The load balancer name '${name}' is not valid`);
  if (text(params, 'Type') !== 'network')
    refuse('ValidationError', 'only network load balancers are emulated');
  const scheme = text(params, 'Scheme') ?? 'internet-facing';
  if (scheme !== 'internal' && scheme !== 'internet-facing') refuse('InvalidScheme', `no scheme ${scheme}`);
  const addressType = text(params, 'IpAddressType') ?? 'ipv4';
  const mappings = readMappings(cloud, params, { scheme, addressType, before: [] });
  const groups = texts(params, 'SecurityGroups');
  checkGroups(cloud, groups);
  const same = [...cloud.loadBalancers.values()].find((each) => each.name === name);
  if (same) {
    const key = (each: Pick<CloudLoadBalancer, 'scheme' | 'addressType' | 'mappings' | 'groups'>) =>
      JSON.stringify([
        each.scheme,
        each.addressType,
        each.mappings.map(({ subnet }) => subnet),
        [...each.groups].sort(),
      ]);
    if (key(same) !== key({ scheme, addressType, mappings, groups }))
      refuse(
        'DuplicateLoadBalancerName',
        `A load balancer with the name '${name}' exists with other settings`,
      );
    return { LoadBalancers: [describe(cloud, same)] };
  }
  if (cloud.loadBalancers.size >= cloud.behaviour.quotas.loadBalancers)
    refuse('TooManyLoadBalancers', 'The maximum number of load balancers has been reached');
  takeAllocations(cloud, mappings);
  const made: CloudLoadBalancer = {
    arn: cloud.arn(`loadbalancer/net/${name}`),
    name,
    scheme,
    hostname: `${name}-${cloud.serial()}.elb.${cloud.region}.amazonaws.com`,
    createdAt: cloud.clock.now(),
    addressType,
    sourceNat: text(params, 'EnablePrefixForIpv6SourceNat') === 'on',
    mappings,
    groups,
    attributes: { ...DEFAULTS },
    tags: pairs(params, 'Tags'),
  };
  cloud.loadBalancers.set(made.arn, made);
  return { LoadBalancers: [describe(cloud, made)] };
}

export function describeLoadBalancers(cloud: Cloud, params: Params): Answer {
  const [arns, names] = [texts(params, 'LoadBalancerArns'), texts(params, 'Names')];
  if (arns.length > 20 || names.length > 20)
    refuse('ValidationError', 'at most 20 load balancers can be named');
  const all = [...cloud.loadBalancers.values()];
  const wanted = [...arns.map((arn) => find(cloud, arn)), ...names.map((name) => byName(cloud, name))];
  if (wanted.length > 0) return { LoadBalancers: wanted.map((each) => describe(cloud, each)) };
  const { page, marker } = pageOf(all, params);
  return { LoadBalancers: page.map((each) => describe(cloud, each)), NextMarker: marker };
}

export function deleteLoadBalancer(cloud: Cloud, params: Params): Answer {
  const arn = required(params, 'LoadBalancerArn');
  if (cloud.loadBalancers.get(arn)?.attributes['deletion_protection.enabled'] === 'true')
    refuse(
      'OperationNotPermitted',
      `Load balancer '${arn}' cannot be deleted because deletion protection is enabled`,
    );
  cloud.deleteLoadBalancer(arn);
  return {};
}

export function setSubnets(cloud: Cloud, params: Params): Answer {
  const balancer = find(cloud, required(params, 'LoadBalancerArn'));
  const addressType = text(params, 'IpAddressType') ?? balancer.addressType;
  const mappings = readMappings(cloud, params, {
    scheme: balancer.scheme,
    addressType,
    before: balancer.mappings,
  });
  takeAllocations(
    cloud,
    mappings.filter(({ allocation }) => !balancer.mappings.some((each) => each.allocation === allocation)),
  );
  Object.assign(balancer, { mappings, addressType });
  const nat = text(params, 'EnablePrefixForIpv6SourceNat');
  if (nat) balancer.sourceNat = nat === 'on';
  return { AvailabilityZones: zones(cloud, balancer), IpAddressType: addressType };
}

export function setIpAddressType(cloud: Cloud, params: Params): Answer {
  const balancer = find(cloud, required(params, 'LoadBalancerArn'));
  const addressType = required(params, 'IpAddressType');
  checkFamily(cloud, balancer.mappings, addressType);
  balancer.addressType = addressType;
  return { IpAddressType: addressType };
}

export function setSecurityGroups(cloud: Cloud, params: Params): Answer {
  const balancer = find(cloud, required(params, 'LoadBalancerArn'));
  const groups = texts(params, 'SecurityGroups');
  if (balancer.groups.length === 0 || groups.length === 0)
    refuse(
      'InvalidConfigurationRequest',
      'Security groups can be changed only where there are some, and not to none',
    );
  checkGroups(cloud, groups);
  balancer.groups = groups;
  balancer.privateLinkRules =
    text(params, 'EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic') ?? balancer.privateLinkRules;
  return { SecurityGroupIds: groups };
}

export function describeLoadBalancerAttributes(cloud: Cloud, params: Params): Answer {
  const { attributes } = find(cloud, required(params, 'LoadBalancerArn'));
  return { Attributes: keyValues(attributes) };
}

export function modifyLoadBalancerAttributes(cloud: Cloud, params: Params): Answer {
  const balancer = find(cloud, required(params, 'LoadBalancerArn'));
  const changes = pairs(params, 'Attributes');
  for (const key of Object.keys(changes))
    if (!Object.hasOwn(DEFAULTS, key))
      refuse('ValidationError', `Load balancer attribute key '${key}' is not recognized`);
  balancer.attributes = { ...balancer.attributes, ...changes };
  return { Attributes: keyValues(balancer.attributes) };
}

export function find(cloud: Cloud, arn: string): CloudLoadBalancer {
  return cloud.loadBalancers.get(arn) ?? refuse('LoadBalancerNotFound', `Load balancer '${arn}' not found`);
}

function byName(cloud: Cloud, name: string): CloudLoadBalancer {
  const found = [...cloud.loadBalancers.values()].find((each) => each.name === name);
  return found ?? refuse('LoadBalancerNotFound', `Load balancers '[${name}]' not found`);
}

export function keyValues(map: Readonly<Record<string, string>>): Answer {
  return Object.entries(map).map(([Key, Value]) => ({ Key, Value }));
}

function readMappings(
  cloud: Cloud,
  params: Params,
  { scheme, addressType, before }: { scheme: string; addressType: string; before: readonly CloudMapping[] },
): CloudMapping[] {
  const plain = texts(params, 'Subnets').map((subnet): CloudMapping => ({ subnet }));
  const mapped = structures(params, 'SubnetMappings').map(
    (each): CloudMapping => ({
      subnet: required(each, 'SubnetId'),
      allocation: text(each, 'AllocationId'),
      privateAddress: text(each, 'PrivateIPv4Address'),
      ipv6Address: text(each, 'IPv6Address'),
      sourceNatPrefix: text(each, 'SourceNatIpv6Prefix'),
    }),
  );
  const mappings = [...plain, ...mapped];
  if (mappings.length === 0) refuse('ValidationError', 'At least one subnet must be specified');
  const seen = new Set<string>();
  for (const { subnet, allocation, privateAddress } of mappings) {
    const found = cloud.subnets.find(({ id }) => id === subnet);
    if (!found) return refuse('SubnetNotFound', `The subnet ID '${subnet}' does not exist`);
    if (seen.has(found.zone))
      refuse(
        'InvalidConfigurationRequest',
        'A load balancer cannot be attached to multiple subnets in the same Availability Zone',
      );
    seen.add(found.zone);
    if (allocation && scheme === 'internal')
      refuse('InvalidConfigurationRequest', 'EIPs are for internet-facing load balancers');
    if (allocation && !cloud.allocations.has(allocation))
      refuse('AllocationIdNotFound', `The allocation ID '${allocation}' does not exist`);
    if (privateAddress && !prefixContains(found.cidr, privateAddress))
      refuse('ValidationError', `${privateAddress} is not in ${found.cidr}`);
    const kept = before.find((each) => each.subnet === subnet);
    if (kept && (kept.allocation !== allocation || kept.privateAddress !== privateAddress))
      refuse('InvalidConfigurationRequest', `The address of the subnet '${subnet}' cannot be changed`);
  }
  checkFamily(cloud, mappings, addressType);
  return mappings;
}

function checkFamily(cloud: Cloud, mappings: readonly CloudMapping[], addressType: string): void {
  if (addressType !== 'dualstack') return;
  for (const { subnet } of mappings)
    if (!cloud.subnets.find(({ id }) => id === subnet)?.ipv6Cidr)
      refuse('InvalidSubnet', `The subnet '${subnet}' has no IPv6 CIDR`);
}

function takeAllocations(cloud: Cloud, mappings: readonly CloudMapping[]): void {
  const used = [...cloud.loadBalancers.values()].flatMap((each) =>
    each.mappings.map(({ allocation }) => allocation),
  );
  for (const { allocation } of mappings)
    if (allocation && used.includes(allocation))
      refuse('ResourceInUse', `The allocation ID '${allocation}' is in use`);
}

function checkGroups(cloud: Cloud, groups: readonly string[]): void {
  for (const id of groups)
    if (!cloud.securityGroups.has(id))
      refuse('InvalidSecurityGroup', `The security group '${id}' does not exist`);
}

function stateOf({ clock, behaviour }: Cloud, { createdAt }: CloudLoadBalancer): string {
  if (clock.now() < createdAt + behaviour.provisioning) return 'provisioning';
  return behaviour.provisioningFails ? 'failed' : 'active';
}

function zones(cloud: Cloud, { mappings }: CloudLoadBalancer): Answer {
  return mappings.map(({ subnet, allocation, privateAddress, ipv6Address, sourceNatPrefix }) => ({
    ZoneName: cloud.subnets.find(({ id }) => id === subnet)?.zone,
    SubnetId: subnet,
    LoadBalancerAddresses:
      allocation || privateAddress || ipv6Address
        ? [{ AllocationId: allocation, PrivateIPv4Address: privateAddress, IPv6Address: ipv6Address }]
        : [],
    SourceNatIpv6Prefixes: sourceNatPrefix ? [sourceNatPrefix] : [],
  }));
}

function describe(cloud: Cloud, balancer: CloudLoadBalancer): Answer {
  return {
    LoadBalancerArn: balancer.arn,
    DNSName: balancer.hostname,
    CanonicalHostedZoneId: 'Z3F0SRJ5LGBH90',
    CreatedTime: cloud.clock.wallTime().toISOString(),
    LoadBalancerName: balancer.name,
    Scheme: balancer.scheme,
    VpcId: cloud.vpc,
    State: { Code: stateOf(cloud, balancer) },
    Type: 'network',
    AvailabilityZones: zones(cloud, balancer),
    SecurityGroups: balancer.groups,
    IpAddressType: balancer.addressType,
    EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: balancer.privateLinkRules,
    EnablePrefixForIpv6SourceNat: balancer.sourceNat ? 'on' : 'off',
  };
}
