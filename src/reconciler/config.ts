// Pools, reservations, quotas and advertisements: read all at once, hand what decides on addresses to the provider, and say
// on each what is wrong with it, how full it is, or who is in its way.
import { advertisementProblems } from '../api/advertisement.ts';
import { type CheckedPools, checkPools } from '../api/pool.ts';
import { type CheckedQuotas, checkQuotas } from '../api/quota.ts';
import { type CheckedReservations, checkReservations } from '../api/reservation.ts';
import type { Clock, Timer } from '../clock/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeApi, KubeError, type Resource } from '../kube/kube-api.ts';
import type { KubeObject, NodeObject } from '../kube/objects.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
} from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import type { L2Provider } from '../providers/l2/l2-provider.ts';
import { type ConfigState, configPatch } from '../status/config-status.ts';
import { poolStatements, usageEvent } from '../status/pool-conditions.ts';
import { quotaStatements } from '../status/quota-conditions.ts';
import { reservationStatements } from '../status/reservation-conditions.ts';
import type { ReconcilerMetrics } from './metrics.ts';
import { NamedInterfaces } from './named-interfaces.ts';
import { nodeAddresses, nodesInPools } from './node-addresses.ts';
import { FIELD_MANAGER } from './reconciler.ts';

/** Milliseconds in which changes of pools are gathered: a pool that is renamed must not lose its Services in between. */
const READ_DELAY = 20;
/** Milliseconds in which changes of the counts are gathered into one write a pool. */
const WRITE_DELAY = 200;
/** Milliseconds from one round of writes to the next, however fast the counts change. */
const WRITE_PAUSE = 1_000;
/** Milliseconds until a write that failed is tried again. */
const RETRY_DELAY = 2_000;
/** The longest that a timer can run, in milliseconds (setTimeout counts in 31 bits). */
const LONGEST_TIMER = 2 ** 31 - 1;

export interface ConfigOptions {
  readonly api: KubeApi;
  readonly pools: Store<KubeObject>;
  readonly reservations: Store<KubeObject>;
  readonly quotas: Store<KubeObject>;
  readonly advertisements: Store<KubeObject>;
  readonly nodes: Store<NodeObject>;
  readonly provider: L2Provider;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
}

export class Config {
  readonly #options: ConfigOptions;
  #pools: CheckedPools = { pools: [], problems: new Map(), overlaps: new Map() };
  /** What nodes have of each pool. */
  #nodes: ReadonlyMap<string, readonly string[]> = new Map();
  #reservations: CheckedReservations = { reservations: [], problems: new Map() };
  #quotas: CheckedQuotas = { quotas: [], problems: new Map() };
  readonly #interfaces: NamedInterfaces;
  #reading: Timer | undefined;
  #expiring: Timer | undefined;
  #writing: Timer | undefined;
  #retrying: Timer | undefined;
  #wroteAt = Number.NEGATIVE_INFINITY;
  /** What decides on addresses, as last handed on: a change of a status alone is none. */
  #inputs = '';

  constructor(options: ConfigOptions) {
    this.#options = options;
    this.#interfaces = new NamedInterfaces(options.clock, () => this.changed());
  }

