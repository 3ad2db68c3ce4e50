// Figures on the work of the controller.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { NO_KEYS, type QueueView } from '../queue/work-queue.ts';

export interface ReconcilerMetrics {
  readonly reconciles: Counter<'outcome'>;
  readonly queueWait: Histogram;
  readonly duration: Histogram;
  readonly poolAssigned: Gauge<'pool' | 'family'>;
  readonly poolAvailable: Gauge<'pool' | 'family'>;
  readonly poolWaiting: Gauge<'pool'>;
  readonly changes: Counter<'kind' | 'cause'>;
}

/** `view`: asked whenever the figures are. */
export function reconcilerMetrics(registry: Registry, view: () => Promise<QueueView>): ReconcilerMetrics {
  const registers = [registry];
  // The registry collects in the order in which metrics were made: one view serves both.
  let seen: Promise<QueueView | undefined>;
  new Gauge({
    name: 'fairlead_queue_depth',
    help: 'Keys in the work queue by state and account',
    labelNames: ['state', 'account'],
    registers,
    async collect() {
      // A queue that does not answer has no figures; all others are there.
      seen = view().catch(() => undefined);
      const accounts = (await seen)?.accounts;
      this.reset();
      if (!accounts) return;
      for (const [account, counts] of Object.entries({ '': NO_KEYS, ...accounts }))
        for (const [state, count] of Object.entries(counts)) this.set({ state, account }, count);
    },
  });
  new Gauge({
    name: 'fairlead_queue_oldest_seconds',
    help: 'Age of the key that has been ready for longest',
    registers,
    async collect() {
      const oldest = (await seen)?.oldest;
      if (oldest === undefined) this.reset();
      else this.set(oldest / 1000);
    },
  });
  return {
    reconciles: new Counter({
      name: 'fairlead_reconciler_runs_total',
      help: 'Runs of one Service by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    queueWait: new Histogram({
      name: 'fairlead_queue_wait_seconds',
      help: 'Time from when a key was due until a worker took it',
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30],
      registers,
    }),
    duration: new Histogram({
      name: 'fairlead_reconciler_run_seconds',
      help: 'Time of one run, the status write included',
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    poolAssigned: new Gauge({
      name: 'fairlead_pool_addresses_assigned',
      help: 'Addresses in use',
      labelNames: ['pool', 'family'],
      registers,
    }),
    poolAvailable: new Gauge({
      name: 'fairlead_pool_addresses_available',
      help: 'Addresses left',
      labelNames: ['pool', 'family'],
      registers,
    }),
    poolWaiting: new Gauge({
      name: 'fairlead_pool_services_waiting',
      help: 'Services that wait for an address of a pool that has none left',
      labelNames: ['pool'],
      registers,
    }),
    changes: new Counter({
      name: 'fairlead_ipam_changes_total',
      help: 'Allocations, moves, releases and refusals by what set them off',
      labelNames: ['kind', 'cause'],
      registers,
    }),
  };
}
