// A holder's talk with one voter: what the voter has granted, and until when that binds it.
import type { Ip } from '../net/address.ts';
import { type Body, bytesOf, CHANGES_BYTES, type Change, type Links, type NodeReport } from './message.ts';
import { HELLO_RETRY, LONGEST_RETRY, type Timing, USABLE, VIEW_LASTS } from './timing.ts';

type Welcome = Extract<Body, { kind: 'welcome' }>;
type Ack = Extract<Body, { kind: 'ack' }>;

/** Beats for which an ack is still waited for. */
const MOST_UNACKED = 64;

interface Session {
  readonly token: bigint;
  seq: number;
  acked: number;
  /** When each beat left that no ack has come for. */
  readonly sent: Map<number, number>;
  version: number;
  /** The changes of the next version: sent again, the same, until an ack comes. */
  pending: readonly Change[];
  nudges: number;
  viewVersion: number;
}

interface Denial {
  readonly retryAt: number;
  readonly delay: number;
}

export interface ChannelOptions {
  readonly timing: Timing;
  readonly random64: () => bigint;
  /** The voter has granted something more, or less. */
  readonly onGrants: () => void;
}

export class Channel {
  readonly #options: ChannelOptions;
  #session: Session | undefined;
  #nonce = 0n;
  #helloAt = Number.NEGATIVE_INFINITY;
  #helloDelay: number = HELLO_RETRY.first;
  #beatAt = Number.NEGATIVE_INFINITY;
  /** When the newest beat left that the voter has acked: it keeps what it granted for a lease from then at least. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  #heardAt = Number.NEGATIVE_INFINITY;
  readonly #granted = new Set<Ip>();
  readonly #denied = new Map<Ip, Denial>();
  readonly #view = new Map<string, NodeReport>();
  /** Whether what the voter has may differ from what is wanted. */
  #differs = true;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /** Until when the voter gives the address to nobody else, on this clock; -Infinity: it may at any time. */
  boundUntil(address: Ip): number {
    return this.#granted.has(address)
      ? this.#renewedAt + this.#options.timing.lease * USABLE
      : Number.NEGATIVE_INFINITY;
  }

  hasGranted(address: Ip): boolean {
    return this.#granted.has(address);
  }

  /** Undefined where the voter says nothing of the node, or has not been heard for a while. */
  reportOf(now: number, node: string): NodeReport | undefined {
    return now - this.#heardAt <= VIEW_LASTS ? this.#view.get(node) : undefined;
  }

  get heardAt(): number {
    return this.#heardAt;
  }

  nodes(): Iterable<string> {
    return this.#view.keys();
  }

  isHeard(now: number): boolean {
    return now - this.#heardAt <= this.#options.timing.lease;
  }

  /** The next beat is due now. */
  hurry(): void {
    this.#beatAt = Number.NEGATIVE_INFINITY;
  }

  /** What is wanted has changed. */
  touch(): void {
    this.#differs = true;
  }

