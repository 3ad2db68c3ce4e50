// A Service after a restart: what it asks for is what was last made, and the account's lists show it intact.
import type { CloudAccount } from '../../api/cloud-account.ts';
import { type DesiredState, desiredState } from './model.ts';
import { loadBalancerOf } from './observe.ts';
import { UID_TAG } from './ownership.ts';
import { type Prepared, schemeOf } from './pass.ts';
import { intactIn, type Survey, stateIn } from './survey.ts';

/** Undefined: it has to be read whole. */
export function recognise(
  survey: Survey,
  account: CloudAccount,
  { owner, request, targets }: Prepared,
): { readonly desired: DesiredState; readonly hostname: string } | undefined {
  const found = survey.loadBalancers.find(({ tags }) => tags[UID_TAG] === owner.uid);
  if (!found) return undefined;
  const { tags, object } = found;
  const current = loadBalancerOf(object, { tags, attributes: {}, listeners: [] });
  const { securityGroups } = request;
  const lets = securityGroups.kind !== 'none' && securityGroups.backend;
  const bears = survey.backend !== undefined && current.groups.includes(survey.backend.id);
  // Where its targets are is not in the survey: what lets it in somewhere is taken to let it in everywhere.
  const nodeGroups = lets && bears ? survey.nodeGroups.map(({ id }) => id) : undefined;
  if (lets && survey.backend && !nodeGroups?.length) return undefined;
  const desired = desiredState({
    request,
    owner,
    vpc: account.aws.vpcId,
    scheme: schemeOf(request, current, account),
    // Names were resolved when this was made; another wish would have another fingerprint.
    subnets: current.mappings.map(({ subnet }) => subnet),
    givenGroups: current.groups.filter((id) => id !== survey.backend?.id),
    nodeGroups,
    targets,
  });
  const hostname = intactIn(stateIn(survey, desired), desired);
  return hostname === undefined ? undefined : { desired, hostname };
}
