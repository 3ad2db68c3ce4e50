// ELBv2: target groups, their targets, and the health of those on the emulator's clock.
import type { Cloud, CloudTarget, CloudTargetGroup } from './cloud.ts';
import { refuse } from './fault.ts';
import { keyValues } from './load-balancers.ts';
import { pageOf } from './paging.ts';
import { number, type Params, pairs, required, structures, text, texts } from './query.ts';
import type { Answer } from './xml.ts';

const CHECK_FIELDS = [
  'HealthCheckProtocol',
  'HealthCheckPort',
  'HealthCheckPath',
  'HealthCheckIntervalSeconds',
  'HealthCheckTimeoutSeconds',
  'HealthyThresholdCount',
  'UnhealthyThresholdCount',
] as const;

export function createTargetGroup(cloud: Cloud, params: Params): Answer {
  const name = required(params, 'Name');
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/.test(name))
    refuse('ValidationError', `The target group name '${name}' is not valid`);
  const targetType = text(params, 'TargetType') ?? 'instance';
  const protocol = required(params, 'Protocol');
  const datagrams = protocol !== 'TCP' && protocol !== 'TLS';
  const made: CloudTargetGroup = {
    arn: cloud.arn(`targetgroup/${name}`),
    name,
    protocol,
    port: number(params, 'Port') ?? refuse('ValidationError', 'Port is missing'),
    vpc: required(params, 'VpcId'),
    targetType,
    addressType: text(params, 'IpAddressType') ?? 'ipv4',
    createdAt: cloud.clock.now(),
    healthCheck: readCheck(params, {
      HealthCheckProtocol: 'TCP',
      HealthCheckPort: 'traffic-port',
      HealthCheckIntervalSeconds: '30',
      HealthCheckTimeoutSeconds: '10',
      HealthyThresholdCount: '5',
      UnhealthyThresholdCount: '2',
    }),
    attributes: {
      'deregistration_delay.connection_termination.enabled': String(datagrams),
      'deregistration_delay.timeout_seconds': '300',
      'load_balancing.cross_zone.enabled': 'use_load_balancer_configuration',
      'preserve_client_ip.enabled': String(datagrams || targetType === 'instance'),
      'proxy_protocol_v2.enabled': 'false',
      'stickiness.enabled': 'false',
      'stickiness.type': 'source_ip',
      'target_group_health.dns_failover.minimum_healthy_targets.count': '1',
      'target_group_health.dns_failover.minimum_healthy_targets.percentage': 'off',
      'target_group_health.unhealthy_state_routing.minimum_healthy_targets.count': '1',
      'target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage': 'off',
      'target_health_state.unhealthy.connection_termination.enabled': 'true',
      'target_health_state.unhealthy.draining_interval_seconds': '0',
    },
    tags: pairs(params, 'Tags'),
    targets: new Map(),
  };
  const same = [...cloud.targetGroups.values()].find((each) => each.name === name);
  if (same) {
    const key = ({ protocol, port, vpc, targetType, addressType, healthCheck }: CloudTargetGroup) =>
      JSON.stringify([protocol, port, vpc, targetType, addressType, Object.entries(healthCheck).sort()]);
    if (key(same) !== key(made))
      refuse('DuplicateTargetGroupName', `A target group with the name '${name}' exists with other settings`);
    return { TargetGroups: [describe(cloud, same)] };
  }
  if (cloud.targetGroups.size >= cloud.behaviour.quotas.targetGroups)
    refuse('TooManyTargetGroups', 'The maximum number of target groups has been reached');
  cloud.targetGroups.set(made.arn, made);
  return { TargetGroups: [describe(cloud, made)] };
}

export function describeTargetGroups(cloud: Cloud, params: Params): Answer {
  const [arns, names] = [texts(params, 'TargetGroupArns'), texts(params, 'Names')];
  if (arns.length > 20 || names.length > 20)
    refuse('ValidationError', 'at most 20 target groups can be named');
  const all = [...cloud.targetGroups.values()];
  const wanted = [
    ...arns.map((arn) => find(cloud, arn)),
    ...names.map(
      (name) =>
        all.find((each) => each.name === name) ??
        refuse('TargetGroupNotFound', `Target groups '[${name}]' not found`),
    ),
  ];
  if (wanted.length > 0) return { TargetGroups: wanted.map((each) => describe(cloud, each)) };
  const balancer = text(params, 'LoadBalancerArn');
  const { page, marker } = pageOf(
    balancer ? all.filter(({ arn }) => cloud.usersOf(arn).includes(balancer)) : all,
    params,
  );
  return { TargetGroups: page.map((each) => describe(cloud, each)), NextMarker: marker };
}

export function modifyTargetGroup(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'TargetGroupArn'));
  group.healthCheck = readCheck(params, group.healthCheck);
  return { TargetGroups: [describe(cloud, group)] };
}

export function deleteTargetGroup(cloud: Cloud, params: Params): Answer {
  const arn = required(params, 'TargetGroupArn');
  if (cloud.holds(arn))
    refuse('ResourceInUse', `Target group '${arn}' is currently in use by a listener or a rule`);
  cloud.targetGroups.delete(arn);
  return {};
}

export function describeTargetGroupAttributes(cloud: Cloud, params: Params): Answer {
  return { Attributes: keyValues(find(cloud, required(params, 'TargetGroupArn')).attributes) };
}

export function modifyTargetGroupAttributes(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'TargetGroupArn'));
  const changes = pairs(params, 'Attributes');
  for (const [key, value] of Object.entries(changes)) {
    if (!Object.hasOwn(group.attributes, key))
      refuse('ValidationError', `Target group attribute key '${key}' is not recognized`);
    const datagrams = group.protocol !== 'TCP' && group.protocol !== 'TLS';
    if (key === 'preserve_client_ip.enabled' && datagrams && value === 'false')
      refuse(
        'InvalidConfigurationRequest',
        `Client IP preservation cannot be disabled for ${group.protocol}`,
      );
  }
  group.attributes = { ...group.attributes, ...changes };
  return { Attributes: keyValues(group.attributes) };
}