  /** Takes the stores as they are and follows their changes until `signal` aborts. */
  start(signal: AbortSignal): void {
    const { pools, reservations, quotas, advertisements, nodes } = this.#options;
    this.#read();
    const unsubscribe = [
      ...[pools, reservations, quotas].map((store) =>
        store.subscribe(() => {
          this.#inputChanged();
          this.changed();
        }),
      ),
      nodes.subscribe(() => this.#inputChanged()),
      advertisements.subscribe(() => this.changed()),
    ];
    signal.addEventListener('abort', () => {
      for (const stop of unsubscribe) stop();
      for (const timer of [this.#reading, this.#expiring, this.#writing, this.#retrying]) timer?.cancel();
      this.#interfaces.close();
    });
  }

  /** Something that the statuses show may have changed. */
  changed(): void {
    const { clock } = this.#options;
    const pause = this.#wroteAt + WRITE_PAUSE - clock.now();
    this.#writing ??= clock.setTimer(Math.max(WRITE_DELAY, pause), () => {
      this.#writing = undefined;
      this.#wroteAt = clock.now();
      this.#write();
    });
  }

  #inputChanged(): void {
    this.#reading ??= this.#options.clock.setTimer(READ_DELAY, () => {
      this.#reading = undefined;
      this.#read();
    });
  }

  #read(): void {
    const { pools, quotas, nodes, provider, clock } = this.#options;
    const now = clock.wallTime().getTime();
    const reservations = [...this.#options.reservations.values()];
    const addresses = nodeAddresses(nodes.values());
    const checked = checkReservations(reservations);
    const current = checked.reservations.filter(({ expires = Number.POSITIVE_INFINITY }) => expires > now);
    this.#expireAt(Math.min(...current.map(({ expires = Number.POSITIVE_INFINITY }) => expires)) - now);
    const inputs = JSON.stringify([
      [...pools.values()].map((object) => [object.metadata.name, object.metadata.labels, specOf(object)]),
      reservations.map((object) => [object.metadata.name, specOf(object)]),
      current.map(({ name }) => name),
      [...quotas.values()].map((object) => [object.metadata.name, specOf(object)]),
      [...addresses],
    ]);
    if (inputs === this.#inputs) return;
    this.#inputs = inputs;
    this.changed();
    this.#pools = checkPools([...pools.values()]);
    this.#nodes = nodesInPools(this.#pools.pools, addresses);
    this.#reservations = checked;
    this.#quotas = checkQuotas([...quotas.values()]);
    provider.setPools(this.#pools.pools, {
      setAside: new Set(this.#pools.problems.keys()),
      nodes: addresses,
      reservations: current,
      quotas: this.#quotas.quotas,
    });
  }

  /** Looks again when the next reservation ends, in so many milliseconds. */
  #expireAt(after: number): void {
    this.#expiring?.cancel();
    this.#expiring =
      after === Number.POSITIVE_INFINITY
        ? undefined
        : this.#options.clock.setTimer(Math.min(after, LONGEST_TIMER), () => this.#read());
  }

  #write(): void {
    const { pools, reservations, quotas, advertisements, provider, metrics, clock } = this.#options;
    for (const gauge of [metrics.poolAssigned, metrics.poolAvailable, metrics.poolWaiting]) gauge.reset();
    for (const object of pools.values()) this.#writePool(object);
    const now = clock.wallTime().getTime();
    for (const object of reservations.values()) {
      const { name } = object.metadata;
      const reservation = this.#reservations.reservations.find((each) => each.name === name);
      this.#patch(ADDRESS_RESERVATIONS, object, {
        problems: this.#reservations.problems.get(name) ?? [],
        statements: reservationStatements(reservation, now, (address) => provider.holderOf(address)),
      });
    }
    for (const object of quotas.values()) {
      const { name } = object.metadata;
      this.#patch(ADDRESS_QUOTAS, object, {
        problems: this.#quotas.problems.get(name) ?? [],
        statements: quotaStatements(provider.quotaUse(name)),
      });
    }
    const names = new Set([...pools.values()].map(({ metadata }) => metadata.name));
    for (const object of advertisements.values())
      this.#patch(L2_ADVERTISEMENTS, object, {
        problems: advertisementProblems(object, names),
        statements: this.#interfaces.statements(
          object,
          (name) => this.#options.nodes.get(name) !== undefined,
        ),
      });
  }

  #writePool(object: KubeObject): void {
    const { provider, metrics, events } = this.#options;
    const { name } = object.metadata;
    const counts = provider.counts(name);
    if (counts) {
      metrics.poolWaiting.set({ pool: name }, counts.waiting);
      for (const family of ['IPv4', 'IPv6'] as const) {
        metrics.poolAssigned.set({ pool: name, family }, Number(counts.assigned[family]));
        metrics.poolAvailable.set({ pool: name, family }, Number(counts.available[family]));
      }
      const event = usageEvent(object, counts);
      const { group, version, kind } = IP_ADDRESS_POOLS;
      if (event) events.record({ ...object, apiVersion: `${group}/${version}`, kind }, event);
    }
    this.#patch(IP_ADDRESS_POOLS, object, {
      problems: this.#pools.problems.get(name) ?? [],
      counts,
      statements: poolStatements(this.#pools.overlaps.get(name) ?? [], this.#nodes.get(name) ?? [], counts),
    });
  }

  #patch(resource: Resource, object: KubeObject, state: ConfigState): void {
    const { api, clock, log } = this.#options;
    const patch = configPatch(object, state, clock.wallTime());
    if (!patch) return;
    const { name } = object.metadata;
    api
      .patch(resource, { name }, patch, { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER })
      .catch((error) => {
        if (error instanceof KubeError && error.status === 404) return;
        // What is denied was told already (kube/denials.ts).
        if (!(error instanceof KubeError && error.status === 403))
          log.warn(
            { kind: resource.kind, name, error: error.message },
            'could not write a status; will try again',
          );
        this.#retrying ??= clock.setTimer(RETRY_DELAY, () => {
          this.#retrying = undefined;
          this.changed();
        });
      });
  }
}

function specOf(object: KubeObject): unknown {
  return (object as { spec?: unknown }).spec;
}
