// Figures on the work of the controller.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { WorkQueue } from '../queue/work-queue.ts';

export interface ReconcilerMetrics {
  readonly reconciles: Counter<'outcome'>;
  readonly duration: Histogram;
  readonly poolAssigned: Gauge<'pool' | 'family'>;
  readonly poolAvailable: Gauge<'pool' | 'family'>;
}

/** `depth`: asked whenever the figures are. */
export function reconcilerMetrics(registry: Registry, depth: WorkQueue['depth']): ReconcilerMetrics {
  const registers = [registry];
  new Gauge({
    name: 'fairlead_queue_depth',
    help: 'Keys in the work queue by state',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, keys] of Object.entries(depth())) this.set({ state }, keys);
    },
  });
  return {
    reconciles: new Counter({
      name: 'fairlead_reconciler_runs_total',
      help: 'Runs of one Service by outcome',
      labelNames: ['outcome'],
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
  };
}
