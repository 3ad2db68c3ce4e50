// Does one step against AWS. What is done already counts as done: a step may have taken effect before a process died
// or an answer was lost.
import type { IpPermission } from '@aws-sdk/client-ec2';
import type { HealthCheck } from '../../api/aws-ports.ts';
import type { AwsApi } from './aws-api.ts';
import { groupOf, RULE_DESCRIPTION } from './backend.ts';
import type { DesiredListener, GroupsWanted, Rule, SubnetMapping } from './model.ts';
import { readTags } from './observe.ts';
import type { ObservedState, Values } from './observed.ts';
import { type Owner, ownershipOf, type Tags, UID_TAG } from './ownership.ts';
import type { Step, Subject } from './step.ts';

/** RegisterTargets and DeregisterTargets take more, and fail as a whole. */
const TARGETS_AT_ONCE = 200;

/** Another's object was in the way after all. */
class NameTakenError extends Error {
  override readonly name = 'DuplicateName';
}

class DeletionProtectedError extends Error {
  override readonly name = 'DeletionProtected';
}

/** ARNs and ids by name: what was observed, and what the steps made since. */
export class Directory {
  readonly #ids = new Map<string, string>();

  constructor(
    { loadBalancers, targetGroups, securityGroups, backend }: ObservedState,
    nodeGroups: readonly string[] = [],
  ) {
    for (const { name, arn, listeners } of loadBalancers) {
      this.#ids.set(`loadBalancer ${name}`, arn);
      for (const each of listeners) this.#ids.set(`listener ${name}:${each.port}`, each.arn);
    }
    for (const { name, arn } of targetGroups) this.#ids.set(`targetGroup ${name}`, arn);
    for (const { name, id } of securityGroups) this.#ids.set(`securityGroup ${name}`, id);
    if (backend) this.#ids.set(`securityGroup ${backend.name}`, backend.id);
    // Groups of targets are known by their ids alone.
    for (const id of nodeGroups) this.#ids.set(`securityGroup ${id}`, id);
  }

  get(subject: Subject): string {
    const found = this.#ids.get(keyOf(subject));
    if (found === undefined) throw new Error(`a step names the unknown ${keyOf(subject)}`);
    return found;
  }

  set(subject: Subject, id: string | undefined): void {
    if (id) this.#ids.set(keyOf(subject), id);
  }
}

function keyOf(subject: Subject): string {
  return subject.kind === 'listener'
    ? `listener ${subject.loadBalancer}:${subject.port}`
    : `${subject.kind} ${subject.name}`;
}

