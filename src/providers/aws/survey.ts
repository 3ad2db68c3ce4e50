// One look at a whole account: what its Services have, as far as lists tell, in pages of hundreds. It shows whether
// what was once right still is, and what belongs to no Service any more.
import type { LoadBalancer, TargetGroup } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { CloudAccount } from '../../api/cloud-account.ts';
import type { AwsApi } from './aws-api.ts';
import { assumedTargets, listenerOf, valuesOf } from './belief.ts';
import type { DesiredState } from './model.ts';
import { backendGroupName } from './names.ts';
import { findNodeGroups } from './node-groups.ts';
import {
  allLoadBalancers,
  allTargetGroups,
  loadBalancerOf,
  readTags,
  securityGroupOf,
  targetGroupOf,
} from './observe.ts';
import type { ObservedNodeGroup, ObservedSecurityGroup, ObservedState } from './observed.ts';
import {
  CLUSTER_TAG,
  CLUSTER_UID_TAG,
  type Owner,
  RESOURCE_TAG,
  STACK_TAG,
  type Tags,
  UID_TAG,
} from './ownership.ts';
import { plan } from './plan.ts';

/** Milliseconds for which the tags of what is not ours are remembered. */
const FOREIGN_TAGS = 20 * 60_000;

export interface Survey {
  readonly loadBalancers: readonly Tagged<LoadBalancer>[];
  readonly targetGroups: readonly Tagged<TargetGroup>[];
  readonly securityGroups: readonly ObservedSecurityGroup[];
  /** The group that load balancers bear, and what lets it in. */
  readonly backend: ObservedState['backend'];
  readonly nodeGroups: readonly ObservedNodeGroup[];
}

interface Tagged<T> {
  readonly object: T;
  readonly tags: Tags;
}

/** Remembers, from look to look, what is not ours: in a large account that is most. */
export class Surveyor {
  readonly #foreign = new Map<string, number>();

  /** `now`: on a monotonic clock, in milliseconds. */
  async look(api: AwsApi, { clusterName, aws }: CloudAccount, now: number): Promise<Survey> {
    const [balancers, groups, { SecurityGroups = [] }] = await Promise.all([
      allLoadBalancers(api),
      allTargetGroups(api),
      api('DescribeSecurityGroups', {
        Filters: [
          { Name: 'vpc-id', Values: [aws.vpcId] },
          { Name: `tag:${CLUSTER_TAG}`, Values: [clusterName] },
        ],
      }),
    ]);
    const named = groups.filter(({ TargetGroupName = '' }) => TargetGroupName.startsWith('k8s-'));
    // One under another name is known by the target groups that hang on it.
    const hanging = new Set(named.flatMap(({ LoadBalancerArns = [] }) => LoadBalancerArns));
    const candidates = balancers.filter(
      ({ LoadBalancerName = '', LoadBalancerArn = '' }) =>
        LoadBalancerName.startsWith('k8s-') || hanging.has(LoadBalancerArn),
    );
    const arns = [
      ...candidates.map(({ LoadBalancerArn = '' }) => LoadBalancerArn),
      ...named.map(({ TargetGroupArn = '' }) => TargetGroupArn),
    ];
    const tags = await this.#tags(api, arns, clusterName, now);
    const backend = SecurityGroups.map(securityGroupOf).find(
      ({ name }) => name === backendGroupName(clusterName),
    );
    const tagged = <T>(objects: readonly T[], arnOf: (object: T) => string): Tagged<T>[] =>
      objects.flatMap((object) => {
        const found = tags.get(arnOf(object));
        return found?.[UID_TAG] === undefined ? [] : [{ object, tags: found }];
      });
    return {
      loadBalancers: tagged(candidates, ({ LoadBalancerArn = '' }) => LoadBalancerArn),
      targetGroups: tagged(named, ({ TargetGroupArn = '' }) => TargetGroupArn),
      securityGroups: SecurityGroups.map(securityGroupOf).filter((each) => each.tags[UID_TAG] !== undefined),
      backend,
      nodeGroups: backend ? await findNodeGroups(api, backend) : [],
    };
  }

