import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { describeWorkQueue } from './work-queue.conformance.ts';

describeWorkQueue('MemoryQueue', (parts) => new MemoryQueue(parts));
