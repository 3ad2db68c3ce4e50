// Provider for the local network: addresses from pools. The agents do the rest from the Service's status.
import type { AddressPool } from '../../api/pool.ts';
import { publishedAs } from '../../api/publish.ts';
import type { ServiceRequest } from '../../api/service.ts';
import { Allocator, type Holding, type PoolCounts } from '../../ipam/allocator.ts';
import type { JournalEntry } from '../../ipam/journal.ts';
import type { Surroundings } from '../../ipam/pool-set.ts';
import type { QuotaUse } from '../../ipam/quotas.ts';
import { explain, type RefusalReason } from '../../ipam/refusal.ts';
import type { Ip } from '../../net/address.ts';
import type { Ingress, Outcome, Provider } from '../provider.ts';

/** Reasons that pass when an address or a pool appears; the others only the user can mend. */
const PASSING: readonly RefusalReason[] = [
  'NoPools',
  'PoolExhausted',
  'LimitReached',
  'AddressInUse',
  'AddressReserved',
];

// Allocation is one synchronous step: requests are served whole and in the order in which they are made.
export class L2Provider implements Provider {
  readonly #allocator = new Allocator();
  readonly #owned = new Set<string>();
  #pools: ReadonlyMap<string, AddressPool> = new Map();
  readonly #listeners = new Set<(key: string) => void>();

  readonly #audit: (entry: JournalEntry) => void;

  /** `audit` hears of every allocation, move and release, in order. */
  constructor(audit: (entry: JournalEntry) => void = () => {}) {
    this.#audit = audit;
  }

  /** No two pools may overlap. */
  setPools(pools: readonly AddressPool[], surroundings: Surroundings = {}): void {
    this.#allocator.setPools(pools, surroundings);
    const before = this.#pools;
    this.#pools = new Map(pools.map((pool) => [pool.name, pool]));
    const showOthers = pools.filter((pool) => !sameRules(pool, before.get(pool.name)));
    this.#tell();
    this.#tellHoldersIn(new Set(showOthers.map(({ name }) => name)));
  }

  /** Who has the address now; undefined: nobody. */
  holderOf(address: Ip): string | undefined {
    return this.#allocator.holderOf(address);
  }

  counts(pool: string): PoolCounts | undefined {
    return this.#allocator.counts(pool);
  }

  quotaUse(quota: string): QuotaUse | undefined {
    return this.#allocator.quotaUse(quota);
  }

  async keep(request: ServiceRequest): Promise<Ingress> {
    this.#owned.add(request.key);
    const holding = this.#allocator.keep(request);
    this.#tell();
    return this.#ingressOf(holding, request);
  }

  async ensure(request: ServiceRequest): Promise<Outcome> {
    this.#owned.add(request.key);
    const result = this.#allocator.allocate(request);
    this.#tell();
    if (result.kind === 'allocated') return { kind: 'done', ...this.#ingressOf(result, request) };
    const { reason } = result.refusal;
    const kind = PASSING.includes(reason) ? 'pending' : 'refused';
    return { kind, reason, message: explain(result.refusal), ...this.#ingressOf(result, request) };
  }

  async shows(key: string, addresses: readonly Ip[]): Promise<void> {
    this.#allocator.shows(key, addresses);
    this.#tell();
  }

  async remove(key: string): Promise<void> {
    this.#owned.delete(key);
    this.#allocator.release(key);
    this.#tell();
  }

  async listOwned(): Promise<readonly string[]> {
    return [...this.#owned].filter((key) => this.#allocator.holds(key).addresses.length > 0);
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const entry of this.#allocator.drainJournal()) this.#audit(entry);
    for (const key of this.#allocator.drainChanged()) for (const listener of this.#listeners) listener(key);
  }

  /** Those who have an address from one of these pools. */
  #tellHoldersIn(pools: ReadonlySet<string>): void {
    if (pools.size === 0) return;
    for (const key of this.#owned)
      if (this.#allocator.holds(key).pools.some((pool) => pools.has(pool)))
        for (const listener of this.#listeners) listener(key);
  }

  #ingressOf({ addresses, pools }: Holding, request: ServiceRequest): Ingress {
    if (pools.length === 0) return { addresses };
    const shownAs = request.publish ?? this.#shownByPools(addresses, pools, request);
    return { addresses, source: pools.join(','), ...(shownAs ? { shownAs } : {}) };
  }

  #shownByPools(
    addresses: readonly Ip[],
    pools: readonly string[],
    { shown }: ServiceRequest,
  ): readonly string[] | undefined {
    // What a pool that is set aside would have it show is not known: it goes on showing what it does.
    if (pools.some((pool) => !this.#pools.has(pool))) return shown;
    const rules = pools.flatMap((pool) => this.#pools.get(pool)?.publish ?? []);
    const texts = addresses.map((address) => publishedAs(address, rules) ?? address);
    return texts.every((text, i) => text === addresses[i]) ? undefined : [...new Set(texts)];
  }
}

function sameRules({ publish }: AddressPool, before: AddressPool | undefined): boolean {
  return before !== undefined && textOf(publish) === textOf(before.publish);
}

function textOf(rules: AddressPool['publish']): string {
  return JSON.stringify(rules, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
}
