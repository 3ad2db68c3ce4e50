// bull as the queue needs it: jobs of one key each, taken one by one, with the calls that its own worker makes.
// Its constants close its traps: a job that is over is removed, so that its id is free again; a job whose worker
// was killed comes back within seconds, however often.
import Bull from 'bull';
import type { Cluster, Redis } from 'ioredis';

export type Client = Redis | Cluster;

/** What bull has and does not name in its types: its queue's parts, and two of the steps of its worker. */
interface Parts {
  readonly token: string;
  readonly keys: Readonly<Record<'wait' | 'active' | 'stalled', string>>;
  toKey(id: string): string;
  moveUnlockedJobsToWait(): Promise<unknown>;
  updateDelayTimer(): Promise<unknown>;
  delayTimer?: NodeJS.Timeout;
  closing?: Promise<void>;
}

interface JobParts {
  moveToDelayed(timestamp: number): Promise<void>;
}

export type Job = Bull.Job & JobParts;
export type BullQueue = Omit<Bull.Queue, 'getNextJob'> &
  Parts & { getNextJob(): Promise<Job | null | undefined> };

export interface BullOptions {
  readonly prefix: string;
  readonly client: Client;
  readonly blocking: Client;
  /** Milliseconds. */
  readonly lease: number;
  readonly tick: number;
}

export function openBull({ prefix, client, blocking, lease, tick }: BullOptions): BullQueue {
  const queue = new Bull('work', {
    prefix,
    // bull wants a connection of its own for waiting; the third kind, for its events, is never asked for.
    createClient: (type) => (type === 'bclient' ? blocking : client) as Redis,
    settings: {
      lockDuration: lease,
      stalledInterval: tick,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      guardInterval: tick,
      drainDelay: 1,
    },
  });
  return queue as unknown as BullQueue; // the same object, by the names above
}

export interface Placement {
  readonly key: string;
  /** Milliseconds. */
  readonly delay: number;
  readonly priority: number;
}

export async function addJobs(queue: BullQueue, placements: readonly Placement[]): Promise<void> {
  await queue.addBulk(
    placements.map(({ key, delay, priority }) => ({
      data: {},
      opts: { jobId: key, delay, priority, removeOnComplete: true },
    })),
  );
  // bull hears of delayed jobs by a subscription that only its own worker makes.
  if (placements.some(({ delay }) => delay > 0)) await queue.updateDelayTimer();
}

/** A job that is over, or that somebody removed while it was fetched: then bull knows nothing of its options. */
export async function completeJob(job: Job): Promise<void> {
  job.opts.removeOnComplete = true;
  await job.moveToCompleted('', false, true);
}
