// A voter: remembers who has which address, and grants no address to two at a time. It measures with its own
// clock alone, from its own receipts. A pure state machine: what comes in is given the time, what goes out is returned.
import { isDeepStrictEqual } from 'node:util';
import type { Ip } from '../net/address.ts';
import {
  type Body,
  bytesOf,
  bytesOfReport,
  CONTENDED_BYTES,
  FORMER_BYTES,
  type Links,
  type NodeReport,
  VIEW_BYTES,
} from './message.ts';
import type { Timing } from './timing.ts';

/** What a member sends: to whom, and what. */
export interface Outgoing {
  readonly to: string;
  readonly body: Body;
}

type Hello = Extract<Body, { kind: 'hello' }>;
type Beat = Extract<Body, { kind: 'beat' }>;

/** The talk with one process of a holder. Everything that it was granted ends together: `lease` after `renewedAt`. */
interface Session {
  readonly holder: string;
  readonly token: bigint;
  readonly addresses: Set<Ip>;
  renewedAt: number;
  seq: number;
  version: number;
  results: readonly boolean[];
  leaving: boolean;
  links: Links;
  /** A beat that was acked at this time, and that the holder is to show it heard of before long. */
  proof: { readonly seq: number; readonly at: number };
  nudges: number;
}

/** Of one message: who had addresses, and the bytes that more of them may take. */
interface Former {
  readonly node: string;
  readonly addresses: Ip[];
  room: number;
}

interface Waiter {
  readonly token: bigint;
  readonly at: number;
}

/** Milliseconds within which a holder must show that it hears us: one that does not could hold nothing, only block others. */
const PROOF_LASTS = 350;
/** Milliseconds for which it is known who gave an address back: whoever asks for it then follows. */
const FORMER_LASTS = 3_000;
/** Milliseconds for which a denied claim is remembered, to tell the one who asked when the address is free. */
const WAITER_LASTS = 6_000;

export interface VoterOptions {
  readonly timing: Timing;
  /** When this process started to vote. */
  readonly now: number;
  /** Random unsigned 64-bit numbers that nobody can guess. */
  readonly random64: () => bigint;
  /** Hears of a message that is from an older talk, or came twice. */
  readonly onReplay: () => void;
}

export class Voter {
  readonly #options: VoterOptions;
  /** A former life of this process may have granted anything until just now: nothing is granted before this. */
  readonly #grantsFrom: number;
  readonly #sessions = new Map<bigint, Session>();
  /**
   * The session that speaks for each holder. Former ones only wait for their leases to end: whoever began them, a
   * process of the same name or the same process, may still count on them.
   */
  readonly #current = new Map<string, Session>();
  /** Sessions that were offered, and not begun. */
  readonly #offered = new Map<string, bigint>();
  readonly #owners = new Map<Ip, Session>();
  readonly #waiting = new Map<Ip, Map<string, Waiter>>();
  /** Who gave addresses back that nobody has asked for since. */
  readonly #former = new Map<Ip, { readonly holder: string; readonly at: number }>();
  readonly #view = new Map<string, { readonly report: NodeReport; readonly version: number }>();
  #viewVersion = 0;

  constructor(options: VoterOptions) {
    this.#options = options;
    this.#grantsFrom = options.now + options.timing.lease;
  }

  hello(holder: string, { nonce }: Hello): Outgoing[] {
    const token = this.#options.random64();
    this.#offered.set(holder, token);
    return [{ to: holder, body: { kind: 'welcome', nonce, token } }];
  }

