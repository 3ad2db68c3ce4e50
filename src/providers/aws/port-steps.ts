// Steps one after the other, where what AWS refuses of one port keeps no other from being served.
import type { AwsAction, AwsApi } from './aws-api.ts';
import { type FailureReason, failureOf } from './aws-error.ts';
import { type Directory, execute } from './execute.ts';
import type { DesiredState } from './model.ts';
import type { ObservedState } from './observed.ts';
import { type Owner, RESOURCE_TAG } from './ownership.ts';
import type { Step } from './step.ts';

export interface PortFailure {
  /** The listener's. */
  readonly port: number;
  readonly reason: FailureReason;
  readonly message: string;
  /** Milliseconds. */
  readonly retryAfter: number;
}

/** What is no fault of the port comes again with the whole Service. */
const OF_PORT: ReadonlySet<FailureReason> = new Set(['RefusedByAWS', 'QuotaExceeded']);

interface Context {
  readonly desired: DesiredState;
  readonly observed: ObservedState;
  /** Names of the target groups, by listener port. */
  readonly targetGroups: ReadonlyMap<number, string>;
  readonly directory: Directory;
  readonly owner: Owner;
  /** The call that an error came from. */
  readonly actionOf: (error: unknown) => AwsAction | undefined;
}

/** Rejects with what concerns more than one port. */
export async function executeAll(
  api: AwsApi,
  steps: readonly Step[],
  context: Context,
): Promise<PortFailure[]> {
  const { directory, owner, actionOf } = context;
  const failures = new Map<number, PortFailure>();
  const portOf = portsOf(context);
  for (const step of steps) {
    const port = portOf(step);
    if (port !== undefined && failures.has(port)) continue;
    try {
      await execute(api, step, directory, owner);
    } catch (error) {
      const failure = failureOf(error, actionOf(error) ?? 'AWS');
      if (port === undefined || !failure || !OF_PORT.has(failure.reason)) throw error;
      failures.set(port, { port, ...failure });
    }
  }
  return [...failures.values()].sort((a, b) => a.port - b.port);
}

/** Which listener a step is for; undefined: for all of them. */
function portsOf({ desired, observed, targetGroups }: Context): (step: Step) => number | undefined {
  const groups = new Map<string, number>();
  for (const { port, resource } of desired.targetGroups)
    for (const { name, tags } of observed.targetGroups)
      if (tags[RESOURCE_TAG] === resource) groups.set(name, port);
  for (const [port, name] of targetGroups) groups.set(name, port);
  return (step) => {
    switch (step.kind) {
      case 'createTargetGroup':
        return groups.get(step.name);
      case 'modifyHealthCheck':
      case 'register':
      case 'deregister':
      case 'deleteTargetGroup':
        return groups.get(step.targetGroup);
      case 'createListener':
      case 'modifyListener':
        return step.listener.port;
      case 'addCertificates':
      case 'removeCertificates':
        return step.port;
      case 'setAttributes':
      case 'addTags':
      case 'removeTags': {
        const { subject } = step;
        if (subject.kind === 'listener') return subject.port;
        return subject.kind === 'targetGroup' ? groups.get(subject.name) : undefined;
      }
      default:
        return undefined;
    }
  };
}
