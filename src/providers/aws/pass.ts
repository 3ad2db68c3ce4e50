// One pass over a Service: read what is there, plan, do the steps. Ends with a value for everything that a user or
// AWS can cause.
import { type AwsRequest, readAwsService } from '../../api/aws-request.ts';
import type { CloudAccount } from '../../api/cloud-account.ts';
import { describe } from '../../api/problem.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../kube/objects.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';
import { type Failure, failureOf } from './aws-error.ts';
import { Directory, execute } from './execute.ts';
import { type DesiredState, desiredState, type Target } from './model.ts';
import { observe } from './observe.ts';
import type { ObservedLoadBalancer, ObservedState } from './observed.ts';
import { type Owner, ownershipOf } from './ownership.ts';
import { resolveGroups, resolveSubnets } from './places.ts';
import { plan, planRemoval } from './plan.ts';
import { nodeTargets, podTargets } from './targets.ts';

/** What a Service's load balancer depends on, as the API server has it now. */
export interface Inputs {
  readonly service: ServiceObject;
  readonly nodes: readonly NodeObject[];
  readonly slices: readonly EndpointSliceObject[];
}

export type PassResult =
  /** `hostname` is active and serves. `notes`: what the user asked for and cannot have. */
  | { readonly kind: 'done'; readonly hostname: string; readonly notes: readonly string[] }
  | {
      readonly kind: 'pending';
      readonly reason: string;
      readonly message: string;
      /** Milliseconds. */
      readonly retryAfter: number;
      readonly hostname?: string;
    }
  | {
      readonly kind: 'refused';
      readonly reason: string;
      readonly message: string;
      readonly hostname?: string;
    };

/** Milliseconds between looks at a load balancer that comes up, and at a conflict that only a person can end. */
const PROVISIONING = 5_000;
const CONFLICT = 60_000;

export async function ensure(api: AwsApi, account: CloudAccount, inputs: Inputs): Promise<PassResult> {
  const read = readAwsService(inputs.service, account.aws);
  if (read.kind === 'invalid')
    return { kind: 'refused', reason: 'InvalidRequest', message: read.problems.map(describe).join('; ') };
  return guarded(api, (traced) => ensureRequest(traced, account, read.value, inputs));
}

async function ensureRequest(
  api: AwsApi,
  account: CloudAccount,
  request: AwsRequest,
  inputs: Inputs,
): Promise<PassResult> {
  const published = (inputs.service.status?.loadBalancer?.ingress ?? []).flatMap(
    ({ hostname = [] }) => hostname,
  );
  const owner = ownerOf(account, request);
  const observed = await observe(api, soughtOf(account, request, owner));
  const desired = await wish(api, account, request, inputs, observed, owner);
  if (desired.kind === 'refused') return desired;
  const { state } = desired;
  const found = plan(state, observed, published);
  if (found.kind === 'conflict')
    return { kind: 'pending', reason: found.reason, message: found.message, retryAfter: CONFLICT };
  const directory = new Directory(observed);
  for (const step of found.steps) await execute(api, step, directory, owner);

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
      retryAfter: PROVISIONING,
      // The name of the older one stays in the status until the new one serves.
      ...(older ? { hostname: older.hostname } : now.state === 'failed' ? {} : { hostname: now.hostname }),
    };
  }
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
  return { kind: 'done', hostname: now.hostname, notes: found.notes };
}

type Wish =
  | { readonly kind: 'state'; readonly state: DesiredState }
  | Extract<PassResult, { readonly kind: 'refused' }>;

async function wish(
  api: AwsApi,
  account: CloudAccount,
  request: AwsRequest,
  { nodes, slices }: Inputs,
  observed: ObservedState,
  owner: Owner,
): Promise<Wish> {
  const theirs = request.adopt ? 'adoptable' : 'ours';
  const mine = observed.loadBalancers.filter(({ tags }) =>
    ['ours', theirs].includes(ownershipOf(tags, owner)),
  );
  const scheme =
    request.scheme ??
    (mine[0]?.scheme === 'internal' || mine[0]?.scheme === 'internet-facing'
      ? mine[0].scheme
      : account.aws.scheme);
  const current = mine.find((each) => each.scheme === scheme);
  const [subnets, groups] = await Promise.all([
    resolveSubnets(api, account, request, scheme, current),
    resolveGroups(api, account.aws.vpcId, request),
  ]);
  if (subnets.kind !== 'chosen') {
    const message = subnets.kind === 'none' ? subnets.message : 'the routes of the subnets are not known';
    return { kind: 'refused', reason: 'NoSubnets', message };
  }
  if (groups.kind === 'none') return { kind: 'refused', reason: 'NoSecurityGroup', message: groups.message };
  const instances = nodeTargets(nodes, request.nodeLabels).instances;
  const targets = new Map(
    request.listeners.map((listener): [number, readonly Target[]] => [
      listener.port,
      request.targetType === 'ip'
        ? podTargets(listener, request.targetFamily, slices)
        : instances.map((id) => ({ id, port: listener.nodePort ?? 0 })),
    ]),
  );
  const state = desiredState({
    request,
    cluster: account.clusterName,
    vpc: account.aws.vpcId,
    scheme,
    subnets: subnets.ids,
    givenGroups: groups.ids,
    targets,
  });
  return { kind: 'state', state };
}

export type RemovalResult = { readonly kind: 'removed' } | Extract<PassResult, { readonly kind: 'pending' }>;

/** Everything of the owner goes. `explicitName`: what its load balancer may be called besides the made name. */
export async function remove(
  api: AwsApi,
  account: CloudAccount,
  owner: Owner,
  explicitName: string | undefined,
): Promise<RemovalResult> {
  const [namespace = '', name = ''] = owner.key.split('/');
  return guarded(api, async (traced): Promise<RemovalResult> => {
    const sought = { owner, namespace, name, vpc: account.aws.vpcId, explicitName };
    const observed = await observe(traced, sought);
    const found = planRemoval(owner, observed);
    if (found.kind === 'conflict')
      return { kind: 'pending', reason: found.reason, message: found.message, retryAfter: CONFLICT };
    const directory = new Directory(observed);
    for (const step of found.steps) await execute(traced, step, directory, owner);
    return { kind: 'removed' };
  });
}

/** An error of AWS as a value that names the call. */
async function guarded<T>(
  api: AwsApi,
  work: (api: AwsApi) => Promise<T>,
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
    return await work(traced);
  } catch (error) {
    const failure: Failure | undefined = failureOf(error, failed.get(error) ?? 'AWS');
    if (!failure) throw error;
    return { kind: 'pending', ...failure };
  }
}

function ownerOf({ clusterName: cluster }: CloudAccount, { key, uid }: AwsRequest): Owner {
  return { cluster, key, uid };
}

function soughtOf({ aws }: CloudAccount, { namespace, name, loadBalancerName }: AwsRequest, owner: Owner) {
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
