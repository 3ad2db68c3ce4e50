// The figures that kube-proxy's dashboards read.
import { Registry } from 'prom-client';
import { beforeEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import type { EndpointSliceObject } from '../../src/kube/objects.ts';
import { KubeProxyMetrics } from '../../src/proxy/kube-proxy-metrics.ts';
import { slice } from './objects.ts';

let clock: VirtualClock;
let registry: Registry;
let metrics: KubeProxyMetrics;

beforeEach(() => {
  clock = new VirtualClock();
  registry = new Registry();
  metrics = new KubeProxyMetrics(registry, clock);
});

/** A figure by its name without the prefix, and of histograms with _sum or _count. */
async function figure(name: string): Promise<number | undefined> {
  const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(`kubeproxy_${name} `));
  return line === undefined ? undefined : Number(line.split(' ')[1]);
}

/** A slice that changed since something else did, so many milliseconds ago. */
function changedSince(ago: number): EndpointSliceObject {
  const plain = slice('web', [{ address: '10.244.0.1' }], [{ port: 8080 }]);
  const time = new Date(clock.wallTime().getTime() - ago).toISOString();
  const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': time };
  return { ...plain, metadata: { ...plain.metadata, annotations } };
}

it('the time from a change of a pod to its rules is that from what its slice says', async () => {
  await clock.advance(10_000);
  metrics.noteChange('endpoint', changedSince(300));
  metrics.noteChange('endpoint', changedSince(100));
  metrics.noteBegin();
  metrics.noteChange('endpoint', changedSince(0)); // which the next brings into force
  await clock.advance(50);
  metrics.noteSync(0.04);
  expect(await figure('network_programming_duration_seconds_count')).toBe(2);
  expect(await figure('network_programming_duration_seconds_sum')).toBeCloseTo(0.35 + 0.15, 6);
  metrics.noteBegin();
  metrics.noteSync(0.01);
  expect(await figure('network_programming_duration_seconds_count')).toBe(3);
  expect(await figure('network_programming_duration_seconds_sum')).toBeCloseTo(0.35 + 0.15 + 0.05, 6);
  expect(await figure('sync_proxy_rules_duration_seconds_count')).toBe(2);
  expect(await figure('sync_proxy_rules_duration_seconds_sum')).toBeCloseTo(0.05, 6);
});

it('what changed before the start, at a time that cannot be read, or without a time is not measured', async () => {
  await clock.advance(10_000);
  const unreadable = changedSince(0);
  metrics.noteChange('endpoint', changedSince(10_001));
  metrics.noteChange('endpoint', slice('web', [], [{ port: 8080 }]));
  metrics.noteChange('endpoint', {
    ...unreadable,
    metadata: {
      ...unreadable.metadata,
      annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': 'yesterday' },
    },
  });
  metrics.noteBegin();
  metrics.noteSync(0.01);
  expect(await figure('network_programming_duration_seconds_count')).toBe(0);
  expect(await figure('sync_proxy_rules_endpoint_changes_total')).toBe(3);
  expect(await figure('sync_proxy_rules_service_changes_total')).toBe(0);
});

it('a slice that comes from the future took no time', async () => {
  metrics.noteChange('endpoint', changedSince(-5_000));
  metrics.noteBegin();
  metrics.noteSync(0.01);
  expect(await figure('network_programming_duration_seconds_count')).toBe(1);
  expect(await figure('network_programming_duration_seconds_sum')).toBe(0);
});

it('when something waits longer than the last bringing up to date is old, an alert can see it', async () => {
  const now = () => clock.wallTime().getTime() / 1000;
  metrics.noteChange('service');
  metrics.noteBegin();
  metrics.noteSync(0.01);
  const synced = now();
  await clock.advance(5_000);
  const queued = now();
  metrics.noteChange('service');
  await clock.advance(30_000);
  metrics.noteChange('endpoint');
  metrics.noteFailure();
  expect(await figure('sync_proxy_rules_last_timestamp_seconds')).toBe(synced);
  expect(await figure('sync_proxy_rules_last_queued_timestamp_seconds')).toBe(queued);
  expect(await figure('sync_proxy_rules_nftables_sync_failures_total')).toBe(1);
});

it('counts what was cleaned up', async () => {
  metrics.noteCleaning(0.3, 1_000);
  metrics.noteCleaning(0.1, 5);
  expect(await figure('conntrack_reconciler_deleted_entries_total')).toBe(1_005);
  expect(await figure('conntrack_reconciler_sync_duration_seconds_count')).toBe(2);
});
