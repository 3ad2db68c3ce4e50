// From what is there to what should be there: typed steps in an order in which traffic goes on. A pure function;
// whatever part of its steps was done, the next plan from what is then there leads to the same end.
import { wideningSteps } from './backend.ts';
import { attributeSteps, isRegistered, ruleKey, tagSteps, targetKey, without } from './differences.ts';
import type { DesiredListener, DesiredState, DesiredTargetGroup } from './model.ts';
import type {
  ObservedListener,
  ObservedLoadBalancer,
  ObservedState,
  ObservedTargetGroup,
} from './observed.ts';
import { type Owner, type Ownership, ownershipOf, RESOURCE_TAG, type Tags } from './ownership.ts';
import { changeLoadBalancer } from './plan-load-balancer.ts';
import type { Step } from './step.ts';

export type Plan =
  | {
      readonly kind: 'steps';
      readonly steps: readonly Step[];
      /** What the user asked for and cannot have on this load balancer; sentences. */
      readonly notes: readonly string[];
      /** Whether an older load balancer is left, and goes as soon as the new one is active and published. */
      readonly replacing: boolean;
      /** The target group of each listener, by port. */
      readonly targetGroups: ReadonlyMap<number, string>;
    }
  /** Nothing is written. */
  | { readonly kind: 'conflict'; readonly reason: ConflictReason; readonly message: string };

export type ConflictReason = 'NameTaken' | 'NameInUse';

/**
 * `published`: host names that the Service's status shows. An older load balancer stays until clients can find the
 * new one there.
 */
export function plan(desired: DesiredState, observed: ObservedState, published: readonly string[]): Plan {
  const conflict = nameConflict(desired, observed);
  if (conflict) return conflict;
  const mine = keepMine(observed, ({ tags }) => isMine(desired, tags));
  // One that failed serves nobody, and its name and target groups are needed: it goes before anything else.
  const failed = mine.loadBalancers.filter(({ state }) => state === 'failed');
  if (failed.length > 0)
    return {
      kind: 'steps',
      steps: removeLoadBalancers(failed),
      notes: [],
      replacing: true,
      targetGroups: new Map(),
    };
  const current = mine.loadBalancers.find(
    ({ type, scheme }) => type === 'network' && scheme === desired.loadBalancer.scheme,
  );
  const older = mine.loadBalancers.filter((each) => each !== current);
  const inTheWay = older.find(({ name }) => !current && name === desired.loadBalancer.name);
  if (inTheWay) return inUse(inTheWay, desired);

  const bare = current !== undefined && current.groups.length === 0;
  const group = desired.loadBalancer.groups.kind === 'managed' && !bare ? desired.securityGroup : undefined;
  const matches = matchTargetGroups(desired, observed, mine, current);
  const kept = new Set([...matches.values()].map(({ there }) => there?.arn));
  const staleGroups = mine.targetGroups.filter(({ arn }) => !kept.has(arn));
  const { early, late } = splitStale(staleGroups, current, desired.listeners);
  const change = changeLoadBalancer(
    desired,
    current,
    mine.securityGroups.find(({ name }) => name === group?.name),
    observed.backend?.id,
  );
  const name = current?.name ?? desired.loadBalancer.name;
  const mayRetire = current?.state.startsWith('active') && published.includes(current.hostname);
  const olderArns = new Set(older.map(({ arn }) => arn));
  const replaced = late.filter(({ loadBalancers }) => loadBalancers.some((arn) => olderArns.has(arn)));
  // A load balancer without groups bears none besides.
  const backend = bare ? undefined : desired.backend;
  const steps: Step[] = [
    ...staleListeners(current, desired.listeners),
    ...early.map(deleteTargetGroup),
    ...groupSteps(group, mine),
    ...wideningSteps(backend, observed),
    ...desired.targetGroups.flatMap((wanted) => targetGroupSteps(wanted, matches.get(wanted.port))),
    ...change.steps,
    ...desired.listeners.flatMap((wanted) => listenerSteps(name, wanted, current, matches.get(wanted.port))),
    ...desired.targetGroups.flatMap((wanted) => deregisterSteps(wanted, matches.get(wanted.port))),
    ...late.filter((each) => !replaced.includes(each)).map(deleteTargetGroup),
    ...(mayRetire ? [...removeLoadBalancers(older), ...replaced.map(deleteTargetGroup)] : []),
    ...(older.length > 0 && !mayRetire
      ? []
      : mine.securityGroups
          .filter((each) => each.name !== group?.name)
          .map((each): Step => ({ kind: 'deleteSecurityGroup', group: each.name }))),
  ];
  return {
    kind: 'steps',
    steps,
    notes: change.notes,
    replacing: older.length > 0 && !mayRetire,
    targetGroups: new Map([...matches].map(([port, match]) => [port, match.name])),
  };
}

