// What the main thread and the membership thread say to each other.
import type { Ip } from '../net/address.ts';
import type { Held, MessageCounts, NodeView, Seen } from './member-host.ts';
import type { Link } from './message.ts';
import type { Roster } from './roster.ts';
import type { Keys } from './seal.ts';
import type { Peer } from './udp.ts';

export interface ThreadOptions {
  readonly id: string;
  readonly port: number;
  readonly holds: boolean;
  readonly keys: Keys;
  readonly memory: SharedArrayBuffer;
}

export type Order =
  | { readonly kind: 'keys'; readonly keys: Keys }
  | { readonly kind: 'roster'; readonly roster: Roster }
  | { readonly kind: 'want'; readonly version: number; readonly addresses: readonly Ip[] }
  | { readonly kind: 'leave'; readonly leaving: boolean }
  | { readonly kind: 'links'; readonly links: readonly Link[] }
  | { readonly kind: 'probe'; readonly peers: readonly (Peer & { readonly id: string })[] }
  | { readonly kind: 'look'; readonly id: number; readonly to: string; readonly address: Ip }
  | { readonly kind: 'seen'; readonly nonce: bigint; readonly seen: Seen }
  | { readonly kind: 'figures'; readonly id: number };

export interface Figures {
  readonly counts: MessageCounts;
  /** Of the thread's event loop since the last time these were asked for, in milliseconds: how late its timers were. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly most: number };
}

export type Report =
  | { readonly kind: 'listening'; readonly port: number }
  /** The port cannot be had; it is tried again. */
  | { readonly kind: 'problem'; readonly message: string }
  | { readonly kind: 'held'; readonly version: number; readonly held: readonly Held[] }
  | { readonly kind: 'contended'; readonly addresses: readonly Ip[] }
  | { readonly kind: 'former'; readonly former: ReadonlyMap<Ip, string> }
  | { readonly kind: 'states'; readonly states: readonly NodeView[]; readonly hasQuorum: boolean }
  /** The epoch of the roster that is followed now. */
  | { readonly kind: 'adopted'; readonly epoch: number }
  | { readonly kind: 'heard'; readonly id: string; readonly epoch: number }
  | { readonly kind: 'look'; readonly nonce: bigint; readonly address: Ip }
  | { readonly kind: 'seen'; readonly id: number; readonly seen: Seen }
  | { readonly kind: 'figures'; readonly id: number; readonly figures: Figures };
