// What is there of a Service, read from AWS: the names of the region's load balancers and target groups in pages of
// 400, and everything else of those alone whose names and tags are the Service's.
import type { IpPermission, SecurityGroup } from '@aws-sdk/client-ec2';
import type { LoadBalancer, TargetGroup } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { HealthCheck } from '../../api/aws-ports.ts';
import type { AwsApi } from './aws-api.ts';
import type { Rule, SubnetMapping } from './model.ts';
import { inTreeName, namePrefix, securityGroupName } from './names.ts';
import type {
  ObservedListener,
  ObservedLoadBalancer,
  ObservedSecurityGroup,
  ObservedState,
  ObservedTarget,
  ObservedTargetGroup,
  Values,
} from './observed.ts';
import { type Owner, ownershipOf, type Tags, UID_TAG } from './ownership.ts';

/** DescribeTags takes so many resources. */
const TAGS_AT_ONCE = 20;

export interface Sought {
  readonly owner: Owner;
  readonly namespace: string;
  readonly name: string;
  readonly vpc: string;
  /** What a load balancer may be called besides the names made from the Service. */
  readonly explicitName: string | undefined;
}

/** `depth` names: without attributes, listeners and targets, which a removal has no use for. */
export async function observe(
  api: AwsApi,
  sought: Sought,
  depth: 'names' | 'whole' = 'whole',
): Promise<ObservedState> {
  const [balancers, groups, securityGroups] = await Promise.all([
    allLoadBalancers(api),
    allTargetGroups(api),
    readSecurityGroups(api, sought),
  ]);
  const service = { namespace: sought.namespace, name: sought.name, uid: sought.owner.uid };
  const prefix = namePrefix(service);
  const names = [sought.explicitName, inTreeName(service)];
  const named = balancers.filter(
    ({ LoadBalancerName: name = '' }) => name.startsWith(prefix) || names.includes(name),
  );
  const related = groups.filter(
    ({ TargetGroupName = '', LoadBalancerArns = [] }) =>
      TargetGroupName.startsWith(prefix) ||
      named.some(({ LoadBalancerArn = '' }) => LoadBalancerArns.includes(LoadBalancerArn)),
  );
  // A load balancer under another name than the Service's is known by the target groups that hang on it.
  const hanging = new Set(related.flatMap(({ LoadBalancerArns = [] }) => LoadBalancerArns));
  const candidates = balancers.filter(
    (each) => named.includes(each) || hanging.has(each.LoadBalancerArn ?? ''),
  );
  const arns = [
    ...candidates.map(({ LoadBalancerArn = '' }) => LoadBalancerArn),
    ...related.map(({ TargetGroupArn = '' }) => TargetGroupArn),
  ];
  const tags = await readTags(api, arns);
  const isLean = (arn = '') =>
    depth === 'names' || ownershipOf(tags.get(arn) ?? {}, sought.owner) === 'foreign';
  return {
    loadBalancers: await Promise.all(
      candidates.map((each) =>
        readLoadBalancer(api, each, tags.get(each.LoadBalancerArn ?? '') ?? {}, isLean(each.LoadBalancerArn)),
      ),
    ),
    targetGroups: await Promise.all(
      related.map((each) =>
        readTargetGroup(api, each, tags.get(each.TargetGroupArn ?? '') ?? {}, isLean(each.TargetGroupArn)),
      ),
    ),
    securityGroups,
  };
}

export async function allLoadBalancers(api: AwsApi): Promise<LoadBalancer[]> {
  const all: LoadBalancer[] = [];
  let marker: string | undefined;
  do {
    const page = await api('DescribeLoadBalancers', { PageSize: 400, ...(marker ? { Marker: marker } : {}) });
    all.push(...(page.LoadBalancers ?? []));
    marker = page.NextMarker;
  } while (marker);
  return all;
}

export async function allTargetGroups(api: AwsApi): Promise<TargetGroup[]> {
  const all: TargetGroup[] = [];
  let marker: string | undefined;
  do {
    const page = await api('DescribeTargetGroups', { PageSize: 400, ...(marker ? { Marker: marker } : {}) });
    all.push(...(page.TargetGroups ?? []));
    marker = page.NextMarker;
  } while (marker);
  return all;
}

export async function readTags(api: AwsApi, arns: readonly string[]): Promise<Map<string, Tags>> {
  const tags = new Map<string, Tags>();
  for (let i = 0; i < arns.length; i += TAGS_AT_ONCE) {
    const ResourceArns = arns.slice(i, i + TAGS_AT_ONCE);
    const { TagDescriptions = [] } = await api('DescribeTags', { ResourceArns });
    for (const { ResourceArn = '', Tags: pairs } of TagDescriptions) tags.set(ResourceArn, valuesOf(pairs));
  }
  return tags;
}

