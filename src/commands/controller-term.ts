// What the controller does while it leads. Everything is made anew for each term: nothing that was known before
// another led may decide.
import { hostname } from 'node:os';
import type { ServiceClasses } from '../api/service.ts';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import type { Term } from '../kube/leader-election.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  ANNOUNCEMENTS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
  NAMESPACES,
  NODES,
  SERVICES,
} from '../kube/resources.ts';
import { L2Provider } from '../providers/l2/l2-provider.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { sweepAnnouncements } from '../reconciler/announcement-sweeper.ts';
import { auditTrail } from '../reconciler/audit-trail.ts';
import { Config } from '../reconciler/config.ts';
import type { ReconcilerMetrics } from '../reconciler/metrics.ts';
import { Reconciler } from '../reconciler/reconciler.ts';
import { type CloudOptions, cloudOf } from './controller-cloud.ts';
import { keepMembership, type MembershipPlace } from './controller-membership.ts';
import { followingOnce, type Process } from './processes.ts';
import { openQueue, type QueueOptions } from './queue-option.ts';

/** What the pages show of a term. */
export interface TermState {
  synced: boolean;
  queue: WorkQueue | undefined;
}

export async function runTerm(
  process: Process,
  {
    options,
    classes,
    cloud: cloudOptions,
    metrics,
    state,
  }: {
    options: MembershipPlace & QueueOptions;
    classes: ServiceClasses;
    cloud: CloudOptions;
    metrics: ReconcilerMetrics;
    state: TermState;
  },
  { signal, mayWrite }: Term,
): Promise<void> {
  const { log } = process;
  const term = followingOnce(process, signal);
  const api = await process.connectToWrite(mayWrite);
  const services = term.follow(SERVICES);
  const namespaces = term.follow(NAMESPACES);
  const pools = term.follow(IP_ADDRESS_POOLS);
  const reservations = term.follow(ADDRESS_RESERVATIONS);
  const quotas = term.follow(ADDRESS_QUOTAS);
  const nodes = term.follow(NODES);
  const advertisements = term.follow(L2_ADVERTISEMENTS);
  const announcements = term.follow(ANNOUNCEMENTS);

  const membership = keepMembership(term, api, options, signal);
  const provider = new L2Provider(auditTrail(log, metrics));
  const events = new EventRecorder({ api, clock: systemClock, log, instance: hostname() });
  const shared = { api, provider, events, clock: systemClock, log, metrics };
  const config = new Config({
    ...shared,
    pools: pools.store,
    reservations: reservations.store,
    quotas: quotas.store,
    advertisements: advertisements.store,
    nodes: nodes.store,
  });
  const sources = { api, services: services.store, namespaces: namespaces.store, nodes: nodes.store };
  const cloud = cloudOf(process, sources, cloudOptions, { signal, mayWrite });
  const stop = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  // Nothing is allocated before everything is known: a Service seen first must not take what another holds.
  // Advertisements do not decide on addresses; that their kind is missing must not hold back the rest.
  // Nor is there anything reserved or limited where the kind is missing.
  const whole = [
    services.synced,
    namespaces.synced,
    nodes.synced,
    pools.synced,
    reservations.settled,
    quotas.settled,
    cloud.settled,
  ];
  await Promise.race([stop, Promise.all(whole)]);
  if (signal.aborted) return membership;
  const opened = await openQueue(options, { share: 'leader', namespaces: namespaces.store, log, signal });
  if (!opened) return membership;
  const { queue, buckets, close } = opened;
  const reconciler = new Reconciler({
    ...shared,
    services: services.store,
    namespaces: namespaces.store,
    queue,
    classes,
    cloud: cloud.route,
    onAllocation: () => config.changed(),
  });
  Object.assign(state, { synced: true, queue });
  log.info({ services: services.store.size, pools: pools.store.size }, 'synced');
  config.start(signal);
  sweepAnnouncements(
    { api, services: services.store, announcements: announcements.store, clock: systemClock, log },
    signal,
  );
  try {
    // Nobody who gets an address from a pool waits for a cloud.
    await Promise.all([reconciler.run(signal), cloud.start(buckets)]);
  } finally {
    cloud.close();
    Object.assign(state, { synced: false, queue: undefined });
    await close();
    // Figures on pools are the leader's to tell.
    metrics.poolAssigned.reset();
    metrics.poolAvailable.reset();
    metrics.poolWaiting.reset();
    await membership;
  }
}
