// Provider for the local network: addresses from pools. The agents do the rest from the Service's status.
import type { AddressPool } from '../../api/pool.ts';
import type { ServiceRequest } from '../../api/service.ts';
import { Allocator, type PoolCounts, type RefusalReason } from '../../ipam/allocator.ts';
import type { Outcome, Provider } from '../provider.ts';

/** Reasons that only the user can mend; the others pass when an address or a pool appears. */
const USER_ERRORS: readonly RefusalReason[] = ['UnknownPool', 'AddressNotInPool', 'NoMatchingPool'];

export class L2Provider implements Provider {
  readonly #allocator = new Allocator();
  readonly #owned = new Set<string>();

  setPools(pools: readonly AddressPool[]): void {
    this.#allocator.setPools(pools);
  }

  counts(pool: string): PoolCounts | undefined {
    return this.#allocator.counts(pool);
  }

  async adopt(requests: readonly ServiceRequest[]): Promise<void> {
    for (const request of requests) {
      this.#allocator.restore(request);
      this.#owned.add(request.key);
    }
  }

  // Allocation is one synchronous step: requests are served whole and in the order in which they are made.
  async ensure(request: ServiceRequest): Promise<Outcome> {
    this.#owned.add(request.key);
    const result = this.#allocator.allocate(request);
    if (result.kind === 'allocated')
      return { kind: 'done', addresses: result.addresses, source: result.pool };
    const { reason, message, held, pool } = result;
    const kind = USER_ERRORS.includes(reason) ? 'refused' : 'pending';
    return { kind, reason, message, addresses: held, ...(pool === undefined ? {} : { source: pool }) };
  }

  async remove(key: string): Promise<boolean> {
    this.#owned.delete(key);
    return this.#allocator.release(key);
  }

  async listOwned(): Promise<readonly string[]> {
    return [...this.#owned].filter((key) => this.#allocator.holds(key).length > 0);
  }
}
