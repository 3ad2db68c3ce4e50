// The contract of a load balancer provider: what a Service gets, as values; nothing that a user can cause throws.
import type { ServiceRequest } from '../api/service.ts';
import type { Ip } from '../net/address.ts';

export type Outcome =
  /** The Service has all that it asked for. */
  | { readonly kind: 'done'; readonly addresses: readonly Ip[]; readonly source: string }
  /** Not now; it is tried again when room appears. `addresses`: what it keeps meanwhile. */
  | {
      readonly kind: 'pending';
      /** Stable, CamelCase. */
      readonly reason: string;
      readonly message: string;
      readonly addresses: readonly Ip[];
      readonly source?: string;
    }
  /** Not before the user changes something. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      readonly message: string;
      readonly addresses: readonly Ip[];
      readonly source?: string;
    };

export interface Provider {
  /** Before the first `ensure`: takes over what these Services hold, oldest first. */
  adopt(requests: readonly ServiceRequest[]): Promise<void>;
  ensure(request: ServiceRequest): Promise<Outcome>;
  /** Gives up what the Service has. Resolves with whether that made room for others. */
  remove(key: string): Promise<boolean>;
  /** Keys of the Services that have something here. */
  listOwned(): Promise<readonly string[]>;
}
