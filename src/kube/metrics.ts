// Figures on the conversation with the API server.
import { Counter, Gauge, type Registry } from 'prom-client';

export interface KubeMetrics {
  readonly lists: Counter<'resource'>;
  readonly watches: Counter<'resource'>;
  readonly errors: Counter<'resource' | 'status'>;
}

export function kubeMetrics(registry: Registry): KubeMetrics {
  const registers = [registry];
  return {
    lists: new Counter({
      name: 'fairlead_kube_lists_total',
      help: 'Whole lists read',
      labelNames: ['resource'],
      registers,
    }),
    watches: new Counter({
      name: 'fairlead_kube_watches_total',
      help: 'Watches started',
      labelNames: ['resource'],
      registers,
    }),
    errors: new Counter({
      name: 'fairlead_kube_errors_total',
      help: 'Lists and watches that failed, by HTTP status; 0: no answer',
      labelNames: ['resource', 'status'],
      registers,
    }),
  };
}

/** `leads`: asked whenever the figures are. */
export function leaderMetric(registry: Registry, leads: () => boolean): void {
  new Gauge({
    name: 'fairlead_leader',
    help: '1 while this process leads, 0 while it waits',
    registers: [registry],
    collect() {
      this.set(leads() ? 1 : 0);
    },
  });
}
