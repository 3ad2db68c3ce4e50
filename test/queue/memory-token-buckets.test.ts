import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { MemoryTokenBuckets } from '../../src/queue/token-buckets.ts';
import { describeTokenBuckets } from './token-buckets.conformance.ts';

describeTokenBuckets('MemoryTokenBuckets', () => {
  const clock = new VirtualClock();
  const buckets = new MemoryTokenBuckets(clock);
  return { parties: [buckets, buckets], now: () => clock.now(), pass: (duration) => clock.advance(duration) };
});
