// What the Services of an account share goes with the last of them: the group that load balancers bear, and the rules
// that let it in.
import type { CloudAccount } from '../../api/cloud-account.ts';
import type { AwsApi } from './aws-api.ts';
import { narrowingSteps } from './backend.ts';
import { Directory, execute } from './execute.ts';
import { findBackend, findNodeGroups } from './node-groups.ts';
import { allLoadBalancers } from './observe.ts';
import { CLUSTER_UID_TAG, type Owner } from './ownership.ts';
import type { RemovalResult } from './pass.ts';

/** `owner`: of the last Service. Another's group, or one that others use, stays. */
export async function releaseBackend(
  api: AwsApi,
  account: CloudAccount,
  owner: Owner,
): Promise<Extract<RemovalResult, { readonly kind: 'removed' }>> {
  const removed = { kind: 'removed' } as const;
  const backend = await findBackend(api, account);
  const isOurs = owner.clusterUid !== '' && backend?.tags[CLUSTER_UID_TAG] === owner.clusterUid;
  if (!backend || !isOurs) return removed;
  const balancers = await allLoadBalancers(api);
  const nodeGroups = await findNodeGroups(api, backend);
  const others =
    balancers.some(({ SecurityGroups = [] }) => SecurityGroups.includes(backend.id)) ||
    nodeGroups.some(({ rules }) => rules.some(({ ours }) => !ours));
  if (others) return removed;
  const observed = { loadBalancers: [], targetGroups: [], securityGroups: [], backend };
  const directory = new Directory(
    observed,
    nodeGroups.map(({ id }) => id),
  );
  for (const step of narrowingSteps(backend.name, [], nodeGroups)) await execute(api, step, directory, owner);
  await execute(api, { kind: 'deleteSecurityGroup', group: backend.name }, directory, owner);
  return removed;
}
