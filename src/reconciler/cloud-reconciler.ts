// One Service from "changed" to "done", where a cloud serves it. Any number of controllers work on one queue, each on
// Services of its own at a time; the one that leads says what users changed.
import { isOurs, PLACES_ANNOTATION, readService, type ServiceClasses } from '../api/service.ts';
import { ALLOCATED_CONDITION, POOL_ANNOTATION } from '../api/service-addresses.ts';
import { KubeError } from '../kube/kube-api.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { SERVICES } from '../kube/resources.ts';
import { keyOf, type Store } from '../kube/store.ts';
import { type CloudNews, type CloudProvider, RemovalPendingError } from '../providers/provider.ts';
import type { AddOptions, Lease } from '../queue/work-queue.ts';
import {
  claimingPatch,
  clearingPatch,
  emptyingPatch,
  leavingPatch,
  statusPatch,
} from '../status/service-status.ts';
import { type CloudClasses, isCloudService } from './cloud-route.ts';
import { Feed } from './feed.ts';
import { ServiceWriter, type ServiceWriterOptions } from './service-writer.ts';
import { onVersions, versionOf } from './versions.ts';
import { checkHeld, type Run, type WorkersOptions, workUntil } from './workers.ts';

export interface CloudReconcilerOptions extends WorkersOptions, ServiceWriterOptions {
  /** As last heard: what is done is decided on by what the API server says then. */
  readonly services: Store<ServiceObject>;
  readonly provider: CloudProvider;
  readonly cloud: CloudClasses;
  /** Of Services that pools serve. */
  readonly pools: ServiceClasses;
  /** Whether this controller says what is to be done. */
  readonly leads: () => boolean;
  /** Asked, beside the lease of the run, right before each write. */
  readonly mayWrite: () => boolean;
}

export class CloudReconciler {
  readonly #options: CloudReconcilerOptions;
  readonly #feed: Feed;
  readonly #writer: ServiceWriter;

