// What is there after a pass that did all that it meant to, without another look; so that the next change, such as a
// node that comes, costs its writes and no reads.
import type { Directory } from './execute.ts';
import type { Attributes, DesiredListener, DesiredState, DesiredTargetGroup } from './model.ts';
import type {
  ObservedListener,
  ObservedLoadBalancer,
  ObservedSecurityGroup,
  ObservedState,
  ObservedTargetGroup,
  Values,
} from './observed.ts';

export interface Made {
  readonly name: string;
  readonly hostname: string;
  /** Where it was there before. */
  readonly current: ObservedLoadBalancer | undefined;
  /** Names, by the port of the listener. */
  readonly targetGroups: ReadonlyMap<number, string>;
  readonly directory: Directory;
}

export function believe(desired: DesiredState, made: Made): ObservedState {
  const { name, hostname, current, targetGroups, directory } = made;
  const { loadBalancer, securityGroup, listeners } = desired;
  const arn = directory.get({ kind: 'loadBalancer', name });
  const bare = current?.groups.length === 0;
  const group = bare ? undefined : securityGroup;
  const groupId = group && directory.get({ kind: 'securityGroup', name: group.name });
  const { backendGroup } = loadBalancer;
  const backendId =
    backendGroup === undefined || bare
      ? undefined
      : directory.get({ kind: 'securityGroup', name: backendGroup });
  const ids = (id: string | undefined) => (id === undefined ? [] : [id]);
  const idOf = (port: number) => directory.get({ kind: 'targetGroup', name: targetGroups.get(port) ?? '' });
  return {
    loadBalancers: [
      {
        arn,
        name,
        hostname,
        type: 'network',
        state: 'active',
        scheme: loadBalancer.scheme,
        addressType: loadBalancer.addressType,
        sourceNat: loadBalancer.sourceNat,
        mappings: loadBalancer.mappings.map((wanted) => {
          const there = current?.mappings.find(({ subnet }) => subnet === wanted.subnet);
          return there ?? wanted;
        }),
        groups: bare
          ? []
          : [
              ...(loadBalancer.groups.kind === 'ids' ? loadBalancer.groups.ids : ids(groupId)),
              ...ids(backendId),
            ],
        ...(loadBalancer.privateLinkRules ? { privateLinkRules: loadBalancer.privateLinkRules } : {}),
        attributes: valuesOf(loadBalancer.attributes),
        tags: loadBalancer.tags,
        listeners: listeners.map((each) =>
          listenerOf(
            each,
            directory.get({ kind: 'listener', loadBalancer: name, port: each.port }),
            idOf(each.port),
          ),
        ),
      },
    ],
    targetGroups: desired.targetGroups.map((each) =>
      targetGroupOf(each, targetGroups.get(each.port) ?? '', idOf(each.port), arn),
    ),
    securityGroups: group && groupId ? [securityGroupOf(group, groupId)] : [],
  };
}

/** As the plan compares them: what the user named, over what AWS has by itself. */
export function valuesOf({ named, fallbacks }: Attributes): Values {
  return { ...fallbacks, ...named };
}

export function listenerOf(wanted: DesiredListener, arn: string, targetGroupArn: string): ObservedListener {
  const [standard, ...extra] = wanted.certificates;
  return {
    arn,
    port: wanted.port,
    protocol: wanted.protocol,
    targetGroupArn,
    ...(standard ? { defaultCertificate: standard } : {}),
    extraCertificates: extra,
    ...(wanted.sslPolicy ? { sslPolicy: wanted.sslPolicy } : {}),
    ...(wanted.alpnPolicy ? { alpnPolicy: wanted.alpnPolicy } : {}),
    attributes: valuesOf(wanted.attributes),
    tags: wanted.tags,
  };
}

function targetGroupOf(
  wanted: DesiredTargetGroup,
  name: string,
  arn: string,
  loadBalancer: string,
): ObservedTargetGroup {
  const { protocol, targetType, addressType, healthCheck, tags } = wanted;
  return {
    arn,
    name,
    protocol,
    targetType,
    addressType,
    loadBalancers: [loadBalancer],
    healthCheck,
    attributes: valuesOf(wanted.attributes),
    tags,
    targets: assumedTargets(wanted),
  };
}

/** Registered, in whatever health. */
export function assumedTargets({ targets }: DesiredTargetGroup): ObservedTargetGroup['targets'] {
  return targets.map(({ id, port }) => ({ id, port, state: '' }));
}

function securityGroupOf(
  { name, rules, tags }: NonNullable<DesiredState['securityGroup']>,
  id: string,
): ObservedSecurityGroup {
  return { id, name, rules, tags };
}
