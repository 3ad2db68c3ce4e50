// The controller's part that works on cloud load balancers. With a queue of its own the controller that leads does all
// of it; where the queue is shared every controller does, and the one that leads says what is to be done.
import { hostname } from 'node:os';
import { AWS_CONTROLLER_CLASS, CLOUD_CLASSES, isOurs, type ServiceClasses } from '../api/service.ts';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import { KubeError } from '../kube/kube-api.ts';
import type { KubeObject, NamespaceObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { CLOUD_ACCOUNTS, ENDPOINT_SLICES, NAMESPACES, NODES, SERVICES } from '../kube/resources.ts';
import { SlicesByService } from '../kube/slices-by-service.ts';
import type { Store } from '../kube/store.ts';
import { AwsProvider } from '../providers/aws/aws-provider.ts';
import { connectAws } from '../providers/aws/sdk.ts';
import type { CloudProvider } from '../providers/provider.ts';
import type { TokenBuckets } from '../queue/token-buckets.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { CloudAccounts } from '../reconciler/cloud-accounts.ts';
import { CloudReconciler } from '../reconciler/cloud-reconciler.ts';
import type { CloudClasses } from '../reconciler/cloud-route.ts';
import type { ReconcilerMetrics } from '../reconciler/metrics.ts';
import { podAccess } from '../reconciler/pod-access.ts';
import { bearsOurMark } from '../status/service-status.ts';
import type { Process } from './processes.ts';
import { openQueue, type QueueOptions } from './queue-option.ts';

export interface CloudOptions {
  /** Whether Services without a class are the default account's. */
  readonly classless: boolean;
  /** Milliseconds. */
  readonly driftCheck: number;
  readonly orphanGrace: number;
}

export interface CloudWork {
  readonly options: QueueOptions;
  /** Of Services that pools serve. */
  readonly pools: ServiceClasses;
  readonly metrics: ReconcilerMetrics;
  /** Where the queue is shown for as long as it is used. */
  readonly queues: Set<WorkQueue>;
  readonly open: OpenCloud;
  /** Whether this controller leads, and whether it may write: where the queue is shared, the right to a key is enough. */
  readonly leads: () => boolean;
  readonly mayWrite: () => boolean;
}

/** A cloud whose provider answers when `start` resolved. */
export interface Cloud {
  readonly classes: CloudClasses;
  readonly provider: CloudProvider;
  /** `buckets`: for what an account allows, however many controllers work for it. */
  start(buckets: TokenBuckets): Promise<void>;
  /** This controller leads from now on. */
  takeOver(): void;
  close(): void;
}

export type OpenCloud = (sources: CloudSources, signal: AbortSignal) => Cloud;

export interface CloudSources {
  readonly process: Process;
  readonly api: Process['api'];
  readonly services: Store<ServiceObject>;
  readonly namespaces: Store<NamespaceObject>;
  readonly accounts: Store<KubeObject>;
  readonly nodes: Store<NodeObject>;
  readonly leads: () => boolean;
}

export class Clouds {
  readonly #work: CloudWork;
  #running: { readonly reconciler: CloudReconciler; readonly cloud: Cloud } | undefined;

  constructor(work: CloudWork) {
    this.#work = work;
  }

  /** Works until `signal` aborts, and then hands over what it is at. */
  async run(process: Process, signal: AbortSignal): Promise<void> {
    const { log } = process;
    const { options, queues, open, ...work } = this.#work;
    const services = process.follow(SERVICES, signal);
    const namespaces = process.follow(NAMESPACES, signal);
    const nodes = process.follow(NODES, signal);
    const accounts = process.follow(CLOUD_ACCOUNTS, signal);
    const stop = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    const whole = [services.synced, namespaces.synced, nodes.synced, accounts.settled];
    await Promise.race([stop, Promise.all(whole)]);
    if (signal.aborted) return;
    const opened = await openQueue(options, { share: 'clouds', namespaces: namespaces.store, log, signal });
    if (!opened) return;
    const { queue, buckets, close } = opened;
    // Each write names the version of the Service that it was computed from.
    const api = await process.connectToWrite(work.mayWrite);
    const stores = { services: services.store, namespaces: namespaces.store, nodes: nodes.store };
    const { leads } = work;
    const cloud = open({ process, api, ...stores, accounts: accounts.store, leads }, signal);
    const reconciler = new CloudReconciler({
      ...work,
      api,
      log,
      queue,
      clock: systemClock,
      services: services.store,
      provider: cloud.provider,
      cloud: cloud.classes,
      events: new EventRecorder({ api, clock: systemClock, log, instance: hostname() }),
    });
    try {
      await Promise.race([stop, cloud.start(buckets)]);
      this.#running = { reconciler, cloud };
      queues.add(queue);
      log.info({ services: services.store.size }, 'working on clouds');
      if (!signal.aborted) await reconciler.run(signal);
    } finally {
      this.#running = undefined;
      queues.delete(queue);
      cloud.close();
      await close();
    }
  }

  /** This controller leads from now on: what its predecessor may have missed is queued. */
  takeOver(): void {
    this.#running?.cloud.takeOver();
    this.#running?.reconciler.lookAtAll();
  }
}

/** The AWS controller's own class is its own in a cluster that has no account of ours. */
export function cloudClasses(
  { classless }: Pick<CloudOptions, 'classless'>,
  accounts: Store<KubeObject>,
): CloudClasses {
  return {
    classes: { classes: new Set(CLOUD_CLASSES), classless },
    leaves: (service) =>
      service.spec.loadBalancerClass === AWS_CONTROLLER_CLASS &&
      accounts.size === 0 &&
      !bearsOurMark(service),
  };
}

export function aws(options: CloudOptions): OpenCloud {
  return ({ process, api, services, namespaces, accounts, nodes, leads }, signal) => {
    const { log } = process;
    const { driftCheck, orphanGrace } = options;
    const classes = cloudClasses(options, accounts);
    let slices: SlicesByService | undefined;
    const provider = new AwsProvider({
      clock: systemClock,
      random: Math.random,
      driftCheck,
      orphanGrace,
      log,
      leads,
      onLook: () => cloudAccounts.changed(),
      sources: {
        service: (key) => services.get(key),
        services: () => services.values(),
        isCandidate: (service) => isOurs(service, classes.classes),
        nodes: () => [...nodes.values()],
        slices: (key) => slices?.get(key) ?? [],
        pods: podAccess(api, systemClock),
        clusterUid: () => namespaces.get('kube-system')?.metadata.uid ?? '',
        isGone: async ({ key, uid }) => {
          const [namespace = '', name = ''] = key.split('/');
          try {
            return (await api.get(SERVICES, { namespace, name })).metadata.uid !== uid;
          } catch (error) {
            if (error instanceof KubeError && error.status === 404) return true;
            throw error;
          }
        },
      },
    });
    let endpoints: Promise<void> | undefined;
    const cloudAccounts = new CloudAccounts({
      api,
      accounts,
      provider,
      // A cluster without cloud accounts has no use for all its endpoints here.
      ready: () => {
        endpoints ??= followEndpoints();
        return endpoints;
      },
      connect: connectAws,
      leads,
      clock: systemClock,
      log,
    });

    async function followEndpoints(): Promise<void> {
      const { store, settled } = process.follow(ENDPOINT_SLICES, signal);
      slices = new SlicesByService(store, (key) => provider.targetsChanged(key));
      await settled;
    }

    return {
      classes,
      provider,
      start: async (buckets) => {
        onTargetChange(nodes, () => provider.targetsChanged());
        await cloudAccounts.start(signal, buckets);
      },
      takeOver: () => {
        provider.takeOver();
        cloudAccounts.changed();
      },
      close: () => provider.close(),
    };
  };
}

/** Hears of what makes a node a target or not, and not of each report of its kubelet. */
function onTargetChange(nodes: Store<NodeObject>, listener: () => void): void {
  const print = ({ metadata, spec, status }: NodeObject) => {
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    return JSON.stringify([metadata.labels, spec?.providerID, spec?.taints, ready]);
  };
  const known = new Map([...nodes.values()].map((node) => [node.metadata.name, print(node)]));
  nodes.subscribe((name, node) => {
    const now = node && print(node);
    if (now === known.get(name)) return;
    if (now === undefined) known.delete(name);
    else known.set(name, now);
    listener();
  });
}
