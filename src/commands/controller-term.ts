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
  CLOUD_ACCOUNTS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
  NAMESPACES,
  NODES,
  SERVICES,
} from '../kube/resources.ts';
import type { Ip } from '../net/address.ts';
import { L2Provider } from '../providers/l2/l2-provider.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { AddressConflicts } from '../reconciler/address-conflicts.ts';
import { sweepAnnouncements } from '../reconciler/announcement-sweeper.ts';
import { auditTrail } from '../reconciler/audit-trail.ts';
import { Config } from '../reconciler/config.ts';
import type { ReconcilerMetrics } from '../reconciler/metrics.ts';
import { Reconciler } from '../reconciler/reconciler.ts';
import { type CloudOptions, cloudClasses } from './controller-clouds.ts';
import { keepMembership, Lookout, type MembershipPlace } from './controller-membership.ts';
import type { Process } from './processes.ts';
import { openQueue, type QueueOptions } from './queue-option.ts';

/** What the pages show of a term. */
export interface TermState {
  synced: boolean;
  readonly queues: Set<WorkQueue>;
}

/** `term`: follows each kind once, until the term ends. */
export async function runTerm(
  term: Process,
  {
    options,
    classes,
    cloud,
    metrics,
    state,
  }: {
    options: MembershipPlace & QueueOptions & { readonly onConflict: 'withhold' | 'reallocate' };
    classes: ServiceClasses;
    cloud: Pick<CloudOptions, 'classless'>;
    metrics: ReconcilerMetrics;
    state: TermState;
  },
  { signal, mayWrite }: Term,
): Promise<void> {
  const { log } = term;
  const api = await term.connectToWrite(mayWrite);
  const services = term.follow(SERVICES);
  const namespaces = term.follow(NAMESPACES);
  const pools = term.follow(IP_ADDRESS_POOLS);
  const reservations = term.follow(ADDRESS_RESERVATIONS);
  const quotas = term.follow(ADDRESS_QUOTAS);
  const nodes = term.follow(NODES);
  const advertisements = term.follow(L2_ADVERTISEMENTS);
  const announcements = term.follow(ANNOUNCEMENTS);
  const accounts = term.follow(CLOUD_ACCOUNTS);

  const lookout = new Lookout();
  const membership = keepMembership(term, api, options, lookout, signal);
  const audit = auditTrail(log, metrics);
  const provider = new L2Provider((entry) => {
    audit(entry);
    conflicts?.hear(entry);
  });
  const events = new EventRecorder({ api, clock: systemClock, log, instance: hostname() });
  const shared = { api, provider, events, clock: systemClock, log, metrics };
  const reallocates = options.onConflict === 'reallocate';
  const conflicts = reallocates
    ? new AddressConflicts({
        ...shared,
        services: services.store,
        announcements: announcements.store,
        look: (address) => lookout.look(address),
        onChange: () => config.inputChanged(),
      })
    : undefined;
  const outOfUse = () => conflicts?.outOfUse ?? new Set<Ip>();
  const config = new Config({
    ...shared,
    conflicts: outOfUse,
    pools: pools.store,
    reservations: reservations.store,
    quotas: quotas.store,
    advertisements: advertisements.store,
    nodes: nodes.store,
  });
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
    ...(reallocates ? [announcements.settled] : []),
    quotas.settled,
    accounts.settled,
  ];
  await Promise.race([stop, Promise.all(whole)]);
  if (signal.aborted) return membership;
  const opened = await openQueue(options, { share: 'leader', namespaces: namespaces.store, log, signal });
  if (!opened) return membership;
  const { queue, close } = opened;
  const reconciler = new Reconciler({
    ...shared,
    services: services.store,
    namespaces: namespaces.store,
    queue,
    classes,
    cloud: cloudClasses(cloud, accounts.store),
    onAllocation: () => config.changed(),
  });
  state.synced = true;
  state.queues.add(queue);
  log.info({ services: services.store.size, pools: pools.store.size }, 'synced');
  conflicts?.start(signal);
  config.start(signal);
  sweepAnnouncements(
    { ...shared, services: services.store, announcements: announcements.store, outOfUse },
    signal,
  );
  try {
    await reconciler.run(signal);
  } finally {
    state.synced = false;
    state.queues.delete(queue);
    await close();
    // Figures on pools are the leader's to tell.
    metrics.poolAssigned.reset();
    metrics.poolAvailable.reset();
    metrics.poolWaiting.reset();
    await membership;
  }
}
