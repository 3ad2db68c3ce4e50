// What a change of pools would do to the addresses of Services, found by letting the allocator do it.
import { type CheckedPools, checkPools } from '../api/pool.ts';
import type { Problem } from '../api/problem.ts';
import { type CheckedQuotas, checkQuotas } from '../api/quota.ts';
import { type CheckedReservations, checkReservations } from '../api/reservation.ts';
import { readService, type ServiceClasses, type ServiceRead, type ServiceRequest } from '../api/service.ts';
import { Allocator, type Holding } from '../ipam/allocator.ts';
import { type JournalEntry, kindOf } from '../ipam/journal.ts';
import { explain } from '../ipam/refusal.ts';
import type { KubeObject, NamespaceObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import type { Ip } from '../net/address.ts';
import { firstClaims } from './first-claims.ts';
import { nodeAddresses } from './node-addresses.ts';

/** What decides on addresses, beside the Services. */
export interface PoolObjects {
  readonly pools: readonly KubeObject[];
  readonly reservations: readonly KubeObject[];
  readonly quotas: readonly KubeObject[];
}

export interface ClusterObjects extends PoolObjects {
  readonly services: readonly ServiceObject[];
  readonly namespaces: readonly NamespaceObject[];
  readonly nodes: readonly NodeObject[];
}

export interface PlannedChange {
  /** `changed`: only the names of its pools. */
  readonly kind: JournalEntry['kind'];
  readonly service: string;
  readonly before: Holding;
  readonly after: Holding;
  /** Why it has not all that it asks for afterwards. */
  readonly why?: string;
}

export interface Plan {
  /** By the Service's name. */
  readonly changes: readonly PlannedChange[];
  /** Services of ours that stay as they are. */
  readonly unchanged: number;
  /** What would be wrong with the pools, reservations and quotas afterwards. */
  readonly problems: readonly Problem[];
}

/** `now`: milliseconds since 1970. */
export function planChanges(
  cluster: ClusterObjects,
  next: PoolObjects,
  { classes, now }: { readonly classes: ServiceClasses; readonly now: number },
): Plan {
  const requests = requestsOf(cluster, classes);
  const allocator = new Allocator();
  setPools(allocator, cluster, checked(cluster), now);
  settle(allocator, requests, firstClaims(cluster.services, reader(cluster, classes)));
  const before = new Map(requests.map(({ request: { key } }) => [key, allocator.holds(key)]));
  const after = checked(next);
  setPools(allocator, cluster, after, now);
  show(allocator, requests);
  const changes: PlannedChange[] = [];
  for (const { request, isValid } of requests) {
    const { key } = request;
    const had = before.get(key) ?? { addresses: [], pools: [] };
    const has = allocator.holds(key);
    if (had.addresses.join() === has.addresses.join() && had.pools.join() === has.pools.join()) continue;
    // Asking again changes nothing, and tells why.
    const answer = isValid ? allocator.allocate(request) : undefined;
    const why = answer?.kind === 'refused' ? explain(answer.refusal) : undefined;
    changes.push({
      kind: kindOf(had.addresses, has.addresses),
      service: key,
      before: had,
      after: has,
      ...(why === undefined ? {} : { why }),
    });
  }
  return {
    changes: changes.sort((a, b) => (a.service < b.service ? -1 : 1)),
    unchanged: requests.length - changes.length,
    problems: problemsOf(after),
  };
}

export interface Takeover {
  /** Services that would not keep exactly the addresses that their status shows. */
  readonly moved: readonly {
    readonly service: string;
    readonly had: readonly Ip[];
    readonly has: readonly Ip[];
  }[];
  /** Services with an address that would. */
  readonly kept: number;
  readonly problems: readonly Problem[];
}

/** What becomes of the addresses that statuses show, whoever gave them, when our controller starts with these pools. */
export function planTakeover(
  cluster: ClusterObjects,
  { classes, now }: { readonly classes: ServiceClasses; readonly now: number },
): Takeover {
  const requests = requestsOf(cluster, classes).filter(({ request }) => request.held.length > 0);
  const allocator = new Allocator();
  const found = checked(cluster);
  setPools(allocator, cluster, found, now);
  settle(allocator, requests, firstClaims(cluster.services, reader(cluster, classes)));
  const moved = requests.flatMap(({ request: { key, held } }) => {
    const has = allocator.holds(key).addresses;
    return held.toSorted().join() === has.toSorted().join() ? [] : [{ service: key, had: held, has }];
  });
  return { moved, kept: requests.length - moved.length, problems: problemsOf(found) };
}

/** The pools, reservations and quotas once those of a file are applied: in place of what has their names, younger than all. */
export function applied(
  current: PoolObjects,
  file: PoolObjects,
  { now, replace }: { readonly now: number; readonly replace: boolean },
): PoolObjects {
  const merge = (there: readonly KubeObject[], given: readonly KubeObject[]): KubeObject[] => {
    const names = new Set(given.map(({ metadata }) => metadata.name));
    const others = replace ? [] : there.filter(({ metadata }) => !names.has(metadata.name));
    return [
      ...others,
      ...given.map((object) => {
        const known = there.find(({ metadata }) => metadata.name === object.metadata.name);
        const creationTimestamp = known?.metadata.creationTimestamp ?? new Date(now).toISOString();
        return { ...object, metadata: { ...object.metadata, creationTimestamp } };
      }),
    ];
  };
  return {
    pools: merge(current.pools, file.pools),
    reservations: merge(current.reservations, file.reservations),
    quotas: merge(current.quotas, file.quotas),
  };
}

interface Checked {
  readonly pools: CheckedPools;
  readonly reservations: CheckedReservations;
  readonly quotas: CheckedQuotas;
}

function checked({ pools, reservations, quotas }: PoolObjects): Checked {
  return {
    pools: checkPools(pools),
    reservations: checkReservations(reservations),
    quotas: checkQuotas(quotas),
  };
}

function problemsOf({ pools, reservations, quotas }: Checked): Problem[] {
  const found = [pools.problems, pools.overlaps, reservations.problems, quotas.problems];
  return found.flatMap((all) => [...all.values()].flat());
}

function setPools(
  allocator: Allocator,
  cluster: ClusterObjects,
  { pools, reservations, quotas }: Checked,
  now: number,
): void {
  allocator.setPools(pools.pools, {
    setAside: new Set(pools.problems.keys()),
    nodes: nodeAddresses(cluster.nodes),
    reservations: reservations.reservations.filter(({ expires = Number.POSITIVE_INFINITY }) => expires > now),
    quotas: quotas.quotas,
  });
}

interface Asking {
  readonly request: ServiceRequest;
  /** False: it keeps what it has, because what it asks for cannot be read. */
  readonly isValid: boolean;
}

/** Our Services, the oldest first. */
function requestsOf(cluster: ClusterObjects, classes: ServiceClasses): Asking[] {
  const readOne = reader(cluster, classes);
  return cluster.services
    .flatMap((service): Asking[] => {
      const read = readOne(service);
      if (read.kind === 'valid') return [{ request: read.value, isValid: true }];
      return read.kind === 'invalid' ? [{ request: read.keeps, isValid: false }] : [];
    })
    .sort(({ request: a }, { request: b }) =>
      `${a.createdAt} ${a.key}` < `${b.createdAt} ${b.key}` ? -1 : 1,
    );
}

function reader(
  { namespaces }: ClusterObjects,
  classes: ServiceClasses,
): (service: ServiceObject) => ServiceRead {
  const labels = new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
  return (service) => readService(service, classes, labels.get(service.metadata.namespace ?? '') ?? {});
}

/** As the controller does at its start. */
function settle(allocator: Allocator, requests: readonly Asking[], claims: readonly ServiceRequest[]): void {
  for (const request of claims) allocator.keep(request);
  for (const { request, isValid } of requests)
    if (isValid) allocator.allocate(request);
    else allocator.keep(request);
  show(allocator, requests);
}

/** As the controller does with every change: what it wrote lets others have what was left, who may move then, too. */
function show(allocator: Allocator, requests: readonly Asking[]): void {
  do {
    allocator.drainJournal();
    for (const { request } of requests) allocator.shows(request.key, allocator.holds(request.key).addresses);
  } while (allocator.drainJournal().length > 0);
}
