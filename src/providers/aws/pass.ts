// One pass over a Service: read what is there, plan, do the steps. Ends with a value for everything that a user or
// AWS can cause.
import { createHash } from 'node:crypto';
import { AwsAnnotations, CHECK_ANNOTATION } from '../../api/aws-annotations.ts';
import { type AwsRequest, readAwsService } from '../../api/aws-request.ts';
import { type CloudAccount, SCHEMES, type Scheme } from '../../api/cloud-account.ts';
import { describe } from '../../api/problem.ts';
import { systemClock } from '../../clock/clock.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../kube/objects.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';
import { type Failure, failureOf } from './aws-error.ts';
import { believe } from './belief.ts';
import { Directory, execute } from './execute.ts';
import { type DesiredState, desiredState, type Target } from './model.ts';
import { NodeGroups } from './node-groups.ts';
import { observe, type Sought } from './observe.ts';
import type { ObservedLoadBalancer, ObservedState } from './observed.ts';
import { type Owner, ownershipOf } from './ownership.ts';
import { resolveGroups, resolveSubnets } from './places.ts';
import { type Plan, plan, planRemoval } from './plan.ts';
import { executeAll, type PortFailure } from './port-steps.ts';
import { releaseBackend } from './release.ts';
import { healthOf, type TargetHealth } from './target-health.ts';
import { nodeTargets, podTargets } from './targets.ts';

/** What a Service's load balancer depends on, as the API server has it now. */
export interface Inputs {
  readonly service: ServiceObject;
  readonly nodes: readonly NodeObject[];
  readonly slices: readonly EndpointSliceObject[];
  /** Addresses of pods that wait for the load balancer to find them healthy, and for nothing else. */
  readonly gated?: ReadonlySet<string>;
  /** The UID of the cluster, for the tags; '' where it is not known. */
  readonly clusterUid: string;
}

/** What a Service asks for, as far as the cluster alone can tell. */
export interface Prepared {
  readonly kind: 'prepared';
  readonly owner: Owner;
  readonly request: AwsRequest;
  /** By listener port. */
  readonly targets: ReadonlyMap<number, readonly Target[]>;
  /** Host names that the Service shows. */
  readonly published: readonly string[];
  /** A hash of all that decides on what should be there. */
  readonly fingerprint: string;
  /** Another value than before asks for a look at all that is there. */
  readonly asked: string;
}

export interface Done {
  readonly kind: 'done';
  /** It is active, and serves. */
  readonly hostname: string;
  /** What the user asked for and cannot have. */
  readonly notes: readonly string[];
  /** What stands in the way of traffic, and only the user can mend. */
  readonly unclear: readonly string[];
  readonly desired: DesiredState;
  /** What is there now; undefined where that was not all seen. */
  readonly belief?: ObservedState;
  readonly health?: TargetHealth;
}

export type PassResult =
  | Done
  | {
      readonly kind: 'pending';
      readonly reason: string;
      readonly message: string;
      /** Milliseconds. */
      readonly retryAfter: number;
      readonly hostname?: string;
      /** Ports that are not served, and why; the others are. */
      readonly portErrors?: ReadonlyMap<number, string>;
    }
  | Refusal;

export interface Refusal {
  readonly kind: 'refused';
  readonly reason: string;
  readonly message: string;
  readonly hostname?: string;
}

/** Milliseconds between looks at a load balancer that comes up, and at a conflict that only a person can end. */
const PROVISIONING = 5_000;
const CONFLICT = 60_000;

/** Without a word to AWS. */
export function prepare(account: CloudAccount, inputs: Inputs): Prepared | Refusal {
  const read = readAwsService(inputs.service, account.aws);
  if (read.kind === 'invalid')
    return { kind: 'refused', reason: 'InvalidRequest', message: read.problems.map(describe).join('; ') };
  const request = read.value;
  const { clusterName: cluster, aws } = account;
  const owner = { cluster, key: request.key, uid: request.uid, clusterUid: inputs.clusterUid };
  // Of all nodes: nothing to look for where pods are the targets.
  const instances =
    request.targetType === 'ip' ? [] : nodeTargets(inputs.nodes, request.nodeLabels).instances;
  const targets = new Map(
    request.listeners.map((listener): [number, readonly Target[]] => [
      listener.port,
      request.targetType === 'ip'
        ? podTargets(listener, request.targetFamily, inputs.slices, inputs.gated)
        : instances.map((id) => ({ id, port: listener.nodePort ?? 0 })),
    ]),
  );
  const { region, vpcId, scheme } = aws;
  const asked = new AwsAnnotations(inputs.service).own(CHECK_ANNOTATION)?.value ?? '';
  const decisive = JSON.stringify([
    owner,
    request,
    [...targets],
    region,
    vpcId,
    scheme,
    ...(asked === '' ? [] : [asked]),
  ]);
  return {
    kind: 'prepared',
    owner,
    request,
    targets,
    published: (inputs.service.status?.loadBalancer?.ingress ?? []).flatMap(({ hostname = [] }) => hostname),
    fingerprint: createHash('sha256').update(decisive).digest('hex').slice(0, 16),
    asked,
  };
}

