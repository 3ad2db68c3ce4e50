// Figures on forwarding.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import { KubeProxyMetrics } from './kube-proxy-metrics.ts';

export interface ProxyMetrics {
  readonly syncSeconds: Histogram;
  readonly changes: Counter;
  readonly failures: Counter;
  readonly elements: Gauge;
  readonly setAside: Gauge;
  readonly complaints: Gauge;
  readonly staleFlows: Counter<'protocol'>;
  readonly repairs: Counter;
  readonly kubeProxy: KubeProxyMetrics;
}

export function proxyMetrics(registry: Registry, clock: Clock): ProxyMetrics {
  const registers = [registry];
  return {
    kubeProxy: new KubeProxyMetrics(registry, clock),
    syncSeconds: new Histogram({
      name: 'fairlead_proxy_sync_seconds',
      help: 'Time from a noticed change to its rules in the kernel',
      buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    changes: new Counter({
      name: 'fairlead_proxy_service_changes_total',
      help: 'Services whose rules were brought up to date',
      registers,
    }),
    failures: new Counter({
      name: 'fairlead_proxy_sync_failures_total',
      help: 'Transactions that the kernel refused or did not answer',
      registers,
    }),
    elements: new Gauge({
      name: 'fairlead_proxy_elements',
      help: 'Elements of our sets and maps in the kernel',
      registers,
    }),
    setAside: new Gauge({
      name: 'fairlead_proxy_services_set_aside',
      help: 'Services whose rules the kernel refuses',
      registers,
    }),
    complaints: new Gauge({
      name: 'fairlead_proxy_services_with_complaints',
      help: 'Services whose annotations ask for a way of balancing that is not done; their events say why',
      registers,
    }),
    repairs: new Counter({
      name: 'fairlead_proxy_repairs_total',
      help: 'Times that somebody else had changed our rules or their elements, and they were put right',
      registers,
    }),
    staleFlows: new Counter({
      name: 'fairlead_proxy_stale_flows_total',
      help: 'Flows that were deleted because their endpoint was gone, or had come',
      labelNames: ['protocol'],
      registers,
    }),
  };
}