export async function execute(api: AwsApi, step: Step, directory: Directory, owner: Owner): Promise<void> {
  const balancer = (name: string) => directory.get({ kind: 'loadBalancer', name });
  const target = (name: string) => directory.get({ kind: 'targetGroup', name });
  const group = (name: string) => directory.get({ kind: 'securityGroup', name });
  const listener = (loadBalancer: string, port: number) =>
    directory.get({ kind: 'listener', loadBalancer, port });
  switch (step.kind) {
    case 'createSecurityGroup':
      return createSecurityGroup(api, step, directory);
    case 'allow':
      await unless(/^InvalidPermission\.Duplicate$/, () =>
        api('AuthorizeSecurityGroupIngress', {
          GroupId: group(step.group),
          IpPermissions: permissions(step.rules, group),
        }),
      );
      return;
    case 'revoke':
      await unless(/^InvalidPermission\.NotFound$/, () =>
        api('RevokeSecurityGroupIngress', {
          GroupId: group(step.group),
          IpPermissions: permissions(step.rules, group),
        }),
      );
      return;
    case 'deleteSecurityGroup':
      await unless(/^InvalidGroup\.NotFound$/, () =>
        api('DeleteSecurityGroup', { GroupId: group(step.group) }),
      );
      return;
    case 'createTargetGroup': {
      const { name, targetGroup } = step;
      const { TargetGroups: [made] = [] } = await api('CreateTargetGroup', {
        Name: name,
        Protocol: targetGroup.protocol,
        Port: targetGroup.targetPort,
        VpcId: targetGroup.vpc,
        TargetType: targetGroup.targetType,
        IpAddressType: targetGroup.addressType,
        ...healthCheck(targetGroup.healthCheck),
        Tags: pairs(targetGroup.tags),
      });
      directory.set({ kind: 'targetGroup', name }, made?.TargetGroupArn);
      return;
    }
    case 'modifyHealthCheck':
      await api('ModifyTargetGroup', {
        TargetGroupArn: target(step.targetGroup),
        ...healthCheck(step.healthCheck),
      });
      return;
    case 'register':
    case 'deregister': {
      const action = step.kind === 'register' ? 'RegisterTargets' : 'DeregisterTargets';
      for (const part of chunks(step.targets)) {
        const Targets = part.map(({ id, port, zone }) => ({
          Id: id,
          Port: port,
          ...(zone ? { AvailabilityZone: zone } : {}),
        }));
        await api(action, { TargetGroupArn: target(step.targetGroup), Targets });
      }
      return;
    }
    case 'deleteTargetGroup':
      await unless(/^TargetGroupNotFound/, () =>
        api('DeleteTargetGroup', { TargetGroupArn: target(step.targetGroup) }),
      );
      return;
    case 'createLoadBalancer': {
      const { loadBalancer: wanted } = step;
      const groups = groupIds(wanted.groups, [step.group, wanted.backendGroup], directory);
      const { LoadBalancers: [made] = [] } = await api('CreateLoadBalancer', {
        Name: wanted.name,
        Type: 'network',
        Scheme: wanted.scheme,
        IpAddressType: wanted.addressType,
        ...(wanted.sourceNat ? { EnablePrefixForIpv6SourceNat: 'on' } : {}),
        SubnetMappings: subnetMappings(wanted.mappings),
        ...(groups.length > 0 ? { SecurityGroups: groups } : {}),
        Tags: pairs(wanted.tags),
      });
      const arn = made?.LoadBalancerArn ?? '';
      await checkOwner(api, wanted.name, arn, owner);
      directory.set({ kind: 'loadBalancer', name: wanted.name }, arn);
      return;
    }
    case 'setSubnets':
      await api('SetSubnets', {
        LoadBalancerArn: balancer(step.loadBalancer),
        SubnetMappings: subnetMappings(step.mappings),
        IpAddressType: step.addressType,
        EnablePrefixForIpv6SourceNat: step.sourceNat ? 'on' : 'off',
      });
      return;
    case 'setAddressType':
      await api('SetIpAddressType', {
        LoadBalancerArn: balancer(step.loadBalancer),
        IpAddressType: step.addressType,
      });
      return;
    case 'setSecurityGroups':
      await api('SetSecurityGroups', {
        LoadBalancerArn: balancer(step.loadBalancer),
        SecurityGroups: groupIds(step.groups, [step.group, step.backendGroup], directory),
        ...(step.privateLinkRules
          ? { EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: step.privateLinkRules }
          : {}),
      });
      return;
    case 'deleteLoadBalancer':
      return deleteLoadBalancer(api, step.loadBalancer, balancer(step.loadBalancer));
    case 'createListener': {
      const { loadBalancer, listener: wanted, targetGroup } = step;
      const { Listeners: [made] = [] } = await api('CreateListener', {
        LoadBalancerArn: balancer(loadBalancer),
        Port: wanted.port,
        ...listenerSettings(wanted, target(targetGroup)),
        Tags: pairs(wanted.tags),
      });
      directory.set({ kind: 'listener', loadBalancer, port: wanted.port }, made?.ListenerArn);
      return;
    }
    case 'modifyListener':
      await api('ModifyListener', {
        ListenerArn: listener(step.loadBalancer, step.listener.port),
        ...listenerSettings(step.listener, target(step.targetGroup)),
      });
      return;
    case 'addCertificates':
    case 'removeCertificates':
      await api(step.kind === 'addCertificates' ? 'AddListenerCertificates' : 'RemoveListenerCertificates', {
        ListenerArn: listener(step.loadBalancer, step.port),
        Certificates: step.certificates.map((CertificateArn) => ({ CertificateArn })),
      });
      return;
    case 'deleteListener':
      await unless(/^ListenerNotFound/, () =>
        api('DeleteListener', { ListenerArn: listener(step.loadBalancer, step.port) }),
      );
      return;
    case 'setAttributes':
      return setAttributes(api, step.subject, directory.get(step.subject), step.attributes);
    case 'addTags': {
      const id = directory.get(step.subject);
      if (step.subject.kind === 'securityGroup')
        await api('CreateTags', { Resources: [id], Tags: pairs(step.tags) });
      else await api('AddTags', { ResourceArns: [id], Tags: pairs(step.tags) });
      return;
    }
    case 'removeTags': {
      const id = directory.get(step.subject);
      if (step.subject.kind === 'securityGroup')
        await api('DeleteTags', { Resources: [id], Tags: step.keys.map((Key) => ({ Key })) });
      else await api('RemoveTags', { ResourceArns: [id], TagKeys: [...step.keys] });
      return;
    }
  }
}

/** The call, or nothing where its error says that its effect is there already. */
async function unless(codes: RegExp, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof Error && codes.test(error.name))) throw error;
  }
}

async function deleteLoadBalancer(api: AwsApi, name: string, LoadBalancerArn: string): Promise<void> {
  try {
    await unless(/^LoadBalancerNotFound/, () => api('DeleteLoadBalancer', { LoadBalancerArn }));
  } catch (error) {
    if (!(error instanceof Error && /^OperationNotPermitted/.test(error.name))) throw error;
    throw new DeletionProtectedError(`the load balancer ${name} is protected from deletion`);
  }
}