export function valuesOf(
  pairs: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] | undefined,
): Values {
  return Object.fromEntries((pairs ?? []).map(({ Key = '', Value = '' }) => [Key, Value]));
}

/** `lean`: its name and tags are all that anybody needs. */
async function readLoadBalancer(
  api: AwsApi,
  balancer: LoadBalancer,
  tags: Tags,
  lean: boolean,
): Promise<ObservedLoadBalancer> {
  const { LoadBalancerArn: arn = '' } = balancer;
  if (lean) return loadBalancerOf(balancer, { tags, attributes: {}, listeners: [] });
  const [{ Attributes }, listeners] = await Promise.all([
    api('DescribeLoadBalancerAttributes', { LoadBalancerArn: arn }),
    readListeners(api, arn, (arns) => readTags(api, arns)),
  ]);
  return loadBalancerOf(balancer, { tags, attributes: valuesOf(Attributes), listeners });
}

/** As the API tells it, with what it tells elsewhere. */
export function loadBalancerOf(
  balancer: LoadBalancer,
  more: Pick<ObservedLoadBalancer, 'tags' | 'attributes' | 'listeners'>,
): ObservedLoadBalancer {
  const rules = balancer.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic;
  return {
    arn: balancer.LoadBalancerArn ?? '',
    name: balancer.LoadBalancerName ?? '',
    type: balancer.Type ?? '',
    scheme: balancer.Scheme ?? '',
    state: balancer.State?.Code ?? '',
    hostname: (balancer.DNSName ?? '').toLowerCase(),
    addressType: balancer.IpAddressType ?? 'ipv4',
    sourceNat: balancer.EnablePrefixForIpv6SourceNat === 'on',
    mappings: (balancer.AvailabilityZones ?? []).map((zone): SubnetMapping => {
      const [address] = zone.LoadBalancerAddresses ?? [];
      const [prefix] = zone.SourceNatIpv6Prefixes ?? [];
      return {
        subnet: zone.SubnetId ?? '',
        ...(address?.AllocationId ? { allocation: address.AllocationId } : {}),
        ...(address?.PrivateIPv4Address ? { privateAddress: address.PrivateIPv4Address } : {}),
        ...(address?.IPv6Address ? { ipv6Address: address.IPv6Address } : {}),
        ...(prefix ? { sourceNatPrefix: prefix } : {}),
      };
    }),
    groups: balancer.SecurityGroups ?? [],
    ...(rules ? { privateLinkRules: rules } : {}),
    ...more,
  };
}

/** `tagsOf`: for whoever needs the tags of listeners, a call for each twenty. */
export async function readListeners(
  api: AwsApi,
  LoadBalancerArn: string,
  tagsOf: (arns: readonly string[]) => Promise<ReadonlyMap<string, Tags>>,
): Promise<ObservedListener[]> {
  const { Listeners: found = [] } = await api('DescribeListeners', { LoadBalancerArn, PageSize: 400 });
  const tags = await tagsOf(found.map(({ ListenerArn = '' }) => ListenerArn));
  return Promise.all(
    found.map(async (each): Promise<ObservedListener> => {
      const { ListenerArn = '', Protocol: protocol = '' } = each;
      const [certificates, attributes] = await Promise.all([
        protocol === 'TLS' ? api('DescribeListenerCertificates', { ListenerArn }) : undefined,
        protocol === 'TCP' ? api('DescribeListenerAttributes', { ListenerArn }) : undefined,
      ]);
      const standard = each.Certificates?.[0]?.CertificateArn;
      const [action, ...more] = each.DefaultActions ?? [];
      const single = more.length === 0 && (action?.ForwardConfig?.TargetGroups ?? []).length <= 1;
      return {
        arn: ListenerArn,
        port: each.Port ?? 0,
        protocol,
        ...(single && action?.TargetGroupArn ? { targetGroupArn: action.TargetGroupArn } : {}),
        ...(standard ? { defaultCertificate: standard } : {}),
        extraCertificates: (certificates?.Certificates ?? [])
          .filter(({ IsDefault }) => !IsDefault)
          .map(({ CertificateArn = '' }) => CertificateArn),
        ...(each.SslPolicy ? { sslPolicy: each.SslPolicy } : {}),
        ...(each.AlpnPolicy?.[0] ? { alpnPolicy: each.AlpnPolicy[0] } : {}),
        attributes: valuesOf(attributes?.Attributes),
        tags: tags.get(ListenerArn) ?? {},
      };
    }),
  );
}