  /** Only beats of members with the same roster come here. */
  beat(now: number, holder: string, beat: Beat): Outgoing[] {
    const out: Outgoing[] = [];
    const session = this.#sessionOf(now, holder, beat.token);
    if (!session || !hearsUs(now, session, beat)) {
      out.push({ to: holder, body: { kind: 'refuse', token: beat.token } });
      return out;
    }
    if (beat.seq <= session.seq) {
      this.#options.onReplay();
      return [];
    }
    session.seq = beat.seq;
    session.renewedAt = now;
    session.leaving = beat.leaving;
    session.links = beat.links;
    if (beat.acked >= session.proof.seq) session.proof = { seq: beat.seq, at: now };
    this.#report({ name: holder, state: beat.leaving ? 'leaving' : 'alive', links: beat.links }, out);
    let retryAfter = 0;
    const former: Former[] = [];
    if (beat.changes.length > 0 && beat.base === session.version) {
      session.results = beat.changes.map(({ address, wants }) => {
        if (!wants) {
          this.#release(now, address, session, out);
          return true;
        }
        const wait = this.#claim(now, address, session, out);
        if (wait === 0) this.#follow(now, address, session, former);
        if (wait > 0) retryAfter = retryAfter === 0 ? wait : Math.min(retryAfter, wait);
        return wait === 0;
      });
      session.version++;
    }
    const { entries, version } = this.#viewSince(beat.viewVersion);
    const { token } = session;
    for (const { node, addresses } of former)
      out.push({ to: holder, body: { kind: 'former', token, seq: beat.seq, node, addresses } });
    out.push({
      to: holder,
      body: {
        kind: 'ack',
        token: session.token,
        seq: beat.seq,
        version: session.version,
        results: beat.changes.length > 0 ? session.results : [],
        retryAfter: Math.min(Math.ceil(retryAfter), 0xffff),
        viewVersion: version,
        view: entries,
        contended: session.leaving ? this.#contended(now, session) : [],
      },
    });
    return out;
  }

  /** When `wake` has something to do; Infinity: never. */
  wakeAt(): number {
    const { lease, deadAfter } = this.#options.timing;
    let at = Number.POSITIVE_INFINITY;
    for (const session of this.#sessions.values()) {
      const isHeard = this.#speaks(session) && this.#view.get(session.holder)?.report.state === 'alive';
      at = Math.min(at, session.renewedAt + (isHeard ? deadAfter : lease));
    }
    return at;
  }

  wake(now: number): Outgoing[] {
    const { lease, deadAfter } = this.#options.timing;
    const out: Outgoing[] = [];
    for (const session of this.#sessions.values()) {
      // Who said that it would stop, and is silent, is no dead node: its pods serve on.
      if (
        this.#speaks(session) &&
        now >= session.renewedAt + deadAfter &&
        this.#view.get(session.holder)?.report.state === 'alive'
      )
        this.#report({ name: session.holder, state: 'dead', links: session.links }, out);
      if (now >= session.renewedAt + lease) this.#drop(session, out);
    }
    for (const [address, waiters] of this.#waiting) {
      for (const [holder, { at }] of waiters) if (now - at > WAITER_LASTS) waiters.delete(holder);
      if (waiters.size === 0) this.#waiting.delete(address);
    }
    for (const [address, { at }] of this.#former) if (now - at > FORMER_LASTS) this.#former.delete(address);
    return out;
  }

  /** The session that the token stands for, if its leases still run; begins one that was offered. */
  #sessionOf(now: number, holder: string, token: bigint): Session | undefined {
    const known = this.#sessions.get(token);
    if (known) {
      if (known.holder !== holder || !this.#speaks(known)) return undefined;
      if (now < known.renewedAt + this.#options.timing.lease) return known;
      return undefined; // `wake` drops it and tells who waits
    }
    if (this.#offered.get(holder) !== token) return undefined;
    this.#offered.delete(holder);
    const session: Session = {
      holder,
      token,
      addresses: new Set(),
      renewedAt: now,
      seq: 0,
      version: 0,
      results: [],
      leaving: false,
      links: [],
      proof: { seq: 0, at: now },
      nudges: 0,
    };
    this.#sessions.set(token, session);
    this.#current.set(holder, session);
    return session;
  }

  #speaks(session: Session): boolean {
    return this.#current.get(session.holder) === session;
  }

  /** 0: granted; else milliseconds until it may be. */
  #claim(now: number, address: Ip, session: Session, out: Outgoing[]): number {
    if (now < this.#grantsFrom) return this.#grantsFrom - now;
    let owner = this.#owners.get(address);
    const { lease } = this.#options.timing;
    if (owner && owner !== session && now >= owner.renewedAt + lease) {
      this.#drop(owner, out);
      owner = undefined;
    }
    if (owner && owner !== session) {
      const waiters = this.#waiting.get(address) ?? new Map<string, Waiter>();
      this.#waiting.set(address, waiters.set(session.holder, { token: session.token, at: now }));
      if (owner.leaving) this.#nudge(owner, out);
      return owner.renewedAt + lease - now;
    }
    this.#owners.set(address, session);
    session.addresses.add(address);
    this.#waiting.get(address)?.delete(session.holder);
    return 0;
  }

  /** Who had an address that is granted now: a connection of that time is known to that node alone. */
  #follow(now: number, address: Ip, { holder }: Session, former: Former[]): void {
    const last = this.#former.get(address);
    if (!last) return;
    this.#former.delete(address);
    if (last.holder === holder || now - last.at > FORMER_LASTS) return;
    const bytes = bytesOf(address);
    let list = former.find(({ node, room }) => node === last.holder && room >= bytes);
    if (!list) {
      list = { node: last.holder, addresses: [], room: FORMER_BYTES };
      former.push(list);
    }
    list.addresses.push(address);
    list.room -= bytes;
  }

  #release(now: number, address: Ip, session: Session, out: Outgoing[]): void {
    if (!session.addresses.delete(address)) {
      this.#waiting.get(address)?.delete(session.holder); // it no longer asks
      return;
    }
    this.#owners.delete(address);
    this.#former.set(address, { holder: session.holder, at: now });
    this.#tellWaiters(address, out);
  }

