// The work on cloud load balancers. Where the queue is shared every controller does it, whether or not it leads; the
// one that leads says what is to be done.
import { hostname } from 'node:os';
import type { ServiceClasses } from '../api/service.ts';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { NAMESPACES, SERVICES } from '../kube/resources.ts';
import type { Provider } from '../providers/provider.ts';
import type { TokenBuckets } from '../queue/token-buckets.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import type { ReconcilerMetrics } from '../reconciler/metrics.ts';
import { Reconciler } from '../reconciler/reconciler.ts';
import type { Process } from './processes.ts';
import { openQueue, type QueueOptions } from './queue-option.ts';

export interface CloudWork {
  readonly options: QueueOptions;
  readonly classes: ServiceClasses;
  readonly metrics: ReconcilerMetrics;
  /** `buckets`: for what an account allows, however many controllers work for it. */
  readonly provider: (buckets: TokenBuckets) => Provider;
  readonly concerns: (service: ServiceObject) => boolean;
  readonly accountOf: (service: ServiceObject) => string | undefined;
  /** Whether this controller leads. */
  readonly leads: () => boolean;
}

export class Clouds {
  readonly #process: Process;
  readonly #work: CloudWork;
  #running: { readonly reconciler: Reconciler; readonly queue: WorkQueue } | undefined;

  constructor(process: Process, work: CloudWork) {
    this.#process = process;
    this.#work = work;
  }

  /** Undefined until Services and queue are there. */
  get queue(): WorkQueue | undefined {
    return this.#running?.queue;
  }

  /** Works until `signal` aborts, and then hands over what it is at. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#process;
    const { options, provider, ...work } = this.#work;
    const services = this.#process.follow(SERVICES, signal);
    const namespaces = this.#process.follow(NAMESPACES, signal);
    const stop = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    await Promise.race([stop, Promise.all([services.synced, namespaces.synced])]);
    if (signal.aborted) return;
    const opened = await openQueue(options, { share: 'clouds', namespaces: namespaces.store, log, signal });
    if (!opened) return;
    const { queue, buckets, close } = opened;
    // Each write names the version of the Service that it was computed from, and is the right of its run's lease.
    const api = await this.#process.connectToWrite(() => true);
    const reconciler = new Reconciler({
      ...work,
      api,
      log,
      queue,
      clock: systemClock,
      services: services.store,
      namespaces: namespaces.store,
      provider: provider(buckets),
      events: new EventRecorder({ api, clock: systemClock, log, instance: hostname() }),
      onAllocation: () => {},
    });
    this.#running = { reconciler, queue };
    log.info({ services: services.store.size }, 'working on clouds');
    try {
      await reconciler.run(signal);
    } finally {
      this.#running = undefined;
      await close();
    }
  }

  /** This controller leads from now on: what its predecessor may have missed is queued. */
  async takeOver(): Promise<void> {
    await this.#running?.reconciler.lookAtAll();
  }
}