async function readTargetGroup(
  api: AwsApi,
  group: TargetGroup,
  tags: Tags,
  lean: boolean,
): Promise<ObservedTargetGroup> {
  const { TargetGroupArn: arn = '' } = group;
  if (lean) return targetGroupOf(group, { tags, attributes: {}, targets: [] });
  const [{ Attributes }, targets] = await Promise.all([
    api('DescribeTargetGroupAttributes', { TargetGroupArn: arn }),
    readTargets(api, arn),
  ]);
  return targetGroupOf(group, { tags, attributes: valuesOf(Attributes), targets });
}

export async function readTargets(api: AwsApi, TargetGroupArn: string): Promise<ObservedTarget[]> {
  const { TargetHealthDescriptions = [] } = await api('DescribeTargetHealth', { TargetGroupArn });
  return TargetHealthDescriptions.map(({ Target, TargetHealth }) => ({
    id: Target?.Id ?? '',
    port: Target?.Port ?? 0,
    state: TargetHealth?.State ?? '',
  }));
}

export function targetGroupOf(
  group: TargetGroup,
  more: Pick<ObservedTargetGroup, 'tags' | 'attributes' | 'targets'>,
): ObservedTargetGroup {
  return {
    arn: group.TargetGroupArn ?? '',
    name: group.TargetGroupName ?? '',
    protocol: group.Protocol ?? '',
    targetType: group.TargetType ?? '',
    addressType: group.IpAddressType ?? 'ipv4',
    loadBalancers: group.LoadBalancerArns ?? [],
    healthCheck: healthCheckOf(group),
    ...more,
  };
}

function healthCheckOf(group: TargetGroup): HealthCheck {
  const protocol = group.HealthCheckProtocol;
  const isWeb = protocol === 'HTTP' || protocol === 'HTTPS';
  return {
    protocol: isWeb ? protocol : 'TCP',
    port: group.HealthCheckPort ?? '',
    ...(isWeb ? { path: group.HealthCheckPath ?? '', matcher: group.Matcher?.HttpCode ?? '' } : {}),
    interval: group.HealthCheckIntervalSeconds ?? 0,
    timeout: group.HealthCheckTimeoutSeconds ?? 0,
    healthyThreshold: group.HealthyThresholdCount ?? 0,
    unhealthyThreshold: group.UnhealthyThresholdCount ?? 0,
  };
}

/** By our tag; where there is none, by name: one that another made is in the way. */
async function readSecurityGroups(
  api: AwsApi,
  { owner, namespace, name, vpc }: Sought,
): Promise<ObservedSecurityGroup[]> {
  const inVpc = { Name: 'vpc-id', Values: [vpc] };
  const { SecurityGroups: ours = [] } = await api('DescribeSecurityGroups', {
    Filters: [inVpc, { Name: `tag:${UID_TAG}`, Values: [owner.uid] }],
  });
  if (ours.length > 0) return ours.map(securityGroupOf);
  const groupName = securityGroupName(owner.cluster, { namespace, name, uid: owner.uid });
  const { SecurityGroups: named = [] } = await api('DescribeSecurityGroups', {
    Filters: [inVpc, { Name: 'group-name', Values: [groupName] }],
  });
  return named.map(securityGroupOf);
}

export function securityGroupOf({
  GroupId,
  GroupName,
  IpPermissions,
  Tags,
}: SecurityGroup): ObservedSecurityGroup {
  return {
    id: GroupId ?? '',
    name: GroupName ?? '',
    rules: (IpPermissions ?? []).flatMap(rulesOf),
    tags: valuesOf(Tags),
  };
}

/** Rules to or from other groups are not ours, and not told. */
function rulesOf({ IpProtocol, FromPort = 0, ToPort = 0, ...sources }: IpPermission): Rule[] {
  const protocol = (['tcp', 'udp', 'icmp', 'icmpv6'] as const).find((each) => each === IpProtocol);
  if (!protocol) return [];
  const all = [
    ...(sources.IpRanges ?? []).map(({ CidrIp }) => CidrIp),
    ...(sources.Ipv6Ranges ?? []).map(({ CidrIpv6 }) => CidrIpv6),
    ...(sources.PrefixListIds ?? []).map(({ PrefixListId }) => PrefixListId),
  ];
  return all.flatMap((source) => (source ? [{ protocol, from: FromPort, to: ToPort, source }] : []));
}
