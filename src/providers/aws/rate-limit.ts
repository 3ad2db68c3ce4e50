// Token buckets in front of the API, shared by all Services of an account: AWS's own are never emptied by us.
import type { RateLimits } from '../../api/cloud-account.ts';
import type { TokenBuckets } from '../../queue/token-buckets.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';

/** `account`: the name under which all who work for it share its buckets. */
export function limited(api: AwsApi, account: string, limits: RateLimits, shared: TokenBuckets): AwsApi {
  const bucket = (kind: keyof RateLimits) => shared.bucket(`${account}:${kind}`, limits[kind]);
  const buckets = { read: bucket('read'), write: bucket('write'), register: bucket('register') };
  return async <A extends AwsAction>(
    action: A,
    input: AwsActions[A][0],
    beforeSending?: () => void,
  ): Promise<AwsActions[A][1]> => {
    await buckets[bucketOf(action)].take();
    beforeSending?.();
    return api(action, input);
  };
}

function bucketOf(action: AwsAction): keyof RateLimits {
  if (action.startsWith('Describe')) return 'read';
  return action === 'RegisterTargets' || action === 'DeregisterTargets' ? 'register' : 'write';
}
