// What the lab itself follows of its API server, and what runs on it in place of kube-controller-manager.
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { systemClock } from '../clock/clock.ts';
import type { KubeApi, Resource } from '../kube/kube-api.ts';
import type { LeaseObject } from '../kube/lease.ts';
import { kubeMetrics } from '../kube/metrics.ts';
import type {
  EndpointSliceObject,
  KubeObject,
  NodeObject,
  PodObject,
  ServiceObject,
} from '../kube/objects.ts';
import { Reflector } from '../kube/reflector.ts';
import { ENDPOINT_SLICES, LEASES, NODES, PODS, SERVICES } from '../kube/resources.ts';
import { Store } from '../kube/store.ts';
import { runEndpointSlices } from './endpoint-slices.ts';
import { runNodeLifecycle } from './node-lifecycle.ts';

export class StandIns {
  readonly services = new Store<ServiceObject>();
  readonly slices = new Store<EndpointSliceObject>();
  readonly nodes = new Store<NodeObject>();
  readonly pods = new Store<PodObject>();
  readonly leases = new Store<LeaseObject>();
  readonly #stop = new AbortController();
  readonly #runs: Promise<void>[] = [];

  /** Resolves when everything is followed. What goes wrong later is in the log, and tried again. */
  async start(api: KubeApi, logFile: string): Promise<void> {
    const { signal } = this.#stop;
    const log = pino({ level: 'warn', base: { component: 'lab' } }, pino.destination(logFile));
    const common = {
      api,
      clock: systemClock,
      random: Math.random,
      log,
      metrics: kubeMetrics(new Registry()),
    };
    const follow = <T extends KubeObject>(resource: Resource<T>, store: Store<T>) => {
      const reflector = new Reflector({ ...common, resource, store });
      this.#runs.push(reflector.run(signal));
      return reflector.synced;
    };
    const onError = (error: Error) => log.warn({ error: error.message }, 'a stand-in failed; will try again');
    await Promise.all([
      follow(SERVICES, this.services),
      follow(ENDPOINT_SLICES, this.slices),
      follow(NODES, this.nodes),
      follow(PODS, this.pods),
    ]);
    const { services, slices, nodes, pods, leases } = this;
    runNodeLifecycle({ api, clock: systemClock, leases, nodes, pods, onError }, signal);
    runEndpointSlices({ api, services, pods, slices, onError }, signal);
    await follow(LEASES, leases);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#runs);
  }
}
