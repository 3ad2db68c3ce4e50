// Services that benchmarks create, and when a watch shows their addresses.
import { systemClock } from '../src/clock/clock.ts';
import type { KubeApi } from '../src/kube/kube-api.ts';
import { kubeMetrics } from '../src/kube/metrics.ts';
import type { ServiceObject } from '../src/kube/objects.ts';
import { Reflector } from '../src/kube/reflector.ts';
import { SERVICES } from '../src/kube/resources.ts';
import { Store } from '../src/kube/store.ts';
import { createLogger } from '../src/observe/logger.ts';
import { createRegistry } from '../src/observe/metrics.ts';

/** There are fewer node ports than Services here. */
const NO_NODE_PORTS = { allocateLoadBalancerNodePorts: false };
/** Creations under way at once. */
const CONCURRENCY = 16;

export interface ServicesView {
  /** Resolves with the moment at which the Service was first seen with an address. */
  expect(key: string): Promise<number>;
  /** How often Services of this prefix changed after they were created. */
  changes(prefix: string): number;
  versions(): Map<string, string | undefined>;
  close(): void;
}

export async function followServices(api: KubeApi): Promise<ServicesView> {
  const store = new Store<ServiceObject>();
  const stop = new AbortController();
  const log = createLogger({ component: 'bench', level: 'silent' });
  const metrics = kubeMetrics(createRegistry());
  const reflector = new Reflector({
    api,
    resource: SERVICES,
    store,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
  });
  const run = reflector.run(stop.signal);
  await reflector.synced;
  return viewOf(store, () => {
    stop.abort();
    void run;
  });
}

/** Of what somebody follows. */
export function viewOf(store: Store<ServiceObject>, close = () => {}): ServicesView {
  const waiting = new Map<string, (at: number) => void>();
  const known = new Set<string>();
  const counts = new Map<string, number>();
  store.subscribe((key, service) => {
    const prefix = key.split('/')[1]?.split('-')[0] ?? '';
    if (known.has(key)) counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    known.add(key);
    if (service?.status?.loadBalancer?.ingress?.[0] === undefined) return;
    waiting.get(key)?.(performance.now());
    waiting.delete(key);
  });
  return {
    expect: (key) => new Promise((resolve) => waiting.set(key, resolve)),
    changes: (prefix) => counts.get(prefix) ?? 0,
    versions: () =>
      new Map([...store.values()].map(({ metadata }) => [metadata.name, metadata.resourceVersion])),
    close,
  };
}

/** In milliseconds. */
interface Created {
  /** From when each create returned to its address. */
  readonly latencies: number[];
  /** Of each create itself. */
  readonly creates: number[];
  /** Until the last create returned. */
  readonly took: number;
  /** From then to the last address. */
  readonly tail: number;
}

/** Creates so many Services and waits for their addresses. */
export async function createServices(
  view: ServicesView,
  api: KubeApi,
  prefix: string,
  count: number,
): Promise<Created> {
  const seen: Promise<number>[] = [];
  const returned: number[] = [];
  const creates: number[] = [];
  const began = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const i = next++;
      const name = `${prefix}-${i}`;
      seen[i] = view.expect(`default/${name}`);
      const asked = performance.now();
      await api.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'default' },
        spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...NO_NODE_PORTS },
      });
      returned[i] = performance.now();
      creates.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, count) }, worker));
  const at = await Promise.all(seen);
  // An address that was seen before its create returned took no time after it.
  const latencies = at.map((time, i) => Math.max(0, time - (returned[i] ?? time)));
  const last = returned.reduce((a, b) => Math.max(a, b), began);
  const tail = Math.max(0, at.reduce((a, b) => Math.max(a, b), began) - last);
  return { latencies, creates, took: last - began, tail };
}