async function createSecurityGroup(
  api: AwsApi,
  { group }: Extract<Step, { kind: 'createSecurityGroup' }>,
  directory: Directory,
): Promise<void> {
  const { name, vpc, tags } = group;
  try {
    const { GroupId } = await api('CreateSecurityGroup', {
      GroupName: name,
      Description: '[k8s] Managed SecurityGroup for LoadBalancer',
      VpcId: vpc,
      TagSpecifications: [{ ResourceType: 'security-group', Tags: pairs(tags) }],
    });
    directory.set({ kind: 'securityGroup', name }, GroupId);
  } catch (error) {
    const isThere = error instanceof Error && error.name === 'InvalidGroup.Duplicate';
    if (!isThere || tags[UID_TAG] !== undefined) throw error;
    // What all Services share another of them made meanwhile.
    const { SecurityGroups: [found] = [] } = await api('DescribeSecurityGroups', {
      Filters: [
        { Name: 'vpc-id', Values: [vpc] },
        { Name: 'group-name', Values: [name] },
      ],
    });
    if (!found) throw error;
    directory.set({ kind: 'securityGroup', name }, found.GroupId);
  }
}

async function setAttributes(api: AwsApi, { kind }: Subject, id: string, values: Values): Promise<void> {
  const Attributes = pairs(values);
  if (kind === 'loadBalancer') await api('ModifyLoadBalancerAttributes', { LoadBalancerArn: id, Attributes });
  else if (kind === 'targetGroup')
    await api('ModifyTargetGroupAttributes', { TargetGroupArn: id, Attributes });
  else await api('ModifyListenerAttributes', { ListenerArn: id, Attributes });
}

function groupIds(
  groups: GroupsWanted,
  names: readonly (string | undefined)[],
  directory: Directory,
): string[] {
  const given = groups.kind === 'ids' ? groups.ids : [];
  return [
    ...given,
    ...names.flatMap((name) => (name === undefined ? [] : [directory.get({ kind: 'securityGroup', name })])),
  ];
}

function listenerSettings(
  { protocol, certificates, sslPolicy, alpnPolicy }: DesiredListener,
  TargetGroupArn: string,
) {
  const [standard] = certificates;
  return {
    Protocol: protocol,
    DefaultActions: [{ Type: 'forward' as const, TargetGroupArn }],
    ...(standard ? { Certificates: [{ CertificateArn: standard }] } : {}),
    ...(sslPolicy ? { SslPolicy: sslPolicy } : {}),
    ...(protocol === 'TLS' ? { AlpnPolicy: [alpnPolicy ?? 'None'] } : {}),
  };
}

function healthCheck({ protocol, port, path, matcher, ...rest }: HealthCheck) {
  return {
    HealthCheckEnabled: true,
    HealthCheckProtocol: protocol,
    HealthCheckPort: port,
    HealthCheckIntervalSeconds: rest.interval,
    HealthCheckTimeoutSeconds: rest.timeout,
    HealthyThresholdCount: rest.healthyThreshold,
    UnhealthyThresholdCount: rest.unhealthyThreshold,
    ...(path === undefined ? {} : { HealthCheckPath: path }),
    ...(matcher === undefined ? {} : { Matcher: { HttpCode: matcher } }),
  };
}

function subnetMappings(mappings: readonly SubnetMapping[]) {
  return mappings.map(({ subnet, allocation, privateAddress, ipv6Address, sourceNatPrefix }) => ({
    SubnetId: subnet,
    ...(allocation ? { AllocationId: allocation } : {}),
    ...(privateAddress ? { PrivateIPv4Address: privateAddress } : {}),
    ...(ipv6Address ? { IPv6Address: ipv6Address } : {}),
    ...(sourceNatPrefix ? { SourceNatIpv6Prefix: sourceNatPrefix } : {}),
  }));
}

function permissions(rules: readonly Rule[], idOf: (group: string) => string): IpPermission[] {
  return rules.map(({ protocol, from, to, source }) => ({
    IpProtocol: protocol,
    FromPort: from,
    ToPort: to,
    ...sourceOf(source, idOf),
  }));
}

function sourceOf(source: string, idOf: (group: string) => string): IpPermission {
  const group = groupOf(source);
  if (group !== undefined)
    return { UserIdGroupPairs: [{ GroupId: idOf(group), Description: RULE_DESCRIPTION }] };
  if (source.startsWith('pl-')) return { PrefixListIds: [{ PrefixListId: source }] };
  return source.includes(':') ? { Ipv6Ranges: [{ CidrIpv6: source }] } : { IpRanges: [{ CidrIp: source }] };
}

function pairs(values: Tags): { Key: string; Value: string }[] {
  return Object.entries(values).map(([Key, Value]) => ({ Key, Value }));
}

/**
 * AWS answers a create of equal settings with the load balancer that is there, whoever made it. A name that holds the
 * Service's UID cannot be another's.
 */
async function checkOwner(api: AwsApi, name: string, arn: string, owner: Owner): Promise<void> {
  if (name.startsWith('k8s-')) return;
  const tags = (await readTags(api, [arn])).get(arn) ?? {};
  // What was just made may have no tags yet where they are asked for.
  if (Object.keys(tags).length > 0 && ownershipOf(tags, owner) !== 'ours')
    throw new NameTakenError(`${name} exists in AWS, and does not belong to this Service`);
}

function* chunks<T>(all: readonly T[]): Generator<T[]> {
  for (let i = 0; i < all.length; i += TARGETS_AT_ONCE) yield all.slice(i, i + TARGETS_AT_ONCE);
}
