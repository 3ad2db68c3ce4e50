// One Service from "changed" to "done": read, ask the provider, write the difference.
import { describe } from '../api/problem.ts';
import { heldAddresses, readService, type ServiceClasses, type ServiceRequest } from '../api/service.ts';
import type { Clock } from '../clock/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { NamespaceObject, ServiceObject } from '../kube/objects.ts';
import { SERVICES } from '../kube/resources.ts';
import { keyOf, type Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import type { Outcome, Provider } from '../providers/provider.ts';
import type { WorkOutcome, WorkQueue } from '../queue/work-queue.ts';
import { eventFor } from '../status/service-event.ts';
import { clearingPatch, type StatusPatch, statusPatch } from '../status/service-status.ts';
import type { ReconcilerMetrics } from './metrics.ts';

export const FIELD_MANAGER = 'fairlead-controller';

/** Status writes under way at once. Allocation itself is one synchronous step, in the order of the queue. */
const CONCURRENCY = 32;

export interface ReconcilerOptions {
  readonly api: KubeApi;
  readonly services: Store<ServiceObject>;
  readonly namespaces: Store<NamespaceObject>;
  readonly provider: Provider;
  readonly queue: WorkQueue;
  readonly classes: ServiceClasses;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
  /** Called after each change to what is allocated. */
  readonly onAllocation: () => void;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** Services that could not be served whole: they are tried again when room appears. */
  readonly #waiting = new Set<string>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Works until `signal` aborts. The stores must hold their first whole list, and the provider its pools. */
  async run(signal: AbortSignal): Promise<void> {
    const { services, queue, provider } = this.#options;
    await provider.adopt(this.#holders());
    const unsubscribe = services.subscribe((key) => queue.add(key));
    this.requeueAll();
    await Promise.all(Array.from({ length: CONCURRENCY }, () => this.#work(signal)));
    unsubscribe();
  }

  /** Everything again, those that hold an address first, then by age: after a change of pools or namespaces. */
  requeueAll(): void {
    const { services, queue } = this.#options;
    const holds = (service: ServiceObject) => heldAddresses(service).length > 0;
    const all = [...services.values()].sort(byAge);
    for (const service of [...all.filter(holds), ...all.filter((each) => !holds(each))])
      queue.add(keyOf(service));
  }

  #holders(): ServiceRequest[] {
    const requests: ServiceRequest[] = [];
    for (const service of [...this.#options.services.values()].sort(byAge)) {
      const read = this.#read(service);
      if (read.kind === 'valid' && read.value.held.length > 0) requests.push(read.value);
    }
    return requests;
  }

  #read(service: ServiceObject) {
    const { classes, namespaces } = this.#options;
    const labels = namespaces.get(service.metadata.namespace ?? '')?.metadata.labels ?? {};
    return readService(service, classes, labels);
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { queue, clock, metrics, log } = this.#options;
    for (let key = await queue.take(signal); key !== undefined; key = await queue.take(signal)) {
      const began = clock.now();
      let outcome: WorkOutcome;
      try {
        outcome = await this.#reconcile(key);
      } catch (error) {
        outcome = { kind: 'retry' };
        metrics.reconciles.inc({ outcome: 'error' });
        if (!isExpected(error))
          log.error({ service: key, error }, 'reconciling a Service failed; will try again');
      }
      metrics.duration.observe((clock.now() - began) / 1000);
      queue.done(key, outcome);
    }
  }

  async #reconcile(key: string): Promise<WorkOutcome> {
    const { services, clock, metrics } = this.#options;
    const service = services.get(key);
    if (!service) {
      await this.#remove(key);
      metrics.reconciles.inc({ outcome: 'deleted' });
      return { kind: 'finished' };
    }
    const read = this.#read(service);
    if (read.kind === 'foreign' || read.kind === 'unready') {
      await this.#remove(key);
      await this.#write(service, clearingPatch(service));
      metrics.reconciles.inc({ outcome: read.kind });
      return { kind: 'finished' };
    }
    const outcome: Outcome =
      read.kind === 'valid'
        ? await this.#ensure(read.value)
        : {
            kind: 'refused',
            reason: 'InvalidRequest',
            message: read.problems.map(describe).join('; '),
            addresses: heldAddresses(service),
            ...sourceOf(service),
          };
    await this.#write(service, statusPatch(service, outcome, clock.wallTime()));
    metrics.reconciles.inc({ outcome: outcome.kind });
    return { kind: 'finished' };
  }

  async #ensure(request: ServiceRequest): Promise<Outcome> {
    const outcome = await this.#options.provider.ensure(request);
    if (outcome.kind === 'done') this.#waiting.delete(request.key);
    else this.#waiting.add(request.key);
    // A move makes room for others too.
    if (request.held.some((address) => !outcome.addresses.includes(address))) this.#madeRoom(request.key);
    this.#options.onAllocation();
    return outcome;
  }

  async #remove(key: string): Promise<void> {
    this.#waiting.delete(key);
    if (!(await this.#options.provider.remove(key))) return;
    this.#madeRoom(key);
    this.#options.onAllocation();
  }

  /** Those who wait try again, the oldest first. */
  #madeRoom(by: string): void {
    const { services, queue } = this.#options;
    const waiting = [...this.#waiting].map((key) => services.get(key)).filter((each) => each !== undefined);
    for (const service of waiting.sort(byAge)) if (keyOf(service) !== by) queue.add(keyOf(service));
  }

  async #write(service: ServiceObject, patch: StatusPatch | undefined): Promise<void> {
    if (!patch) return;
    const { api, events, log } = this.#options;
    const { name, namespace = '' } = service.metadata;
    const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
    try {
      await api.patch(SERVICES, { name, namespace }, patch, options);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return; // deleted meanwhile: the watch says so too
      throw error;
    }
    const event = eventFor(service, patch);
    if (!event) return;
    log.info(
      { service: keyOf(service), reason: event.reason, note: event.note },
      'the state of a Service changed',
    );
    events.record({ ...service, apiVersion: 'v1', kind: 'Service' }, event);
  }
}

function sourceOf({ metadata }: ServiceObject): { readonly source?: string } {
  const source = metadata.annotations?.['fairlead.dev/ip-allocated-from-pool'];
  return source === undefined ? {} : { source };
}

/** A conflict (the store is behind) or an API server that is away: the retry is all there is to do. */
function isExpected(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 409 || error.status === 0 || error.status >= 429);
}

function byAge({ metadata: a }: ServiceObject, { metadata: b }: ServiceObject): number {
  const [first, second] = [
    `${a.creationTimestamp} ${a.namespace}/${a.name}`,
    `${b.creationTimestamp} ${b.namespace}/${b.name}`,
  ];
  return first < second ? -1 : 1;
}
