// Token buckets in front of the API, shared by all Services of an account: AWS's own are never emptied by us.
import type { RateLimit, RateLimits } from '../../api/cloud-account.ts';
import { type Clock, sleep } from '../../clock/clock.ts';
import { type AwsAction, type AwsActions, type AwsApi, serviceOf } from './aws-api.ts';

export function limited(api: AwsApi, limits: RateLimits, clock: Clock): AwsApi {
  const bucketsOf = () => ({
    read: new TokenBucket(limits.read, clock),
    write: new TokenBucket(limits.write, clock),
    register: new TokenBucket(limits.register, clock),
  });
  // As AWS has them: the two services do not share any.
  const buckets = { elasticloadbalancing: bucketsOf(), ec2: bucketsOf() };
  return async <A extends AwsAction>(action: A, input: AwsActions[A][0]): Promise<AwsActions[A][1]> => {
    await buckets[serviceOf(action)][bucketOf(action)].take();
    return api(action, input);
  };
}

function bucketOf(action: AwsAction): keyof RateLimits {
  if (action.startsWith('Describe')) return 'read';
  return action === 'RegisterTargets' || action === 'DeregisterTargets' ? 'register' : 'write';
}

class TokenBucket {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  /** When the bucket would be full again, on the clock. */
  #fullAt = Number.NEGATIVE_INFINITY;

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Resolves when a token is there, in the order of asking. */
  async take(): Promise<void> {
    const { perSecond, burst } = this.#limit;
    const each = 1000 / perSecond;
    const now = this.#clock.now();
    this.#fullAt = Math.max(now, this.#fullAt) + each;
    const wait = this.#fullAt - now - burst * each;
    if (wait > 0) await sleep(this.#clock, wait);
  }
}