/** Everything of the Service goes, and nothing else. */
export function planRemoval(
  owner: Owner,
  observed: ObservedState,
): Extract<Plan, { readonly kind: 'steps' }> {
  const mine = keepMine(observed, ({ tags }) => ownershipOf(tags, owner) === 'ours');
  const steps: Step[] = [
    ...mine.loadBalancers.map(({ name }): Step => ({ kind: 'deleteLoadBalancer', loadBalancer: name })),
    ...mine.targetGroups.map(deleteTargetGroup),
    ...mine.securityGroups.map(({ name }): Step => ({ kind: 'deleteSecurityGroup', group: name })),
  ];
  return { kind: 'steps', steps, notes: [], replacing: false, targetGroups: new Map() };
}

function keepMine(observed: ObservedState, isOne: (each: { readonly tags: Tags }) => boolean): ObservedState {
  return {
    loadBalancers: observed.loadBalancers.filter(isOne),
    targetGroups: observed.targetGroups.filter(isOne),
    securityGroups: observed.securityGroups.filter(isOne),
  };
}

function isMine({ owner, adopt }: DesiredState, tags: Tags): boolean {
  const ownership: Ownership = ownershipOf(tags, owner);
  return ownership === 'ours' || (adopt && ownership === 'adoptable');
}

/** A load balancer or security group of somebody else under our name is never touched, and nothing is made beside it. */
function nameConflict(desired: DesiredState, observed: ObservedState): Plan | undefined {
  const { loadBalancer, securityGroup, owner } = desired;
  const candidates = [
    ...observed.loadBalancers.filter(({ name }) => name === loadBalancer.name),
    ...observed.securityGroups.filter(({ name }) => name === securityGroup?.name),
    ...observed.loadBalancers.filter(({ tags }) => ownershipOf(tags, owner) === 'adoptable'),
  ];
  const foreign = candidates.find(({ tags }) => !isMine(desired, tags));
  if (!foreign) return undefined;
  const adoptable = ownershipOf(foreign.tags, owner) === 'adoptable';
  const mend = adoptable
    ? 'it was made for this Service by another controller; stop that one, then write the annotation fairlead.dev/adopt-load-balancer: "true" to take it over'
    : 'it does not belong to this Service, and is left alone; choose another name (aws-load-balancer-name), or remove it';
  return { kind: 'conflict', reason: 'NameTaken', message: `${foreign.name} exists in AWS: ${mend}` };
}

function inUse({ name, scheme }: ObservedLoadBalancer, desired: DesiredState): Plan {
  const message = `the load balancer ${name} is ${scheme}, and one that is ${desired.loadBalancer.scheme} has to be made before it goes; write another aws-load-balancer-name too, or none`;
  return { kind: 'conflict', reason: 'NameInUse', message };
}

interface Match {
  readonly there: ObservedTargetGroup | undefined;
  readonly name: string;
}

/** By listener port: the group that serves on, or the name of the one to make. */
function matchTargetGroups(
  desired: DesiredState,
  observed: ObservedState,
  mine: ObservedState,
  current: ObservedLoadBalancer | undefined,
): Map<number, Match> {
  const matches = new Map<number, Match>();
  for (const wanted of desired.targetGroups) {
    const usable = mine.targetGroups.filter(
      (each) =>
        (each.tags[RESOURCE_TAG] === wanted.resource || wanted.names.includes(each.name)) &&
        each.targetType === wanted.targetType &&
        each.protocol === wanted.protocol &&
        each.addressType === wanted.addressType &&
        each.loadBalancers.every((arn) => arn === current?.arn) &&
        ![...matches.values()].some(({ there }) => there === each),
    );
    const serving = current?.listeners.find(({ port }) => port === wanted.port)?.targetGroupArn;
    const there = usable.find(({ arn }) => arn === serving) ?? usable[0];
    const taken = new Set(observed.targetGroups.map(({ name }) => name));
    const free = wanted.names.find((name) => !taken.has(name)) ?? wanted.names[0] ?? '';
    matches.set(wanted.port, { there, name: there?.name ?? free });
  }
  return matches;
}

/** What no listener will need before the new ones are made, and what only goes after. */
function splitStale(
  stale: readonly ObservedTargetGroup[],
  current: ObservedLoadBalancer | undefined,
  wanted: readonly DesiredListener[],
): { readonly early: ObservedTargetGroup[]; readonly late: ObservedTargetGroup[] } {
  const staying = (current?.listeners ?? []).filter(({ port }) => wanted.some((each) => each.port === port));
  const unclear = staying.some(({ targetGroupArn }) => targetGroupArn === undefined);
  const needed = new Set(staying.map(({ targetGroupArn }) => targetGroupArn));
  const isLate = ({ arn, loadBalancers }: ObservedTargetGroup) =>
    needed.has(arn) || loadBalancers.some((each) => unclear || each !== current?.arn);
  return { early: stale.filter((each) => !isLate(each)), late: stale.filter(isLate) };
}

function staleListeners(
  current: ObservedLoadBalancer | undefined,
  wanted: readonly DesiredListener[],
): Step[] {
  if (!current) return [];
  return without(current.listeners, wanted, portKey, portKey).map(({ port }) => {
    return { kind: 'deleteListener', loadBalancer: current.name, port };
  });
}

function portKey({ port }: { readonly port: number }): string {
  return String(port);
}

function deleteTargetGroup({ name }: ObservedTargetGroup): Step {
  return { kind: 'deleteTargetGroup', targetGroup: name };
}