export async function ensure(api: AwsApi, account: CloudAccount, inputs: Inputs): Promise<PassResult> {
  const prepared = prepare(account, inputs);
  return prepared.kind === 'refused' ? prepared : pass(api, account, prepared, new NodeGroups(systemClock));
}

/** `believed`: what is there, where that is known from an earlier pass. */
export function pass(
  api: AwsApi,
  account: CloudAccount,
  prepared: Prepared,
  nodeGroups: NodeGroups,
  believed?: ObservedState,
): Promise<PassResult> {
  return guarded(api, (traced, actionOf) =>
    passUnguarded(traced, account, prepared, { nodeGroups, believed, actionOf }),
  );
}

/** What a pass would do now. */
export type Preview =
  | { readonly kind: 'plan'; readonly plan: Plan }
  | Exclude<PassResult, { readonly kind: 'done' }>;

export function preview(api: AwsApi, account: CloudAccount, prepared: Prepared): Promise<Preview> {
  return guarded(api, async (traced): Promise<Preview> => {
    const observed = await observe(traced, soughtOf(account, prepared));
    const desired = await wish(traced, account, prepared, observed, new NodeGroups(systemClock));
    if (desired.kind === 'refused') return desired;
    return { kind: 'plan', plan: plan(desired.state, desired.observed, prepared.published) };
  });
}

async function passUnguarded(
  api: AwsApi,
  account: CloudAccount,
  prepared: Prepared,
  {
    nodeGroups,
    believed,
    actionOf,
  }: {
    readonly nodeGroups: NodeGroups;
    readonly believed: ObservedState | undefined;
    readonly actionOf: (error: unknown) => AwsAction | undefined;
  },
): Promise<PassResult> {
  const { owner, published } = prepared;
  const own = believed ?? (await observe(api, soughtOf(account, prepared)));
  const desired = await wish(api, account, prepared, own, nodeGroups);
  if (desired.kind === 'refused') return desired;
  const { state, observed, unclear } = desired;
  const found = plan(state, observed, published);
  if (found.kind === 'conflict')
    return { kind: 'pending', reason: found.reason, message: found.message, retryAfter: CONFLICT };
  const directory = new Directory(observed, state.backend?.groups);
  // Others are about to see what is then no longer so.
  if (found.steps.some(({ kind }) => kind === 'allow' || kind === 'createSecurityGroup')) nodeGroups.forget();
  const { targetGroups } = found;
  const context = { desired: state, observed, targetGroups, directory, owner, actionOf };
  const failed = await executeAll(api, found.steps, context);

  const mine = observed.loadBalancers.filter(({ tags }) => ownershipOf(tags, owner) !== 'foreign');
  const current = mine.find(({ scheme }) => scheme === state.loadBalancer.scheme);
  const name = current?.name ?? state.loadBalancer.name;
  const now = await lookAt(api, current, () => directory.get({ kind: 'loadBalancer', name }));
  const older = mine.find((each) => each !== current && published.includes(each.hostname));
  if (!now.state.startsWith('active')) {
    return {
      kind: 'pending',
      reason: 'Provisioning',
      message: `AWS is making the load balancer ${name} (${now.state})`,
      // What AWS has refused is not asked for every five seconds.
      retryAfter: failed.length > 0 ? CONFLICT : PROVISIONING,
      portErrors: errorsOf(failed),
      // The name of the older one stays in the status until the new one serves.
      ...(older ? { hostname: older.hostname } : now.state === 'failed' ? {} : { hostname: now.hostname }),
    };
  }
  if (failed.length > 0) return failedPorts(failed, older?.hostname ?? now.hostname);
  if (found.replacing) {
    const message = `the load balancer ${name} takes over; the older one goes next`;
    return {
      kind: 'pending',
      reason: 'Replacing',
      message,
      retryAfter: PROVISIONING,
      hostname: now.hostname,
    };
  }
  const { notes } = found;
  const changed = found.steps.length > 0;
  const health = believed ? undefined : healthOf(state, observed, { names: targetGroups, changed });
  const { hostname } = now;
  return {
    kind: 'done',
    hostname,
    notes,
    unclear,
    desired: state,
    ...(health ? { health } : {}),
    belief: believe(state, { name, hostname, current, targetGroups, directory }),
  };
}

function failedPorts(failed: readonly PortFailure[], hostname: string): PassResult {
  const [first] = failed;
  return {
    kind: 'pending',
    reason: first?.reason ?? '',
    message: failed.map(({ port, message }) => `port ${port}: ${message}`).join('; '),
    retryAfter: Math.min(...failed.map(({ retryAfter }) => retryAfter)),
    hostname,
    portErrors: errorsOf(failed),
  };
}

function errorsOf(failed: readonly PortFailure[]): ReadonlyMap<number, string> {
  return new Map(failed.map(({ port, reason }) => [port, reason]));
}

