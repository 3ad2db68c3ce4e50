// Pools and advertisements: read all at once, hand the pools to the provider, and say on each what is wrong
// with it or how full it is.
import { readAdvertisement } from '../api/advertisement.ts';
import { type CheckedPools, checkPools } from '../api/pool.ts';
import type { Problem } from '../api/problem.ts';
import type { Clock, Timer } from '../clock/clock.ts';
import { type KubeApi, KubeError, type Resource } from '../kube/kube-api.ts';
import type { KubeObject } from '../kube/objects.ts';
import { IP_ADDRESS_POOLS, L2_ADVERTISEMENTS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import type { L2Provider } from '../providers/l2/l2-provider.ts';
import { configPatch } from '../status/config-status.ts';
import type { ReconcilerMetrics } from './metrics.ts';
import { FIELD_MANAGER } from './reconciler.ts';

/** Milliseconds in which changes of pools are gathered: a pool that is renamed must not lose its Services in between. */
const READ_DELAY = 20;
/** Milliseconds in which changes of the counts are gathered into one write a pool. */
const WRITE_DELAY = 200;
/** Milliseconds until a write that failed is tried again. */
const RETRY_DELAY = 2_000;

export interface ConfigOptions {
  readonly api: KubeApi;
  readonly pools: Store<KubeObject>;
  readonly advertisements: Store<KubeObject>;
  readonly provider: L2Provider;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
}

export class Config {
  readonly #options: ConfigOptions;
  #checked: CheckedPools = { pools: [], problems: new Map() };
  #reading: Timer | undefined;
  #writing: Timer | undefined;
  #retrying: Timer | undefined;
  /** The pools' specs as last handed on: a change of status alone is none. */
  #specs = '';

  constructor(options: ConfigOptions) {
    this.#options = options;
  }

  /** Takes the stores as they are and follows their changes until `signal` aborts. */
  start(signal: AbortSignal): void {
    const { pools, advertisements } = this.#options;
    this.#readPools();
    const unsubscribe = [
      pools.subscribe(() => this.#poolsChanged()),
      advertisements.subscribe(() => this.changed()),
    ];
    signal.addEventListener('abort', () => {
      for (const stop of unsubscribe) stop();
      for (const timer of [this.#reading, this.#writing, this.#retrying]) timer?.cancel();
    });
  }

  /** Something that the statuses show may have changed. */
  changed(): void {
    this.#writing ??= this.#options.clock.setTimer(WRITE_DELAY, () => {
      this.#writing = undefined;
      this.#write();
    });
  }

  #poolsChanged(): void {
    this.#reading ??= this.#options.clock.setTimer(READ_DELAY, () => {
      this.#reading = undefined;
      this.#readPools();
    });
  }

  #readPools(): void {
    const { pools, provider } = this.#options;
    this.changed();
    const objects = [...pools.values()];
    const specs = JSON.stringify(
      objects.map((object) => [
        object.metadata.name,
        object.metadata.labels,
        (object as { spec?: unknown }).spec,
      ]),
    );
    if (specs === this.#specs) return;
    this.#specs = specs;
    this.#checked = checkPools(objects);
    provider.setPools(this.#checked.pools, new Set(this.#checked.problems.keys()));
  }

  #write(): void {
    const { pools, advertisements, provider, metrics } = this.#options;
    metrics.poolAssigned.reset();
    metrics.poolAvailable.reset();
    for (const object of pools.values()) {
      const { name } = object.metadata;
      const counts = provider.counts(name);
      for (const family of ['IPv4', 'IPv6'] as const) {
        if (!counts) continue;
        metrics.poolAssigned.set({ pool: name, family }, Number(counts.assigned[family]));
        metrics.poolAvailable.set({ pool: name, family }, Number(counts.available[family]));
      }
      this.#patch(IP_ADDRESS_POOLS, object, this.#checked.problems.get(name) ?? [], counts);
    }
    for (const object of advertisements.values()) {
      this.#patch(L2_ADVERTISEMENTS, object, this.#advertisementProblems(object), undefined);
    }
  }

  #advertisementProblems(object: KubeObject): readonly Problem[] {
    const read = readAdvertisement(object);
    if (read.kind === 'invalid') return read.problems;
    const unknown = read.value.pools.filter((name) => !this.#options.pools.get(name));
    return unknown.map((name) => ({
      object: `L2Advertisement/${object.metadata.name}`,
      field: 'spec.ipAddressPools',
      value: name,
      mend: 'is no IPAddressPool; create it, or correct the name',
    }));
  }

  #patch(
    resource: Resource,
    object: KubeObject,
    problems: readonly Problem[],
    counts: ReturnType<L2Provider['counts']>,
  ): void {
    const { api, clock, log } = this.#options;
    const patch = configPatch(object, problems, counts, clock.wallTime());
    if (!patch) return;
    const { name } = object.metadata;
    api
      .patch(resource, { name }, patch, { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER })
      .catch((error) => {
        if (error instanceof KubeError && error.status === 404) return;
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
