import { expect, it } from 'vitest';
import type { RateLimits } from '../../../src/api/cloud-account.ts';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import type { AwsAction, AwsApi } from '../../../src/providers/aws/aws-api.ts';
import { limited } from '../../../src/providers/aws/rate-limit.ts';
import { MemoryTokenBuckets } from '../../../src/queue/token-buckets.ts';

const LIMITS: RateLimits = {
  read: { perSecond: 10, burst: 3 },
  write: { perSecond: 1, burst: 1 },
  register: { perSecond: 2, burst: 1 },
};

function recorded(clock: VirtualClock): { api: AwsApi; at: (action: AwsAction) => number[] } {
  const times = new Map<AwsAction, number[]>();
  const api: AwsApi = async (action) => {
    times.set(action, [...(times.get(action) ?? []), clock.now()]);
    return {} as never; // nobody reads the answers
  };
  return {
    api: limited(api, 'main', LIMITS, new MemoryTokenBuckets(clock)),
    at: (action) => times.get(action) ?? [],
  };
}

it('lets a burst through, then so many a second, in order, and apart by what the calls do', async () => {
  const clock = new VirtualClock();
  const { api, at } = recorded(clock);
  for (let i = 0; i < 5; i++) void api('DescribeLoadBalancers', {});
  for (let i = 0; i < 3; i++) void api('CreateTags', { Resources: [], Tags: [] });
  for (let i = 0; i < 2; i++) void api('RegisterTargets', { TargetGroupArn: '', Targets: [] });
  await clock.advance(5_000);
  expect(at('DescribeLoadBalancers')).toEqual([0, 0, 0, 100, 200]);
  expect(at('CreateTags')).toEqual([0, 1_000, 2_000]);
  expect(at('RegisterTargets')).toEqual([0, 500]);
});

it('fills up again while nobody calls', async () => {
  const clock = new VirtualClock();
  const { api, at } = recorded(clock);
  for (let i = 0; i < 3; i++) void api('DescribeTags', { ResourceArns: [] });
  await clock.advance(10_000);
  for (let i = 0; i < 4; i++) void api('DescribeTags', { ResourceArns: [] });
  await clock.advance(1_000);
  expect(at('DescribeTags')).toEqual([0, 0, 0, 10_000, 10_000, 10_000, 10_100]);
});