/** Protection that the user no longer asks for must not keep an older load balancer alive. */
function removeLoadBalancers(older: readonly ObservedLoadBalancer[]): Step[] {
  return older.flatMap(({ name, attributes }): Step[] => {
    const key = 'deletion_protection.enabled';
    const unprotect: Step = {
      kind: 'setAttributes',
      subject: { kind: 'loadBalancer', name },
      attributes: { [key]: 'false' },
    };
    return [
      ...(attributes[key] === 'true' ? [unprotect] : []),
      { kind: 'deleteLoadBalancer', loadBalancer: name },
    ];
  });
}

function groupSteps(group: DesiredState['securityGroup'], mine: ObservedState): Step[] {
  if (!group) return [];
  const there = mine.securityGroups.find(({ name }) => name === group.name);
  const subject = { kind: 'securityGroup', name: group.name } as const;
  const missing = without(group.rules, there?.rules ?? [], ruleKey, ruleKey);
  const extra = without(there?.rules ?? [], group.rules, ruleKey, ruleKey);
  return [
    ...(there
      ? tagSteps(subject, group.tags, there.tags)
      : [{ kind: 'createSecurityGroup', group } as const]),
    ...(missing.length > 0 ? [{ kind: 'allow', group: group.name, rules: missing } as const] : []),
    ...(extra.length > 0 ? [{ kind: 'revoke', group: group.name, rules: extra } as const] : []),
  ];
}

function targetGroupSteps(wanted: DesiredTargetGroup, match: Match | undefined): Step[] {
  if (!match) return [];
  const { there, name } = match;
  const subject = { kind: 'targetGroup', name } as const;
  const registered = there?.targets.filter(isRegistered) ?? [];
  const missing = without(wanted.targets, registered, targetKey, targetKey);
  const sameCheck = there && checkKey(there.healthCheck) === checkKey(wanted.healthCheck);
  return [
    ...(there
      ? tagSteps(subject, wanted.tags, there.tags)
      : [{ kind: 'createTargetGroup', name, targetGroup: wanted } as const]),
    ...(there && !sameCheck
      ? [{ kind: 'modifyHealthCheck', targetGroup: name, healthCheck: wanted.healthCheck } as const]
      : []),
    ...attributeSteps(subject, wanted.attributes, there?.attributes),
    ...(missing.length > 0 ? [{ kind: 'register', targetGroup: name, targets: missing } as const] : []),
  ];
}

function checkKey(check: DesiredTargetGroup['healthCheck']): string {
  const { protocol, port, path, matcher, interval, timeout, healthyThreshold, unhealthyThreshold } = check;
  return [protocol, port, path, matcher, interval, timeout, healthyThreshold, unhealthyThreshold].join(' ');
}

function deregisterSteps(wanted: DesiredTargetGroup, match: Match | undefined): Step[] {
  const registered = match?.there?.targets.filter(isRegistered) ?? [];
  const extra = without(registered, wanted.targets, targetKey, targetKey);
  if (extra.length === 0 || !match) return [];
  return [
    { kind: 'deregister', targetGroup: match.name, targets: extra.map(({ id, port }) => ({ id, port })) },
  ];
}

function listenerSteps(
  loadBalancer: string,
  wanted: DesiredListener,
  current: ObservedLoadBalancer | undefined,
  match: Match | undefined,
): Step[] {
  if (!match) return [];
  const { port } = wanted;
  const subject = { kind: 'listener', loadBalancer, port } as const;
  const there = current?.listeners.find((each) => each.port === port);
  const targetGroup = match.name;
  const extra = wanted.certificates.slice(1);
  const has = there?.extraCertificates ?? [];
  const missing = extra.filter((arn) => !has.includes(arn));
  // The default certificate may be in the list as well: the AWS controller puts it there.
  const stale = has.filter((arn) => !wanted.certificates.includes(arn));
  const same = there && isSame(there, wanted) && there.targetGroupArn === match.there?.arn;
  return [
    ...(there
      ? same
        ? []
        : [{ kind: 'modifyListener', loadBalancer, listener: wanted, targetGroup } as const]
      : [{ kind: 'createListener', loadBalancer, listener: wanted, targetGroup } as const]),
    ...(missing.length > 0
      ? [{ kind: 'addCertificates', loadBalancer, port, certificates: missing } as const]
      : []),
    ...(stale.length > 0 && wanted.protocol === 'TLS'
      ? [{ kind: 'removeCertificates', loadBalancer, port, certificates: stale } as const]
      : []),
    ...attributeSteps(subject, wanted.attributes, there?.attributes),
    ...(there ? tagSteps(subject, wanted.tags, there.tags) : []),
  ];
}

function isSame(there: ObservedListener, wanted: DesiredListener): boolean {
  if (there.protocol !== wanted.protocol) return false;
  if (wanted.protocol !== 'TLS') return true;
  return (
    there.defaultCertificate === wanted.certificates[0] &&
    there.sslPolicy === wanted.sslPolicy &&
    (there.alpnPolicy ?? 'None') === (wanted.alpnPolicy ?? 'None')
  );
}
