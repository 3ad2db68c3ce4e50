// The way from load balancers to nodes and pods: one security group that all load balancers of a cluster bear, and
// rules in the groups of the targets that let it in. All Services share those rules, a range of ports for a group and
// protocol, for a group has room for few. Passes only widen them; the account's watch narrows them.
import type { ListenerRequest } from '../../api/aws-ports.ts';
import type { DesiredBackend, Rule, Target } from './model.ts';
import type { ObservedNodeGroup, ObservedState } from './observed.ts';
import type { Step } from './step.ts';

/** Marks rules in the groups of targets as ours: those of others, the AWS controller's too, are left alone. */
export const RULE_DESCRIPTION = 'fairlead.dev/targets';

type Port = DesiredBackend['ports'][number];

/** Where a load balancer sends traffic and health checks (those of UDP are TCP). */
export function backendPorts(
  listeners: readonly ListenerRequest[],
  targets: ReadonlyMap<number, readonly Target[]>,
): Port[] {
  const ports = new Map<string, Port>();
  for (const { port: key, targetProtocol, healthCheck } of listeners) {
    const add = (protocol: Port['protocol'], port: number) =>
      ports.set(`${protocol} ${port}`, { protocol, port });
    for (const { port } of targets.get(key) ?? []) {
      const stream = targetProtocol === 'TCP' || targetProtocol === 'TLS';
      if (stream || targetProtocol.startsWith('TCP_')) add('tcp', port);
      if (!stream) add('udp', port);
      add('tcp', healthCheck.port === 'traffic-port' ? port : Number(healthCheck.port));
    }
  }
  return [...ports.values()].sort((a, b) => a.protocol.localeCompare(b.protocol) || a.port - b.port);
}

/** What lets the load balancer in where it is not let in yet, beside what others need. */
export function wideningSteps(
  backend: DesiredBackend | undefined,
  { backend: group, nodeGroups = [] }: ObservedState,
): Step[] {
  if (!backend) return [];
  const { name, vpc, tags, ports, groups } = backend;
  const create: Step = { kind: 'createSecurityGroup', group: { name, vpc, rules: [], tags } };
  return [
    ...(group ? [] : [create]),
    ...groups.flatMap((id): Step[] => {
      const there = nodeGroups.find((each) => each.id === id)?.rules ?? [];
      const rules = protocolsOf(ports).flatMap((protocol) => widened(name, protocol, ports, there));
      return rules.length > 0 ? [{ kind: 'allow', group: id, rules }] : [];
    }),
  ];
}

function widened(
  name: string,
  protocol: Port['protocol'],
  ports: readonly Port[],
  there: ObservedNodeGroup['rules'],
): Rule[] {
  const wanted = ports.filter((each) => each.protocol === protocol).map(({ port }) => port);
  const has = there.filter((each) => each.protocol === protocol);
  if (wanted.every((port) => has.some(({ from, to }) => from <= port && port <= to))) return [];
  const all = [...wanted, ...has.filter(({ ours }) => ours).flatMap(({ from, to }) => [from, to])];
  return [{ protocol, from: Math.min(...all), to: Math.max(...all), source: groupSource(name) }];
}

/**
 * What makes the rules of the groups of targets as narrow as they can be. `backends`: of all Services that there are.
 * Nobody is shut out in between.
 */
export function narrowingSteps(
  name: string,
  backends: readonly DesiredBackend[],
  nodeGroups: readonly ObservedNodeGroup[],
): Step[] {
  return nodeGroups.flatMap(({ id, rules }): Step[] => {
    const ports = backends.filter(({ groups }) => groups.includes(id)).flatMap((each) => each.ports);
    const wanted = protocolsOf(ports).map((protocol): Rule => {
      const numbers = ports.filter((each) => each.protocol === protocol).map(({ port }) => port);
      return { protocol, from: Math.min(...numbers), to: Math.max(...numbers), source: groupSource(name) };
    });
    const ours = rules.filter((each) => each.ours);
    const isIn = (rule: Same, all: readonly Same[]) => all.some((each) => sameRange(each, rule));
    const missing = wanted.filter((rule) => !isIn(rule, ours));
    const extra = ours
      .filter((rule) => !isIn(rule, wanted))
      .map(({ protocol, from, to }): Rule => ({ protocol, from, to, source: groupSource(name) }));
    return [
      ...(missing.length > 0 ? [{ kind: 'allow', group: id, rules: missing } as const] : []),
      ...(extra.length > 0 ? [{ kind: 'revoke', group: id, rules: extra } as const] : []),
    ];
  });
}

type Same = Pick<Rule, 'protocol' | 'from' | 'to'>;

function sameRange(a: Same, b: Same): boolean {
  return a.protocol === b.protocol && a.from === b.from && a.to === b.to;
}

function protocolsOf(ports: readonly Port[]): Port['protocol'][] {
  return [...new Set(ports.map(({ protocol }) => protocol))];
}

const GROUP = 'group:';

/** A rule's source that is a security group, by its name. */
function groupSource(name: string): string {
  return `${GROUP}${name}`;
}

/** Undefined: a range or a prefix list. */
export function groupOf(source: string): string | undefined {
  return source.startsWith(GROUP) ? source.slice(GROUP.length) : undefined;
}
