// Token buckets in front of the API, shared by all Services of an account: AWS's own are never emptied by us.
import type { RateLimits } from '../../api/cloud-account.ts';
import type { TokenBuckets } from '../../queue/token-buckets.ts';
import { type AwsAction, type AwsActions, type AwsApi, serviceOf } from './aws-api.ts';

/** `account`: the name under which all who work for it share its buckets. */
export function limited(api: AwsApi, account: string, limits: RateLimits, shared: TokenBuckets): AwsApi {
  return async <A extends AwsAction>(
    action: A,
    input: AwsActions[A][0],
    beforeSending?: () => void,
  ): Promise<AwsActions[A][1]> => {
    // As AWS has them: the two services do not share any.
    const kind = bucketOf(action);
    await shared.bucket(`${account}:${serviceOf(action)}:${kind}`, limits[kind]).take();
    return api(action, input, beforeSending);
  };
}

function bucketOf(action: AwsAction): keyof RateLimits {
  if (action.startsWith('Describe')) return 'read';
  return action === 'RegisterTargets' || action === 'DeregisterTargets' ? 'register' : 'write';
}
