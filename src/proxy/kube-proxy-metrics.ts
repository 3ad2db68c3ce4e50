// What kube-proxy's dashboards and alerts read, under its names. Its label ip_family is not here: both families are
// brought up to date together.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import type { EndpointSliceObject } from '../kube/objects.ts';

/** When the pod or Service changed that made the EndpointSlice change, as Kubernetes' controller writes it. */
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

export class KubeProxyMetrics {
  readonly #clock: Clock;
  readonly #began: number;
  readonly #synced: Histogram;
  readonly #programmed: Histogram;
  readonly #lastSync: Gauge;
  readonly #lastQueued: Gauge;
  readonly #changes: Readonly<Record<'service' | 'endpoint', Counter>>;
  readonly #failures: Counter;
  readonly #cleaned: Histogram;
  readonly #deleted: Counter;
  /** Wall times of what waits for the next sync, and of what the one under way brings into force. */
  readonly #waiting: number[] = [];
  readonly #underWay: number[] = [];
  /** Whether something waits for the next sync: of many changes the first is the one that waits longest. */
  #queued = false;

  constructor(registry: Registry, clock: Clock) {
    const registers = [registry];
    const named = (name: string, help: string) => ({ name: `kubeproxy_${name}`, help, registers });
    const exponential = (first: number, factor: number, count: number) =>
      Array.from({ length: count }, (_, i) => first * factor ** i);
    this.#clock = clock;
    this.#began = clock.wallTime().getTime();
    this.#synced = new Histogram({
      ...named('sync_proxy_rules_duration_seconds', 'Time that bringing the rules up to date took'),
      buckets: exponential(0.001, 2, 15),
    });
    this.#programmed = new Histogram({
      ...named(
        'network_programming_duration_seconds',
        'Time from a change of a Service or pod to its rules in the kernel',
      ),
      // kube-proxy's, and some below: its least is a quarter of a second.
      buckets: [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 30, 60, 120, 300,
      ],
    });
    this.#lastSync = new Gauge(
      named('sync_proxy_rules_last_timestamp_seconds', 'When the rules were last brought up to date'),
    );
    this.#lastQueued = new Gauge(
      named(
        'sync_proxy_rules_last_queued_timestamp_seconds',
        'When what was last brought up to date had begun to wait',
      ),
    );
    this.#changes = {
      service: new Counter(named('sync_proxy_rules_service_changes_total', 'Changes of Services')),
      endpoint: new Counter(named('sync_proxy_rules_endpoint_changes_total', 'Changes of EndpointSlices')),
    };
    this.#failures = new Counter(
      named('sync_proxy_rules_nftables_sync_failures_total', 'Transactions that the kernel did not take'),
    );
    this.#cleaned = new Histogram({
      ...named('conntrack_reconciler_sync_duration_seconds', 'Time that deleting stale flows took'),
      buckets: exponential(0.001, 2, 15),
    });
    this.#deleted = new Counter(
      named('conntrack_reconciler_deleted_entries_total', 'Stale flows that were deleted'),
    );
  }

  /** Something changed that the next sync brings into force. */
  noteChange(kind: 'service' | 'endpoint', slice?: EndpointSliceObject): void {
    this.#changes[kind].inc();
    if (!this.#queued) this.#lastQueued.set(this.#clock.wallTime().getTime() / 1000);
    this.#queued = true;
    const written = slice?.metadata.annotations?.[TRIGGER_TIME];
    if (written === undefined) return;
    const trigger = Date.parse(written);
    // What changed before we began was not ours to bring into force.
    if (trigger >= this.#began) this.#waiting.push(trigger);
  }

  /** What was noted is being brought into force; it is to be called again after a failure. */
  noteBegin(): void {
    this.#queued = false;
    this.#underWay.push(...this.#waiting.splice(0));
  }

  /** What was noted before the last beginning is in force. */
  noteSync(seconds: number): void {
    const now = this.#clock.wallTime().getTime();
    this.#synced.observe(seconds);
    this.#lastSync.set(now / 1000);
    for (const trigger of this.#underWay.splice(0))
      this.#programmed.observe(Math.max(0, now - trigger) / 1000);
  }

  noteFailure(): void {
    this.#failures.inc();
  }

  noteCleaning(seconds: number, deleted: number): void {
    this.#cleaned.observe(seconds);
    this.#deleted.inc(deleted);
  }
}
