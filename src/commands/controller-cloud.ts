// The controller's part that serves cloud accounts: what it follows, the provider over it, and its route.
import { AWS_CONTROLLER_CLASS, CLOUD_CLASSES, isOurs, type ServiceClasses } from '../api/service.ts';
import { systemClock } from '../clock/clock.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { Term } from '../kube/leader-election.ts';
import type { NamespaceObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { CLOUD_ACCOUNTS, ENDPOINT_SLICES } from '../kube/resources.ts';
import { SlicesByService } from '../kube/slices-by-service.ts';
import { keyOf, type Store } from '../kube/store.ts';
import { AwsProvider } from '../providers/aws/aws-provider.ts';
import { connectAws } from '../providers/aws/sdk.ts';
import type { TokenBuckets } from '../queue/token-buckets.ts';
import { CloudAccounts } from '../reconciler/cloud-accounts.ts';
import type { CloudRoute } from '../reconciler/cloud-route.ts';
import { podAccess } from '../reconciler/pod-access.ts';
import { bearsOurMark } from '../status/service-status.ts';
import type { Process } from './processes.ts';

export interface CloudOptions {
  /** Whether Services without a class are the default account's. */
  readonly classless: boolean;
  /** Milliseconds. */
  readonly driftCheck: number;
  readonly orphanGrace: number;
}

interface CloudSources {
  readonly api: KubeApi;
  readonly services: Store<ServiceObject>;
  readonly namespaces: Store<NamespaceObject>;
  readonly nodes: Store<NodeObject>;
}

export interface Cloud {
  readonly route: CloudRoute;
  /** Resolves when the accounts are known, or that there is no such kind. */
  readonly settled: Promise<void>;
  /** To be called when the stores are whole. `buckets`: for what an account allows. Resolves when the accounts that there are have been opened. */
  start(buckets: TokenBuckets): Promise<void>;
  close(): void;
}

export function cloudOf(
  process: Process,
  { api, services, namespaces, nodes }: CloudSources,
  { classless, driftCheck, orphanGrace }: CloudOptions,
  { signal, mayWrite }: Term,
): Cloud {
  const { log } = process;
  const accounts = process.follow(CLOUD_ACCOUNTS, signal);
  const classes: ServiceClasses = { classes: new Set(CLOUD_CLASSES), classless };
  let slices: SlicesByService | undefined;
  const provider = new AwsProvider({
    clock: systemClock,
    random: Math.random,
    driftCheck,
    orphanGrace,
    log,
    onLook: () => cloudAccounts.changed(),
    sources: {
      service: (key) => services.get(key),
      nodes: () => [...nodes.values()],
      slices: (key) => slices?.get(key) ?? [],
      pods: podAccess(api, systemClock),
      candidates: () => [...services.values()].filter((each) => isOurs(each, classes)).map(keyOf),
      clusterUid: () => namespaces.get('kube-system')?.metadata.uid ?? '',
    },
  });
  let endpoints: Promise<void> | undefined;
  const cloudAccounts = new CloudAccounts({
    api,
    accounts: accounts.store,
    provider,
    // A cluster without cloud accounts has no use for all its endpoints here.
    ready: () => {
      endpoints ??= followEndpoints();
      return endpoints;
    },
    connect: connectAws,
    mayWrite: () => !signal.aborted && mayWrite(),
    clock: systemClock,
    log,
  });

  async function followEndpoints(): Promise<void> {
    const { store, settled } = process.follow(ENDPOINT_SLICES, signal);
    slices = new SlicesByService(store, (key) => provider.targetsChanged(key));
    await settled;
  }

  const route: CloudRoute = {
    classes,
    provider,
    // The AWS controller's own class is its own in a cluster that has no account of ours.
    leaves: (service) =>
      service.spec.loadBalancerClass === AWS_CONTROLLER_CLASS &&
      accounts.store.size === 0 &&
      !bearsOurMark(service),
  };
  return {
    route,
    settled: accounts.settled,
    start: async (buckets) => {
      onTargetChange(nodes, () => provider.targetsChanged());
      await Promise.race([cloudAccounts.start(signal, buckets), aborted(signal)]);
    },
    close: () => provider.close(),
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

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}