  /** What is to be sent now, if anything: a hello, or a beat that is due by `until` or has something new to say. */
  send(
    now: number,
    until: number,
    wanted: ReadonlySet<Ip>,
    { leaving, links }: { readonly leaving: boolean; readonly links: Links },
  ): Body | undefined {
    const session = this.#session;
    if (!session) return this.#hello(now);
    const hadPending = session.pending.length > 0;
    if (!hadPending) session.pending = this.#difference(now, wanted);
    const isNew = !hadPending && session.pending.length > 0;
    if (until < this.#beatAt && !isNew) return undefined;
    this.#beatAt = now + this.#options.timing.heartbeat;
    session.sent.set(++session.seq, now);
    session.sent.delete(session.seq - MOST_UNACKED);
    return {
      kind: 'beat',
      token: session.token,
      seq: session.seq,
      acked: session.acked,
      leaving,
      links,
      viewVersion: session.viewVersion,
      base: session.version,
      changes: session.pending,
    };
  }

  wakeAt(): number {
    if (!this.#session) return this.#helloAt;
    let at = this.#beatAt;
    if (this.#session.pending.length === 0)
      for (const { retryAt } of this.#denied.values()) at = Math.min(at, retryAt);
    return at;
  }

  welcome(now: number, { nonce, token }: Welcome): void {
    if (this.#session || nonce !== this.#nonce) return;
    this.#heardAt = now;
    this.#helloDelay = HELLO_RETRY.first;
    this.#session = {
      token,
      seq: 0,
      acked: 0,
      sent: new Map(),
      version: 0,
      pending: [],
      nudges: 0,
      viewVersion: 0,
    };
    this.#beatAt = now;
    this.#view.clear();
    this.#differs = true;
  }

  /** Whether it was news: an ack that comes late or twice is none. */
  ack(now: number, ack: Ack): boolean {
    const session = this.#session;
    const sentAt = session?.sent.get(ack.seq);
    if (session?.token !== ack.token || sentAt === undefined) return false;
    for (const seq of session.sent.keys()) if (seq <= ack.seq) session.sent.delete(seq);
    session.acked = ack.seq;
    this.#renewedAt = sentAt;
    this.#heardAt = now;
    if (ack.version === session.version + 1 && session.pending.length > 0) {
      session.version++;
      this.#settle(now, session.pending, ack);
      session.pending = [];
    }
    session.viewVersion = ack.viewVersion;
    for (const report of ack.view) this.#view.set(report.name, report);
    return true;
  }

  /** Whether it belongs to a beat that no ack has come for. */
  isUnderWay(token: bigint, seq: number): boolean {
    return this.#session?.token === token && this.#session.sent.has(seq);
  }

  /** Whether the voter has something new: then it is asked at once. */
  nudge(token: bigint, count: number): boolean {
    const session = this.#session;
    if (session?.token !== token || count <= session.nudges) return false;
    session.nudges = count;
    this.hurry();
    this.#forgetDenials();
    return true;
  }

  /** The voter ended the session; nothing that it granted counts from now on. */
  refuse(token: bigint): boolean {
    if (this.#session?.token !== token) return false;
    this.#session = undefined;
    this.#granted.clear();
    this.#options.onGrants();
    this.#denied.clear();
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** What was denied may be asked for again at once. */
  #forgetDenials(): void {
    this.#denied.clear();
    this.#differs = true;
  }

  #hello(now: number): Body | undefined {
    if (now < this.#helloAt) return undefined;
    this.#helloAt = now + this.#helloDelay;
    this.#helloDelay = Math.min(HELLO_RETRY.most, this.#helloDelay * 2);
    this.#nonce = this.#options.random64();
    return { kind: 'hello', nonce: this.#nonce };
  }

  /** What the voter lacks or has too much, as much as one beat carries. What is given back counts no more from here on. */
  #difference(now: number, wanted: ReadonlySet<Ip>): Change[] {
    for (const [, { retryAt }] of this.#denied) if (retryAt <= now) this.#differs = true;
    if (!this.#differs) return [];
    const changes: Change[] = [];
    let bytes = 0;
    const add = (address: Ip, wants: boolean) => {
      bytes += bytesOf(address);
      if (bytes > CHANGES_BYTES) return false;
      changes.push({ address, wants });
      if (!wants) this.#granted.delete(address);
      this.#options.onGrants();
      return true;
    };
    for (const address of this.#granted) if (!wanted.has(address) && !add(address, false)) return changes;
    for (const address of wanted) {
      if (this.#granted.has(address) || (this.#denied.get(address)?.retryAt ?? now) > now) continue;
      if (!add(address, true)) return changes;
    }
    for (const address of this.#denied.keys()) if (!wanted.has(address)) this.#denied.delete(address);
    this.#differs = false;
    return changes;
  }

  #settle(now: number, changes: readonly Change[], { results, retryAfter }: Ack): void {
    for (const [i, { address, wants }] of changes.entries()) {
      if (!wants) continue;
      if (results[i]) {
        this.#granted.add(address);
        this.#options.onGrants();
        this.#denied.delete(address);
        continue;
      }
      const before = this.#denied.get(address)?.delay ?? this.#options.timing.heartbeat / 2;
      const delay = Math.min(LONGEST_RETRY, before * 2);
      // The first time, right when the lease that stands in the way ends if it is not renewed.
      const wait = retryAfter > 0 && before === this.#options.timing.heartbeat / 2 ? retryAfter : delay;
      this.#denied.set(address, { retryAt: now + wait, delay });
    }
    this.#differs = true;
  }
}