  /** Ends a session and everything that was granted in it. */
  #drop(session: Session, out: Outgoing[]): void {
    this.#sessions.delete(session.token);
    if (this.#speaks(session)) this.#current.delete(session.holder);
    for (const address of session.addresses) {
      this.#owners.delete(address);
      this.#tellWaiters(address, out);
    }
  }

  #tellWaiters(address: Ip, out: Outgoing[]): void {
    for (const { token } of this.#waiting.get(address)?.values() ?? []) {
      const session = this.#sessions.get(token);
      if (session) this.#nudge(session, out);
    }
  }

  /** One nudge to each is enough for everything that happens at a time. */
  #nudge(session: Session, out: Outgoing[]): void {
    const { holder, token } = session;
    if (out.some(({ to, body }) => to === holder && body.kind === 'nudge')) return;
    out.push({ to: holder, body: { kind: 'nudge', token, count: ++session.nudges } });
  }

  #report(report: NodeReport, out: Outgoing[]): void {
    const before = this.#view.get(report.name)?.report;
    const hasLinks = before !== undefined && isDeepStrictEqual(before.links, report.links);
    if (before?.state === report.state && hasLinks) return;
    this.#view.set(report.name, { report, version: ++this.#viewVersion });
    // Who joins can wait for the next beats; who goes, or loses a link, cannot.
    if (report.state !== 'alive' || (before?.state === 'alive' && !hasLinks))
      for (const session of this.#current.values()) this.#nudge(session, out);
  }

  /** What changed after `since`, as much of it as one message carries, and how far that brings the reader. */
  #viewSince(since: number): { entries: NodeReport[]; version: number } {
    if (since === this.#viewVersion) return { entries: [], version: since };
    const changed = [...this.#view.values()].filter(({ version }) => version > since);
    changed.sort((a, b) => a.version - b.version);
    const entries: NodeReport[] = [];
    let bytes = 0;
    let reached = since;
    for (const { report, version } of changed) {
      bytes += bytesOfReport(report);
      if (bytes > VIEW_BYTES) return { entries, version: reached };
      entries.push(report);
      reached = version;
    }
    return { entries, version: this.#viewVersion };
  }

  #contended(now: number, session: Session): Ip[] {
    const contended: Ip[] = [];
    let bytes = 0;
    for (const [address, waiters] of this.#waiting) {
      if (this.#owners.get(address) !== session) continue;
      if (![...waiters.values()].some(({ at }) => now - at <= WAITER_LASTS)) continue;
      bytes += bytesOf(address);
      if (bytes > CONTENDED_BYTES) break;
      contended.push(address);
    }
    return contended;
  }
}

/** Its leases run out where it does not: they are not renewed. */
function hearsUs(now: number, { proof }: Session, { acked }: Beat): boolean {
  return acked >= proof.seq || now - proof.at <= PROOF_LASTS;
}