type Wish =
  | {
      readonly kind: 'state';
      readonly state: DesiredState;
      /** With what the Services of the account share. */
      readonly observed: ObservedState;
      /** Sentences on targets that cannot let the load balancer in. */
      readonly unclear: readonly string[];
    }
  | Refusal;

async function wish(
  api: AwsApi,
  account: CloudAccount,
  { request, owner, targets }: Prepared,
  own: ObservedState,
  nodeGroups: NodeGroups,
): Promise<Wish> {
  const theirs = request.adopt ? 'adoptable' : 'ours';
  const mine = own.loadBalancers.filter(({ tags }) => ['ours', theirs].includes(ownershipOf(tags, owner)));
  const scheme = schemeOf(request, mine[0], account);
  const current = mine.find((each) => each.scheme === scheme);
  const [subnets, groups] = await Promise.all([
    resolveSubnets(api, account, request, scheme, current),
    resolveGroups(api, account.aws.vpcId, request, current),
  ]);
  if (subnets.kind === 'none') return { kind: 'refused', reason: subnets.reason, message: subnets.message };
  if (groups.kind === 'none') return { kind: 'refused', reason: 'NoSecurityGroup', message: groups.message };
  const { securityGroups, targetType } = request;
  const lets = securityGroups.kind !== 'none' && securityGroups.backend;
  const ids = new Set([...targets.values()].flatMap((each) => each.map(({ id }) => id)));
  const placed = lets ? await nodeGroups.groupsOf(api, account, targetType, [...ids]) : undefined;
  // A load balancer without targets for now keeps what it bears.
  const bears = (current?.groups.length ?? 0) > (securityGroups.kind === 'managed' ? 1 : groups.ids.length);
  const needed = placed && (placed.groups.length > 0 || bears) ? placed.groups : undefined;
  const shared = needed ? await nodeGroups.observe(api, account, needed) : {};
  const state = desiredState({
    request,
    owner,
    vpc: account.aws.vpcId,
    scheme,
    subnets: subnets.ids,
    givenGroups: groups.ids,
    nodeGroups: needed,
    targets,
  });
  return { kind: 'state', state, observed: { ...own, ...shared }, unclear: placed?.unclear ?? [] };
}

/** What the Service says, or what its load balancer has, or the account's. */
export function schemeOf(
  request: AwsRequest,
  there: ObservedLoadBalancer | undefined,
  account: CloudAccount,
): Scheme {
  const has = SCHEMES.find((each) => each === there?.scheme);
  return request.scheme ?? has ?? account.aws.scheme;
}

export type RemovalResult = { readonly kind: 'removed' } | Extract<PassResult, { readonly kind: 'pending' }>;

/**
 * Everything of the owner goes, and, where it is the `last` Service of its cluster, what they all shared.
 * `explicitName`: what its load balancer may be called besides the made name.
 */
export async function remove(
  api: AwsApi,
  account: CloudAccount,
  owner: Owner,
  { explicitName, last }: { readonly explicitName: string | undefined; readonly last: boolean },
): Promise<RemovalResult> {
  const [namespace = '', name = ''] = owner.key.split('/');
  return guarded(api, async (traced): Promise<RemovalResult> => {
    const sought = { owner, namespace, name, vpc: account.aws.vpcId, explicitName };
    const observed = await observe(traced, sought, 'names');
    const directory = new Directory(observed);
    for (const step of planRemoval(owner, observed).steps) await execute(traced, step, directory, owner);
    return last ? releaseBackend(traced, account, owner) : { kind: 'removed' };
  });
}

/** An error of AWS as a value that names the call. */
export async function guarded<T>(
  api: AwsApi,
  work: (api: AwsApi, actionOf: (error: unknown) => AwsAction | undefined) => Promise<T>,
): Promise<T | Extract<PassResult, { readonly kind: 'pending' }>> {
  const failed = new Map<unknown, AwsAction>();
  const traced: AwsApi = async <A extends AwsAction>(action: A, input: AwsActions[A][0]) => {
    try {
      return await api(action, input);
    } catch (error) {
      failed.set(error, action);
      throw error;
    }
  };
  try {
    return await work(traced, (error) => failed.get(error));
  } catch (error) {
    const failure: Failure | undefined = failureOf(error, failed.get(error) ?? 'AWS');
    if (!failure) throw error;
    return { kind: 'pending', ...failure };
  }
}

function soughtOf({ aws }: CloudAccount, { owner, request }: Prepared): Sought {
  const { namespace, name, loadBalancerName } = request;
  return { owner, namespace, name, vpc: aws.vpcId, explicitName: loadBalancerName };
}

/** Where nothing is to be waited for, what was observed is good enough. */
async function lookAt(
  api: AwsApi,
  current: ObservedLoadBalancer | undefined,
  arn: () => string,
): Promise<{ readonly state: string; readonly hostname: string }> {
  if (current) return current;
  const { LoadBalancers: [found] = [] } = await api('DescribeLoadBalancers', { LoadBalancerArns: [arn()] });
  return { state: found?.State?.Code ?? 'provisioning', hostname: (found?.DNSName ?? '').toLowerCase() };
}
