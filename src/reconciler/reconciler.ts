// One Service from "changed" to "done", where it is served from pools: read, ask the provider, write the difference.
import { describe } from '../api/problem.ts';
import { PLACES_ANNOTATION, readService, type ServiceClasses, type ServiceRead } from '../api/service.ts';
import { POOL_ANNOTATION } from '../api/service-addresses.ts';
import type { NamespaceObject, ServiceObject } from '../kube/objects.ts';
import { keyOf, type Store } from '../kube/store.ts';
import type { Outcome, Provider } from '../providers/provider.ts';
import type { Lease } from '../queue/work-queue.ts';
import { bearsOurMark, clearingPatch, emptyingPatch, statusPatch } from '../status/service-status.ts';
import { type CloudClasses, isCloudService } from './cloud-route.ts';
import { Feed } from './feed.ts';
import { firstClaims } from './first-claims.ts';
import { LatestServices } from './latest-services.ts';
import { ServiceWriter, type ServiceWriterOptions } from './service-writer.ts';
import { checkHeld, type Run, type WorkersOptions, workUntil } from './workers.ts';

export interface ReconcilerOptions extends WorkersOptions, ServiceWriterOptions {
  readonly services: Store<ServiceObject>;
  readonly namespaces: Store<NamespaceObject>;
  readonly provider: Provider;
  readonly classes: ServiceClasses;
  /** Services of other classes, which a cloud serves. */
  readonly cloud?: CloudClasses;
  /** Called after each step that may have changed what is allocated. */
  readonly onAllocation: () => void;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #latest: LatestServices;
  readonly #feed: Feed;
  readonly #writer: ServiceWriter;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#latest = new LatestServices(options.services);
    // Keys of pools are one lane: addresses are given by age.
    this.#feed = new Feed({
      ...options,
      ask: () => ({ account: '' }),
      onGone: (key) => options.queue.add(key),
    });
    this.#writer = new ServiceWriter(options, this.#latest);
  }

  /** Works until `signal` aborts. The stores must hold their first whole list, and the provider its pools. */
  async run(signal: AbortSignal): Promise<void> {
    const { services, namespaces, queue, provider } = this.#options;
    await this.#keepAll();
    const owned = await provider.listOwned();
    // From here to the subscriptions nothing waits, so that no change falls in between.
    this.#feed.addAll(owned);
    const unsubscribe = [
      queue.subscribe(() => void provider.listOwned().then((keys) => this.#feed.addAll(keys))),
      services.subscribe((key) => this.#feed.add(key)),
      namespaces.subscribe((name) => this.#addNamespace(name)),
      provider.subscribe((key) => this.#feed.add(key)),
    ];
    await workUntil(signal, this.#options, (lease) => this.#reconcile(lease));
    for (const end of unsubscribe) end();
  }

  /** Who has an address is known before anybody gets one: a Service that may stay wins over one that moves. */
  async #keepAll(): Promise<void> {
    const { provider, cloud, onAllocation, services } = this.#options;
    // A Service that has gone over to a cloud has its address for as long as its status shows it.
    const read = (service: ServiceObject) =>
      cloud && isCloudService(service, cloud) ? this.#read(service, cloud.classes) : this.#read(service);
    for (const request of firstClaims(services.values(), read)) await provider.keep(request);
    onAllocation();
  }

  /** A namespace's labels decide on the pools of its Services. */
  #addNamespace(name: string): void {
    for (const service of this.#options.services.values())
      if (service.metadata.namespace === name) this.#feed.add(keyOf(service));
  }

  #read(service: ServiceObject, classes = this.#options.classes): ServiceRead {
    const { namespaces } = this.#options;
    const labels = namespaces.get(service.metadata.namespace ?? '')?.metadata.labels ?? {};
    return readService(service, classes, labels);
  }

  async #reconcile(lease: Lease): Promise<Run> {
    const { key } = lease;
    const { provider, cloud, onAllocation, clock } = this.#options;
    const service = this.#latest.get(key);
    const beforeWrite = () => checkHeld(lease);
    if (!service) {
      await this.#free(key, beforeWrite);
      return { ended: 'deleted' };
    }
    const read = this.#read(service);
    const goes = service.metadata.deletionTimestamp !== undefined;
    const isServed = !goes && (read.kind === 'valid' || read.kind === 'invalid');
    const places = service.metadata.annotations?.[PLACES_ANNOTATION];
    if ((cloud && isCloudService(service, cloud)) || (places !== undefined && !isServed)) {
      // Whoever works on its cloud writes its status, and lets go of it; its address is free when that shows it no more.
      if (showsPools(service)) return { ended: 'foreign' };
      const proof = this.#writer.orProof(service, undefined);
      if (proof) await this.#writer.write(service, proof, beforeWrite);
      await this.#free(key, beforeWrite);
      return { ended: 'foreign' };
    }
    if (goes || read.kind === 'foreign' || read.kind === 'unready') {
      await this.#release(service, read, beforeWrite);
      return { ended: goes ? 'deleted' : (read.kind as 'foreign' | 'unready') }; // what is served does not come here
    }
    const outcome =
      read.kind === 'valid' ? await provider.ensure(read.value, beforeWrite) : await this.#refuse(read);
    onAllocation();
    // What a cloud made for it before its class changed goes when it is served here.
    const patch = this.#writer.orProof(service, statusPatch(service, outcome, clock.wallTime(), places));
    const after = patch ? await this.#writer.writeAndTell(service, patch, beforeWrite) : service;
    if (after) {
      await provider.shows(key, outcome.addresses);
      onAllocation();
    }
    return { ended: outcome.kind, ...(outcome.again === undefined ? {} : { again: outcome.again }) };
  }

  async #free(key: string, beforeWrite: () => void): Promise<void> {
    await this.#options.provider.remove(key, beforeWrite);
    this.#options.onAllocation();
  }

  /**
   * Empties the status, then frees the address, then lets go of the Service: nobody is given what still shows on
   * another, and wherever this is cut off, our condition is there for the next try to find.
   */
  async #release(service: ServiceObject, { kind }: ServiceRead, beforeWrite: () => void): Promise<void> {
    const concerned = kind !== 'foreign' || bearsOurMark(service);
    const emptying = this.#writer.orProof(service, concerned ? emptyingPatch(service) : undefined);
    const emptied = emptying ? await this.#writer.write(service, emptying, beforeWrite) : service;
    await this.#free(keyOf(service), beforeWrite);
    const clearing = concerned && emptied ? clearingPatch(emptied) : undefined;
    if (clearing && emptied && (await this.#writer.write(emptied, clearing, beforeWrite)))
      this.#writer.tell(service, clearing);
  }

  /** A Service whose wishes cannot be read keeps what it has. */
  async #refuse({ problems, keeps }: Extract<ServiceRead, { kind: 'invalid' }>): Promise<Outcome> {
    const kept = await this.#options.provider.keep(keeps);
    return { ...kept, kind: 'refused', reason: 'InvalidRequest', message: problems.map(describe).join('; ') };
  }
}

/** Whether its status may show an address of a pool. */
function showsPools({ metadata, status }: ServiceObject): boolean {
  const ingress = status?.loadBalancer?.ingress ?? [];
  const isFromPool = metadata.annotations?.[POOL_ANNOTATION] !== undefined;
  return ingress.some(({ ip }) => isFromPool || ip !== undefined);
}