export function registerTargets(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'TargetGroupArn'));
  const targets = readTargets(group, params);
  for (const { id } of targets) {
    const known = group.targetType === 'ip' ? /^[0-9a-f.:]+$/.test(id) : cloud.instances.has(id);
    if (!known) refuse('InvalidTarget', `The following targets are not valid: ${id}`);
  }
  const added = targets.filter(({ id, port }) => !group.targets.has(`${id}:${port}`));
  if (group.targets.size + added.length > cloud.behaviour.quotas.targetsPerGroup)
    refuse('TooManyTargets', 'The maximum number of targets has been reached');
  for (const { id, port } of targets) {
    const before = group.targets.get(`${id}:${port}`);
    const registeredAt = before && before.drainsUntil === undefined ? before.registeredAt : cloud.clock.now();
    group.targets.set(`${id}:${port}`, { id, port, registeredAt });
  }
  return {};
}

/** A target that is not registered is no mistake. */
export function deregisterTargets(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'TargetGroupArn'));
  const delay = Number(group.attributes['deregistration_delay.timeout_seconds']) * 1000;
  for (const { id, port } of readTargets(group, params)) {
    const target = group.targets.get(`${id}:${port}`);
    if (!target || target.drainsUntil !== undefined) continue;
    if (cloud.usersOf(group.arn).length === 0) group.targets.delete(`${id}:${port}`);
    else target.drainsUntil = cloud.clock.now() + delay;
  }
  return {};
}

export function describeTargetHealth(cloud: Cloud, params: Params): Answer {
  const group = find(cloud, required(params, 'TargetGroupArn'));
  const now = cloud.clock.now();
  for (const [key, { drainsUntil = Number.POSITIVE_INFINITY }] of group.targets)
    if (drainsUntil <= now) group.targets.delete(key);
  const asked = structures(params, 'Targets');
  const targets =
    asked.length > 0
      ? readTargets(group, params).map(({ id, port }) => group.targets.get(`${id}:${port}`) ?? { id, port })
      : [...group.targets.values()];
  return {
    TargetHealthDescriptions: targets.map((target) => ({
      Target: { Id: target.id, Port: target.port },
      HealthCheckPort: group.healthCheck.HealthCheckPort,
      TargetHealth: healthOf(cloud, group, target),
    })),
  };
}

function healthOf(
  cloud: Cloud,
  group: CloudTargetGroup,
  target: CloudTarget | { readonly id: string; readonly port: number },
): Answer {
  if (!('registeredAt' in target)) return { State: 'unused', Reason: 'Target.NotRegistered' };
  const { id, port, registeredAt, drainsUntil } = target;
  if (drainsUntil !== undefined) return { State: 'draining', Reason: 'Target.DeregistrationInProgress' };
  if (cloud.usersOf(group.arn).length === 0) return { State: 'unused', Reason: 'Target.NotInUse' };
  if (cloud.clock.now() < registeredAt + cloud.behaviour.registration)
    return { State: 'initial', Reason: 'Elb.RegistrationInProgress' };
  const healthy = cloud.behaviour.isHealthy(id, port, group);
  if (healthy === undefined) return { State: 'initial', Reason: 'Elb.InitialHealthChecking' };
  return healthy ? { State: 'healthy' } : { State: 'unhealthy', Reason: 'Target.FailedHealthChecks' };
}

export function find(cloud: Cloud, arn: string): CloudTargetGroup {
  return cloud.targetGroups.get(arn) ?? refuse('TargetGroupNotFound', `Target group '${arn}' not found`);
}

function readTargets({ port }: CloudTargetGroup, params: Params): { id: string; port: number }[] {
  return structures(params, 'Targets').map((each) => ({
    id: required(each, 'Id'),
    port: number(each, 'Port') ?? port,
  }));
}

function readCheck(params: Params, before: Readonly<Record<string, string>>): Record<string, string> {
  const check: Record<string, string> = { ...before };
  for (const field of CHECK_FIELDS) {
    const value = text(params, field);
    if (value !== undefined) check[field] = value;
  }
  const { Matcher: matcher } = params;
  if (typeof matcher === 'object' && 'HttpCode' in matcher) check.HttpCode = String(matcher.HttpCode);
  if (check.HealthCheckProtocol === 'TCP') {
    delete check.HealthCheckPath;
    delete check.HttpCode;
  }
  const [interval, timeout] = [
    Number(check.HealthCheckIntervalSeconds),
    Number(check.HealthCheckTimeoutSeconds),
  ];
  if (interval < 5 || interval > 300)
    refuse('ValidationError', 'Health check interval must be between 5 and 300');
  if (timeout < 2 || timeout > 120 || timeout > interval)
    refuse(
      'ValidationError',
      'Health check timeout must be between 2 and 120, and not longer than the interval',
    );
  return check;
}

function describe(cloud: Cloud, group: CloudTargetGroup): Answer {
  const { HttpCode: code, ...check } = group.healthCheck;
  return {
    TargetGroupArn: group.arn,
    TargetGroupName: group.name,
    Protocol: group.protocol,
    Port: group.port,
    VpcId: group.vpc,
    TargetType: group.targetType,
    IpAddressType: group.addressType,
    HealthCheckEnabled: true,
    ...check,
    Matcher: code ? { HttpCode: code } : undefined,
    LoadBalancerArns: cloud.usersOf(group.arn),
  };
}
