import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { describeWorkQueue } from './work-queue.conformance.ts';

describeWorkQueue(
  'MemoryQueue',
  async (random) => {
    const clock = new VirtualClock();
    return {
      queue: new MemoryQueue({ clock, random }),
      exact: true,
      now: () => clock.now(),
      pass: (milliseconds) => clock.advance(milliseconds),
      settle: () => clock.advance(0),
      close: async () => {},
    };
  },
  100,
);
