// The contract of a load balancer provider: what a Service gets, as values; nothing that a user can cause throws.
import type { ServiceRequest } from '../api/service.ts';
import type { Ip } from '../net/address.ts';

/** What a Service has from its provider. */
export interface Ingress {
  readonly addresses: readonly Ip[];
  /** Names and addresses that the Service shows in place of its own; none: it shows its own. */
  readonly shownAs?: readonly string[];
  /** Names in place of addresses, where a cloud balances the load. */
  readonly hostnames?: readonly string[];
  /** Where they come from, as the Service's annotation tells; none where there is no address. */
  readonly source?: string;
}

interface Answer extends Ingress {
  /** Milliseconds after which to ask again, whoever does it then; sooner if something changes. */
  readonly again?: number;
}

export type Outcome =
  /** The Service has what it asked for. */
  | ({ readonly kind: 'done' } & Answer)
  /** Not now; the provider tells when to ask again. With what it keeps meanwhile. */
  | ({
      readonly kind: 'pending';
      /** Stable, CamelCase. */
      readonly reason: string;
      readonly message: string;
    } & Answer)
  /** Not before the user changes something. */
  | ({ readonly kind: 'refused'; readonly reason: string; readonly message: string } & Answer);

/**
 * To be called right before each write that others can see: throws once another controller may be at work on the
 * Service, and what it throws must keep the write from leaving.
 */
export type BeforeWrite = () => void;

export interface Provider {
  /** What the Service has it keeps, as far as it may, and gets nothing new. After a start: once for each, oldest first. */
  keep(request: ServiceRequest): Promise<Ingress>;
  /** Gives the Service what it asks for. A second call with the same request changes nothing. */
  ensure(request: ServiceRequest, beforeWrite: BeforeWrite): Promise<Outcome>;
  /** The Service's status shows these addresses and no others: whatever else it had may be handed on. */
  shows(key: string, addresses: readonly Ip[]): Promise<void>;
  /** Gives up what the Service has, if it has anything: its status shows nothing any more. */
  remove(key: string, beforeWrite: BeforeWrite): Promise<void>;
  /** Keys of the Services that have something here. */
  listOwned(): Promise<readonly string[]>;
  /** Hears of Services whose `ensure` would answer differently now, without a change of their own. Returns the way out. */
  subscribe(listener: (key: string) => void): () => void;
}
