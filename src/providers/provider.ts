// The contract of a load balancer provider: what a Service gets, as values; nothing that a user can cause throws.
import type { ServiceRequest } from '../api/service.ts';
import type { IngressStatus, ServiceObject } from '../kube/objects.ts';
import type { Ip } from '../net/address.ts';

/** What a Service has from its provider. */
export interface Ingress {
  readonly addresses: readonly Ip[];
  /** Names and addresses that the Service shows in place of its own; none: it shows its own. */
  readonly shownAs?: readonly string[];
  /** Names in place of addresses, where a cloud balances the load. */
  readonly hostnames?: readonly string[];
  /** What is served under a host name. */
  readonly ports?: NonNullable<IngressStatus['ports']>;
  /** Where they come from, as the Service's annotation tells; none where there is no address. */
  readonly source?: string;
  /** What of the Service's wishes is known to be done, as one word; to stand on the Service until it is not. */
  readonly applied?: string;
  readonly findings?: readonly Finding[];
}

/** What else is so of a load balancer: a condition of the Service. */
export interface Finding {
  readonly type: 'TargetsHealthy';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
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
  /**
   * Gives up what the Service has, if it has anything: its status shows nothing any more. Rejects with
   * RemovalPendingError while something is left.
   */
  remove(key: string, beforeWrite: BeforeWrite): Promise<void>;
  /** Keys of the Services that have something here. */
  listOwned(): Promise<readonly string[]>;
  /** Hears of Services whose `ensure` would answer differently now, without a change of their own. Returns the way out. */
  subscribe(listener: (key: string) => void): () => void;
}

/**
 * A provider that makes things outside of this cluster, where every controller finds them again. Several controllers
 * work for it at a time, each on Services of its own: what it remembers of one may be older than what another did.
 */
export interface CloudProvider {
  /** The account that serves the Service now; '' where there is none. */
  accountOf(service: ServiceObject): string;
  /** Everything besides the Service that decides on what `ensure` does, as one word. */
  printOf(service: ServiceObject): string;
  /** Gives the Service what it asks for, as the API server has it now. */
  ensure(service: ServiceObject, run: CloudRun): Promise<CloudOutcome>;
  /** Gives up everything that the Service has. Rejects with RemovalPendingError while something is left. */
  remove(service: ServiceObject, beforeWrite: BeforeWrite): Promise<void>;
  /** The Service is gone, or nothing is left of what it had. */
  forget(key: string): void;
  /** Returns the way out. */
  subscribe(listener: (news: CloudNews) => void): () => void;
}

export interface CloudRun {
  readonly beforeWrite: BeforeWrite;
  /** Nothing that is remembered is to be trusted. */
  readonly thorough: boolean;
  /** Before anything is made or changed: resolves when this stands on the Service. */
  claim(claim: Claim): Promise<void>;
}

export interface Claim {
  /** Where there may be something of the Service from now on. */
  readonly places: string;
  /** Whether what the Service says was last made of it is what is meant to be there. */
  readonly isApplied: boolean;
}

export type CloudOutcome =
  | (Outcome & {
      /** Where there may be something of the Service; undefined: nowhere. */
      readonly places: string | undefined;
      /** The run after `again` is a thorough one. */
      readonly thorough?: boolean;
    })
  /** Others go first: the Service stays as it is until the provider tells of it, or `again` has passed. */
  | { readonly kind: 'waiting'; readonly again: number };

export type CloudNews = { readonly key: string } & (
  | {
      /** What decides on it besides itself may have changed, as this controller has heard. */
      readonly why: 'inputs';
    }
  /** It has to be looked at thoroughly. */
  | { readonly why: 'suspect' }
  /** It waited, and there is room now. */
  | { readonly why: 'turn'; readonly thorough: boolean }
);

/** What holds up a removal; the key is to come again. */
export class RemovalPendingError extends Error {
  override readonly name = 'RemovalPending';
  /** Stable, CamelCase. */
  readonly reason: string;
  /** Milliseconds. */
  readonly retryAfter: number;

  constructor(held: { readonly reason: string; readonly message: string; readonly retryAfter: number }) {
    super(held.message);
    this.reason = held.reason;
    this.retryAfter = held.retryAfter;
  }
}