  constructor(options: CloudReconcilerOptions) {
    this.#options = options;
    const { provider } = options;
    this.#feed = new Feed({
      ...options,
      ask: (service) => this.#ask(service),
      onGone: (key) => provider.forget(key),
    });
    this.#writer = new ServiceWriter(options);
  }

  /** Works until `signal` aborts. The store must hold its first whole list. */
  async run(signal: AbortSignal): Promise<void> {
    const { services, queue, provider, leads } = this.#options;
    this.lookAtAll();
    const unsubscribe = [
      queue.subscribe(() => this.lookAtAll()),
      onVersions(services, (key) => (leads() || !services.get(key)) && this.#feed.add(key)),
      provider.subscribe((news) => this.#hear(news)),
    ];
    await workUntil(signal, this.#options, (lease) => this.#reconcile(lease));
    for (const end of unsubscribe) end();
  }

  /** What may have been missed is queued: the queue forgot it, or the controller that led has died. */
  lookAtAll(): void {
    if (this.#options.leads()) this.#feed.addAll();
  }

  /**
   * Each controller says what it has heard of nodes and endpoints: the run that one of them does may be the last
   * that knows nothing of it.
   */
  #hear(news: CloudNews): void {
    const { key, why } = news;
    const { queue, leads } = this.#options;
    if (why === 'inputs') this.#feed.add(key);
    else if (why === 'turn') queue.add(key, { thorough: news.thorough });
    else if (leads()) queue.add(key, { thorough: true, priority: 'resync' });
  }

  /** What is done of it already, by whomever, is not done again. */
  #ask(service: ServiceObject): AddOptions | undefined {
    const { provider, cloud } = this.#options;
    if (!isCloudService(service, cloud) && placesOn(service) === undefined) return undefined;
    return {
      account: provider.accountOf(service),
      unlessFinished: versionOf(service, provider.printOf(service)),
    };
  }

  async #reconcile(lease: Lease): Promise<Run> {
    const { cloud, pools, mayWrite } = this.#options;
    const service = await this.#readAnew(lease.key);
    if (!service) return { ended: 'deleted' };
    const beforeWrite = () => checkHeld(lease, mayWrite);
    const goes = service.metadata.deletionTimestamp !== undefined;
    if (isCloudService(service, cloud)) {
      // Labels of namespaces decide on pools alone.
      const isReady = readService(service, cloud.classes, {}).kind !== 'unready';
      if (isReady && !goes) return this.#serve(service, lease, beforeWrite);
    } else if (placesOn(service) === undefined) return { ended: 'foreign' };
    else if (isOurs(service, pools) && !goes) return this.#leave(service, beforeWrite);
    await this.#release(service, beforeWrite);
    return { ended: goes ? 'deleted' : 'unready' };
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
  async #serve(service: ServiceObject, { thorough }: Lease, beforeWrite: () => void): Promise<Run> {
    const { provider, clock } = this.#options;
    const print = provider.printOf(service);
    let claimed = service;
    const claim: Parameters<CloudProvider['ensure']>[1]['claim'] = async (wanted) => {
      const patch = claimingPatch(claimed, wanted);
      if (patch) claimed = (await this.#writer.write(claimed, patch, beforeWrite)) ?? gone(service);
    };
    try {
      const outcome = await provider.ensure(service, { beforeWrite, thorough, claim });
      if (outcome.kind === 'waiting') return { ended: 'waiting', again: outcome.again, thorough };
      const patch = statusPatch(claimed, outcome, clock.wallTime(), outcome.places);
      const after = patch ? await this.#writer.writeAndTell(claimed, patch, beforeWrite) : claimed;
      if (!after) return { ended: 'deleted' };
      const { again, thorough: next = false } = outcome;
      const version = versionOf(after, print);
      return { ended: outcome.kind, version, ...(again === undefined ? {} : { again, thorough: next }) };
    } catch (error) {
      if (error instanceof ServiceGone) return { ended: 'deleted' };
      throw error;
    }
  }

  /** What a cloud made for a Service before its class changed goes when a pool serves it. */
  async #leave(service: ServiceObject, beforeWrite: () => void): Promise<Run> {
    if (!isServedFromPool(service)) return { ended: 'waiting' };
    await this.#options.provider.remove(service, beforeWrite);
    const patch = leavingPatch(service);
    if (patch) await this.#writer.write(service, patch, beforeWrite);
    return { ended: 'done' };
  }

  /** Empties the status, then removes everything, then lets go of the Service. */
  async #release(service: ServiceObject, beforeWrite: () => void): Promise<void> {
    const { provider, clock } = this.#options;
    const emptying = emptyingPatch(service);
    const emptied = emptying ? await this.#writer.write(service, emptying, beforeWrite) : service;
    if (!emptied) return;
    try {
      await provider.remove(emptied, beforeWrite);
    } catch (error) {
      if (!(error instanceof RemovalPendingError)) throw error;
      const { reason, message } = error;
      const pending = { kind: 'pending', reason, message, addresses: [] } as const;
      const held = statusPatch(emptied, pending, clock.wallTime(), placesOn(emptied));
      if (held) await this.#writer.writeAndTell(emptied, held, beforeWrite);
      throw error;
    }
    const clearing = clearingPatch(emptied);
    if (clearing && (await this.#writer.write(emptied, clearing, beforeWrite)))
      this.#writer.tell(service, clearing);
  }
}

function placesOn({ metadata }: ServiceObject): string | undefined {
  return metadata.annotations?.[PLACES_ANNOTATION];
}

function isServedFromPool({ metadata, status }: ServiceObject): boolean {
  const allocated = status?.conditions?.find(({ type }) => type === ALLOCATED_CONDITION);
  return allocated?.status === 'True' && metadata.annotations?.[POOL_ANNOTATION] !== undefined;
}

function gone(service: ServiceObject): never {
  throw new ServiceGone(keyOf(service));
}

class ServiceGone extends Error {}
