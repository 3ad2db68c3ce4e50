// A Service after a restart: what it asks for is what was last made, and the account's lists show it intact.
import type { CloudAccount } from '../../api/cloud-account.ts';
import { type DesiredState, desiredState } from './model.ts';
import { loadBalancerOf } from './observe.ts';
import type { ObservedState } from './observed.ts';
import { UID_TAG } from './ownership.ts';
import { type Prepared, schemeOf } from './pass.ts';
import { intactIn, type Survey, stateIn } from './survey.ts';

/** Undefined: it has to be read whole. */
export function recognise(
  survey: Survey,
  account: CloudAccount,
  { owner, request, targets }: Prepared,
): { readonly desired: DesiredState; readonly hostname: string; readonly listed: ObservedState } | undefined {
  const found = survey.loadBalancers.find(({ tags }) => tags[UID_TAG] === owner.uid);
  if (!found) return undefined;
  const { tags, object } = found;
  const current = loadBalancerOf(object, { tags, attributes: {}, listeners: [] });
  const desired = desiredState({
    request,
    owner,
    vpc: account.aws.vpcId,
    scheme: schemeOf(request, current, account),
    // Names were resolved when this was made; another wish would have another fingerprint.
    subnets: current.mappings.map(({ subnet }) => subnet),
    givenGroups: current.groups,
    targets,
  });
  const hostname = intactIn(survey, desired);
  return hostname === undefined ? undefined : { desired, hostname, listed: stateIn(survey, desired) };
}