  async #tags(
    api: AwsApi,
    arns: readonly string[],
    clusterName: string,
    now: number,
  ): Promise<ReadonlyMap<string, Tags>> {
    const there = new Set(arns);
    for (const [arn, until] of this.#foreign) if (until <= now || !there.has(arn)) this.#foreign.delete(arn);
    const tags = await readTags(
      api,
      arns.filter((arn) => !this.#foreign.has(arn)),
    );
    for (const [arn, found] of tags)
      if (found[CLUSTER_TAG] !== clusterName) this.#foreign.set(arn, now + FOREIGN_TAGS);
    return tags;
  }
}

/**
 * The Service's objects in a survey; what lists do not tell (attributes, targets, what a listener does besides
 * forwarding) is taken to be as it should.
 */
export function stateIn(survey: Survey, desired: DesiredState): ObservedState {
  const { owner } = desired;
  const isMine = ({ tags }: { readonly tags: Tags }) =>
    tags[UID_TAG] === owner.uid && tags[CLUSTER_TAG] === owner.cluster;
  const groups = survey.targetGroups.filter(isMine);
  return {
    loadBalancers: survey.loadBalancers.filter(isMine).map(({ object, tags }) => {
      const arn = object.LoadBalancerArn ?? '';
      const listeners = desired.listeners.flatMap((wanted) => {
        const serving = groups.find((group) => {
          const { LoadBalancerArns = [] } = group.object;
          return LoadBalancerArns.includes(arn) && isFor(group, `${owner.key}:${wanted.port}`);
        });
        return serving ? [listenerOf(wanted, '', serving.object.TargetGroupArn ?? '')] : [];
      });
      const attributes = valuesOf(desired.loadBalancer.attributes);
      return loadBalancerOf(object, { tags, attributes, listeners });
    }),
    targetGroups: groups.map((group) => {
      const wanted = desired.targetGroups.find(({ resource }) => isFor(group, resource));
      const attributes = wanted ? valuesOf(wanted.attributes) : {};
      return targetGroupOf(group.object, {
        tags: group.tags,
        attributes,
        targets: wanted ? assumedTargets(wanted) : [],
      });
    }),
    securityGroups: survey.securityGroups.filter(isMine),
    backend: survey.backend,
    nodeGroups: survey.nodeGroups,
  };
}

function isFor({ tags }: { readonly tags: Tags }, resource: string): boolean {
  return tags[RESOURCE_TAG] === resource;
}

/** The host name under which all is as desired, as far as `state` shows; undefined: something is not. */
export function intactIn(state: ObservedState, desired: DesiredState): string | undefined {
  const [balancer, ...more] = state.loadBalancers;
  if (!balancer?.state.startsWith('active') || more.length > 0) return undefined;
  const found = plan(desired, state, [balancer.hostname]);
  return found.kind === 'steps' && found.steps.length === 0 && found.notes.length === 0
    ? balancer.hostname
    : undefined;
}

/** Owners, of this cluster, of what is there. */
export function ownersIn(
  { loadBalancers, targetGroups, securityGroups }: Survey,
  { clusterName }: CloudAccount,
  clusterUid: string,
): Owner[] {
  const owners = new Map<string, Owner>();
  for (const { tags } of [...loadBalancers, ...targetGroups, ...securityGroups]) {
    const { [UID_TAG]: uid, [STACK_TAG]: key, [CLUSTER_UID_TAG]: of } = tags;
    if (tags[CLUSTER_TAG] !== clusterName || of !== clusterUid || !uid || !key) continue;
    owners.set(uid, { cluster: clusterName, key, uid, clusterUid });
  }
  return [...owners.values()];
}
