// One Service from "changed" to "done": read, ask the provider, write the difference.
import { describe } from '../api/problem.ts';
import { readService, type ServiceClasses, type ServiceRead } from '../api/service.ts';
import { ALLOCATED_CONDITION } from '../api/service-addresses.ts';
import { type Clock, sleep } from '../clock/clock.ts';
import { isDenied } from '../kube/denials.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { NamespaceObject, ServiceObject } from '../kube/objects.ts';
import { SERVICES } from '../kube/resources.ts';
import { keyOf, type Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import { type Outcome, type Provider, RemovalPendingError } from '../providers/provider.ts';
import type { AddOptions, Lease, WorkOutcome, WorkQueue } from '../queue/work-queue.ts';
import { eventFor } from '../status/service-event.ts';
import {
  bearsOurMark,
  claimingPatch,
  clearingPatch,
  emptyingPatch,
  type StatusPatch,
  statusPatch,
} from '../status/service-status.ts';
import { type CloudRoute, isCloudService } from './cloud-route.ts';
import { firstClaims } from './first-claims.ts';
import { LatestServices } from './latest-services.ts';
import type { ReconcilerMetrics } from './metrics.ts';
import { onWishes, versionOf } from './wishes.ts';

export const FIELD_MANAGER = 'fairlead-controller';

/** Status writes under way at once. Allocation itself is one synchronous step, in the order of the queue. */
const CONCURRENCY = 32;
/** Milliseconds that a worker rests while the API server is away. */
const AWAY_PAUSE = 500;
/** Milliseconds that writes under way have to finish after the signal to stop, which allows two seconds in all. */
const STOP_PATIENCE = 1_000;

export interface ReconcilerOptions {
  readonly api: KubeApi;
  readonly services: Store<ServiceObject>;
  readonly namespaces: Store<NamespaceObject>;
  readonly provider: Provider;
  readonly queue: WorkQueue;
  readonly classes: ServiceClasses;
  /** Services of other classes, which a cloud serves. */
  readonly cloud?: CloudRoute;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
  /** Called after each step that may have changed what is allocated. */
  readonly onAllocation: () => void;
  /** Which Services this reconciler is for: it leaves all others alone. By default it is for all. */
  readonly concerns?: (service: ServiceObject) => boolean;
  /** The cloud account that the work on a Service goes to, where `cloud` does not say. By default there is none. */
  readonly accountOf?: (service: ServiceObject) => string | undefined;
  /**
   * Given where several controllers work on one queue: whether this one says what is to be done. What it knows may
   * be older than what another has written, so that each run reads its Service from the API server.
   */
  readonly leads?: () => boolean;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #latest: LatestServices;
  /** Keys that are about to be queued. */
  readonly #batch = new Set<string>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#latest = new LatestServices(options.services);
  }

  /** Works until `signal` aborts. The stores must hold their first whole list, and the provider its pools. */
  async run(signal: AbortSignal): Promise<void> {
    const { services, namespaces, queue, provider, cloud } = this.#options;
    await this.#keepAll();
    const owned = await this.#listOwned();
    // From here to the subscriptions nothing waits, so that no change falls in between.
    this.#addAll(owned);
    const unsubscribe = [
      queue.subscribe(() => void this.lookAtAll()),
      this.#options.leads
        ? onWishes(services, (key) => this.#add(key))
        : services.subscribe((key) => this.#add(key)),
      namespaces.subscribe((name) => this.#addNamespace(name)),
      provider.subscribe((key) => this.#add(key)),
      ...(cloud ? [cloud.provider.subscribe((key) => this.#add(key))] : []),
    ];
    const workers = Array.from({ length: CONCURRENCY }, () => this.#work(signal));
    await Promise.race([Promise.all(workers), this.#stopPatience(signal)]);
    for (const end of unsubscribe) end();
  }

  /** What may have been missed is queued: the queue forgot it, or the controller that led has died. */
  async lookAtAll(): Promise<void> {
    this.#addAll(await this.#listOwned());
  }

  async #listOwned(): Promise<readonly string[]> {
    const { provider, cloud } = this.#options;
    return [...(await provider.listOwned()), ...((await cloud?.provider.listOwned()) ?? [])];
  }

  /** Who has an address is known before anybody gets one: a Service that may stay wins over one that moves. */
  async #keepAll(): Promise<void> {
    const { provider, cloud, onAllocation } = this.#options;
    // A Service that has gone over to a cloud has its address for as long as its status shows it.
    const read = (service: ServiceObject) =>
      cloud && isCloudService(service, cloud) ? this.#read(service, cloud.classes) : this.#read(service);
    for (const request of firstClaims(this.#concerned(), read)) await provider.keep(request);
    onAllocation();
  }

  /** Resolves when a write that is still under way after `signal` has had its chance. */
  async #stopPatience(signal: AbortSignal): Promise<void> {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await sleep(this.#options.clock, STOP_PATIENCE);
  }

  /** What is gone and still has something first, then a second look at everything else. */
  #addAll(owned: readonly string[]): void {
    const { services, queue, leads } = this.#options;
    if (leads?.() === false) return;
    for (const key of owned) if (!services.get(key)) queue.add(key);
    for (const service of this.#concerned().sort(byTurn)) {
      // What several share may be done already, and waits in the queue for its next time.
      const unless = leads ? { unlessFinished: versionOf(service) } : {};
      this.#enqueue(service, { priority: 'resync', ...unless });
    }
  }

  #concerned(): ServiceObject[] {
    const { services, concerns = () => true } = this.#options;
    return [...services.values()].filter(concerns);
  }

  /** A namespace's labels decide on the pools of its Services. */
  #addNamespace(name: string): void {
    for (const service of this.#options.services.values())
      if (service.metadata.namespace === name) this.#add(keyOf(service));
  }

  /** What changes in one step (a whole list that came anew) is queued in this order: what is gone, what goes, then by age. */
  #add(key: string): void {
    const { services, queue, concerns = () => true, leads } = this.#options;
    if (leads?.() === false) return;
    this.#batch.add(key);
    if (this.#batch.size > 1) return;
    queueMicrotask(() => {
      const keys = [...this.#batch];
      this.#batch.clear();
      const found = keys.map((each) => services.get(each)).filter((service) => service !== undefined);
      for (const each of keys) if (!services.get(each)) queue.add(each);
      for (const service of found.filter(concerns).sort(byTurn)) this.#enqueue(service, {});
    });
  }

  /** The Services of one cloud account in one namespace take turns with those of others. */
  #enqueue(service: ServiceObject, options: AddOptions): void {
    const { queue, cloud, accountOf = () => '' } = this.#options;
    const account =
      cloud && isCloudService(service, cloud) ? cloud.provider.accountOf(service) : accountOf(service);
    queue.add(keyOf(service), { ...options, account: account ?? '' });
  }

  #read(service: ServiceObject, classes = this.#options.classes): ServiceRead {
    const { namespaces } = this.#options;
    const labels = namespaces.get(service.metadata.namespace ?? '')?.metadata.labels ?? {};
    return readService(service, classes, labels);
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { queue, clock, metrics } = this.#options;
    for (let lease = await queue.take(signal); lease; lease = await queue.take(signal)) {
      const { key, waited } = lease;
      metrics.queueWait.observe(waited / 1000);
      const began = clock.now();
      let outcome: WorkOutcome = { kind: 'finished' };
      try {
        const { ended, ...run } = await this.#reconcile(lease);
        outcome = { kind: 'finished', ...run };
        metrics.reconciles.inc({ outcome: ended });
        metrics.duration.observe((clock.now() - began) / 1000);
      } catch (error) {
        metrics.reconciles.inc({ outcome: 'error' });
        outcome = await this.#afterFailure(key, error, signal);
      }
      queue.done(lease, outcome);
    }
  }

  async #afterFailure(key: string, error: unknown, signal: AbortSignal): Promise<WorkOutcome> {
    const { clock, log } = this.#options;
    if (error instanceof RemovalPendingError) return { kind: 'retry', after: error.retryAfter };
    if (error instanceof LeaseLost) {
      log.warn({ service: key, token: error.token }, 'lost the right to a Service while working on it');
      return { kind: 'retry' };
    }
    const status = error instanceof KubeError ? error.status : undefined;
    if (status === 0) {
      // The API server is away. The worker rests instead of the key, so that whatever many keys wait, the
      // server is asked rarely until it answers, and then for all of them at once.
      await sleep(clock, AWAY_PAUSE, signal);
      return { kind: 'retry', after: 0 };
    }
    if (error instanceof KubeError && error.retryAfter !== undefined)
      return { kind: 'retry', after: error.retryAfter };
    // 409: the store is behind, and the watch is about to bring what changed. What is denied was told already.
    if (status !== 409 && !isDenied(error))
      log.error({ service: key, error }, 'reconciling a Service failed; will try again');
    // Whatever else the API server answers (no rights, too many requests, a fault of its own) is no fault of the
    // Service, and must not park it.
    const atFault = status === undefined || status === 400 || status === 422;
    return atFault && error instanceof Error ? { kind: 'retry', error: error.message } : { kind: 'retry' };
  }

  async #reconcile(lease: Lease): Promise<Run> {
    const { key } = lease;
    const { provider, cloud, onAllocation, clock, concerns, leads } = this.#options;
    const service = leads ? await this.#readAnew(key) : this.#latest.get(key);
    const beforeWrite = () => checkHeld(lease);
    if (!service) {
      await provider.remove(key, beforeWrite);
      onAllocation();
      await cloud?.provider.remove(key, beforeWrite);
      return { ended: 'deleted' };
    }
    if (concerns?.(service) === false) return { ended: 'foreign' };
    if (cloud && isCloudService(service, cloud)) return this.#reconcileInCloud(lease, service, cloud);
    const read = this.#read(service);
    if (service.metadata.deletionTimestamp !== undefined) {
      await this.#release(lease, service, read);
      return { ended: 'deleted' };
    }
    if (read.kind === 'foreign' || read.kind === 'unready') {
      await this.#release(lease, service, read);
      return { ended: read.kind };
    }
    const outcome =
      read.kind === 'valid' ? await provider.ensure(read.value, beforeWrite) : await this.#refuse(read);
    onAllocation();
    // What a cloud made for it before its class changed goes when it is served here.
    const places = cloud?.provider.placesOf(service);
    const patch = this.#orProof(service, statusPatch(service, outcome, clock.wallTime(), places));
    const after = patch ? await this.#write(lease, service, patch) : service;
    if (patch && after) this.#tell(service, patch);
    if (after) {
      await provider.shows(key, outcome.addresses);
      onAllocation();
    }
    if (after && places !== undefined && outcome.kind === 'done') {
      await cloud?.provider.remove(key, beforeWrite);
      const last = statusPatch(after, outcome, clock.wallTime());
      if (last) await this.#write(lease, after, last);
    }
    return {
      ended: outcome.kind,
      ...(outcome.again === undefined ? {} : { again: outcome.again }),
      ...(leads ? { version: versionOf(service) } : {}),
    };
  }

  async #readAnew(key: string): Promise<ServiceObject | undefined> {
    const [namespace = '', name = ''] = key.split('/');
    try {
      return await this.#options.api.get(SERVICES, { namespace, name });
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** The Service bears our finalizer, and the accounts in which there may be something, before anything is made there. */
  async #reconcileInCloud(
    lease: Lease,
    service: ServiceObject,
    { classes, provider }: CloudRoute,
  ): Promise<Run> {
    const { clock, onAllocation } = this.#options;
    const beforeWrite = () => checkHeld(lease);
    const read = this.#read(service, classes);
    if (service.metadata.deletionTimestamp !== undefined) {
      await this.#release(lease, service, read);
      return { ended: 'deleted' };
    }
    if (read.kind === 'foreign' || read.kind === 'unready') {
      await this.#release(lease, service, read);
      return { ended: read.kind };
    }
    const places = provider.claim(service);
    const claim = places === undefined ? undefined : claimingPatch(service, places);
    const claimed = claim ? await this.#write(lease, service, claim) : service;
    if (!claimed) return { ended: 'deleted' };
    const outcome = await provider.ensure(read.kind === 'valid' ? read.value : read.keeps, beforeWrite);
    if (outcome.kind === 'waiting') return { ended: 'waiting' };
    const shown = statusPatch(claimed, outcome, clock.wallTime(), provider.placesOf(service));
    const patch = this.#orProof(claimed, shown);
    if (patch && (await this.#write(lease, claimed, patch))) this.#tell(claimed, patch);
    // An address from before its class changed is free when the Service shows it no more.
    await this.#options.provider.remove(lease.key, beforeWrite);
    onAllocation();
    return { ended: outcome.kind };
  }

  /**
   * Empties the status, then frees the address, then lets go of the Service: nobody is given what still shows on
   * another, and wherever this is cut off, our condition is there for the next try to find.
   */
  async #release(lease: Lease, service: ServiceObject, { kind }: ServiceRead): Promise<void> {
    const { provider, cloud, onAllocation, clock } = this.#options;
    const concerned = kind !== 'foreign' || bearsOurMark(service);
    const emptying = this.#orProof(service, concerned ? emptyingPatch(service) : undefined);
    const emptied = emptying ? await this.#write(lease, service, emptying) : service;
    const beforeWrite = () => checkHeld(lease);
    await provider.remove(keyOf(service), beforeWrite);
    onAllocation();
    if (cloud && emptied) {
      try {
        await cloud.provider.remove(keyOf(service), beforeWrite);
      } catch (error) {
        if (!(error instanceof RemovalPendingError)) throw error;
        const { reason, message } = error;
        const held = statusPatch(
          emptied,
          { kind: 'pending', reason, message, addresses: [] },
          clock.wallTime(),
          cloud.provider.placesOf(emptied),
        );
        if (held && (await this.#write(lease, emptied, held))) this.#tell(emptied, held);
        throw error;
      }
    }
    const clearing = concerned && emptied ? clearingPatch(emptied) : undefined;
    if (clearing && emptied && (await this.#write(lease, emptied, clearing))) this.#tell(service, clearing);
  }

  /** A Service whose wishes cannot be read keeps what it has. */
  async #refuse({ problems, keeps }: Extract<ServiceRead, { kind: 'invalid' }>): Promise<Outcome> {
    const kept = await this.#options.provider.keep(keeps);
    return { ...kept, kind: 'refused', reason: 'InvalidRequest', message: problems.map(describe).join('; ') };
  }

  /** Resolves with the Service as it is then, or undefined where it is gone: the watch says so too. */
  async #write(lease: Lease, service: ServiceObject, patch: StatusPatch): Promise<ServiceObject | undefined> {
    checkHeld(lease);
    const { name, namespace = '' } = service.metadata;
    const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
    try {
      const written = await this.#options.api.patch(SERVICES, { name, namespace }, patch, options);
      this.#latest.wrote(service, written);
      return written;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      if (!isRefusal(error)) this.#latest.unanswered(keyOf(service));
      throw error;
    }
  }

  /**
   * Where nothing is to be written, but the Service may not be what it seems: a patch of nothing, which the API server
   * takes from who knows its version.
   */
  #orProof({ metadata }: ServiceObject, patch: StatusPatch | undefined): StatusPatch | undefined {
    const { resourceVersion, namespace, name } = metadata;
    const unsure = resourceVersion !== undefined && this.#latest.isUnsure(`${namespace}/${name}`);
    return patch ?? (unsure ? { metadata: { resourceVersion } } : undefined);
  }

  /** Logs and records the change of state that a patch, once written, made. */
  #tell(before: ServiceObject, patch: StatusPatch): void {
    const { events, log, metrics } = this.#options;
    const event = eventFor(before, patch);
    if (!event) return;
    // What is given or given up is told by the audit trail.
    if (event.type === 'Warning') {
      metrics.changes.inc({ kind: 'refused', cause: reasonOf(patch) });
      log.info({ service: keyOf(before), reason: event.reason, note: event.note }, 'a Service is refused');
    }
    events.record({ ...before, apiVersion: 'v1', kind: 'Service' }, event);
  }
}

/** How a run ended, as the metric names it, and when the next one is due without a change. */
interface Run {
  readonly ended: Outcome['kind'] | 'deleted' | 'foreign' | 'unready' | 'waiting';
  readonly again?: number;
  /** Of the Service, where others may ask for it. */
  readonly version?: string;
}

/** Whether the API server says that it has not done what it was asked. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && error.status >= 400 && error.status < 500;
}

/** Right before each write. */
function checkHeld(lease: Lease): void {
  if (!lease.held()) throw new LeaseLost(lease);
}

/** Another worker may be at this key: this one ends where it is. */
class LeaseLost extends Error {
  readonly token: number;

  constructor({ key, token }: Lease) {
    super(`the lease ${token} of ${key} is lost`);
    this.token = token;
  }
}

/** What goes makes room: it goes first. */
function byTurn(a: ServiceObject, b: ServiceObject): number {
  const [first, second] = [a, b].map(({ metadata }) => (metadata.deletionTimestamp === undefined ? 1 : 0));
  return (first ?? 0) - (second ?? 0) || byAge(a, b);
}

/** Why the Service was refused, as its condition says. */
function reasonOf({ status }: StatusPatch): string {
  return status?.conditions?.find(({ type }) => type === ALLOCATED_CONDITION)?.reason ?? '';
}

function byAge({ metadata: a }: ServiceObject, { metadata: b }: ServiceObject): number {
  const [first, second] = [
    `${a.creationTimestamp} ${a.namespace}/${a.name}`,
    `${b.creationTimestamp} ${b.namespace}/${b.name}`,
  ];
  return first < second ? -1 : 1;
}
