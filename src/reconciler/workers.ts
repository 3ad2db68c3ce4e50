// What takes keys from the queue and ends their runs, whoever does the work of one.
import { type Clock, sleep } from '../clock/clock.ts';
import { isDenied } from '../kube/denials.ts';
import { KubeError } from '../kube/kube-api.ts';
import type { Logger } from '../observe/logger.ts';
import { type Outcome, RemovalPendingError } from '../providers/provider.ts';
import type { Lease, WorkOutcome, WorkQueue } from '../queue/work-queue.ts';
import type { ReconcilerMetrics } from './metrics.ts';

/** Runs under way at once. Allocation itself is one synchronous step, in the order of the queue. */
const CONCURRENCY = 32;
/** Milliseconds that a worker rests while the API server is away. */
const AWAY_PAUSE = 500;
/** Milliseconds that writes under way have to finish after the signal to stop, which allows two seconds in all. */
const STOP_PATIENCE = 1_000;

export interface WorkersOptions {
  readonly queue: WorkQueue;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
}

/** How a run ended, as the metric names it, and when the next one is due without a change. */
export interface Run {
  readonly ended: Outcome['kind'] | 'deleted' | 'foreign' | 'unready' | 'waiting';
  /** Milliseconds. */
  readonly again?: number;
  readonly thorough?: boolean;
  /** Of the Service, where others may ask for it. */
  readonly version?: string;
}

/** Works until `signal` aborts, and then for as long as writes that are under way may take. */
export async function workUntil(
  signal: AbortSignal,
  options: WorkersOptions,
  reconcile: (lease: Lease) => Promise<Run>,
): Promise<void> {
  const workers = Array.from({ length: CONCURRENCY }, () => work(signal, options, reconcile));
  const patience = new Promise((resolve) => signal.addEventListener('abort', resolve)).then(() =>
    sleep(options.clock, STOP_PATIENCE),
  );
  await Promise.race([Promise.all(workers), patience]);
}

async function work(
  signal: AbortSignal,
  options: WorkersOptions,
  reconcile: (lease: Lease) => Promise<Run>,
): Promise<void> {
  const { queue, clock, metrics } = options;
  for (let lease = await queue.take(signal); lease; lease = await queue.take(signal)) {
    metrics.queueWait.observe(lease.waited / 1000);
    const began = clock.now();
    let outcome: WorkOutcome = { kind: 'finished' };
    try {
      const { ended, ...run } = await reconcile(lease);
      outcome = { kind: 'finished', ...run };
      metrics.reconciles.inc({ outcome: ended });
      metrics.duration.observe((clock.now() - began) / 1000);
    } catch (error) {
      metrics.reconciles.inc({ outcome: 'error' });
      outcome = await afterFailure(lease.key, error, signal, options);
    }
    queue.done(lease, outcome);
  }
}

async function afterFailure(
  key: string,
  error: unknown,
  signal: AbortSignal,
  { clock, log }: WorkersOptions,
): Promise<WorkOutcome> {
  if (error instanceof RemovalPendingError) return { kind: 'retry', after: error.retryAfter };
  if (error instanceof LeaseLost) {
    log.warn({ service: key, token: error.token }, 'lost the right to a Service while working on it');
    return { kind: 'retry' };
  }
  const status = error instanceof KubeError ? error.status : undefined;
  if (status === 0) {
    // The API server is away. The worker rests instead of the key, so that whatever many keys wait, the
    // server is asked rarely until it answers, and then for all of them at once.
    await sleep(clock, AWAY_PAUSE, signal);
    return { kind: 'retry', after: 0 };
  }
  if (error instanceof KubeError && error.retryAfter !== undefined)
    return { kind: 'retry', after: error.retryAfter };
  // 409: the store is behind, and the watch is about to bring what changed. What is denied was told already.
  if (status !== 409 && !isDenied(error))
    log.error({ service: key, error }, 'reconciling a Service failed; will try again');
  // Whatever else the API server answers (no rights, too many requests, a fault of its own) is no fault of the
  // Service, and must not park it.
  const atFault = status === undefined || status === 400 || status === 422;
  return atFault && error instanceof Error ? { kind: 'retry', error: error.message } : { kind: 'retry' };
}

/** Right before each write. `mayWrite`: what else has to be so. */
export function checkHeld(lease: Lease, mayWrite = () => true): void {
  if (!lease.held() || !mayWrite()) throw new LeaseLost(lease);
}

/** Another worker may be at this key: this one ends where it is. */
class LeaseLost extends Error {
  readonly token: number;

  constructor({ key, token }: Lease) {
    super(`the lease ${token} of ${key} is lost`);
    this.token = token;
  }
}
