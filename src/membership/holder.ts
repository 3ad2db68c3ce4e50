// A holder: claims addresses with the voters, and knows until when each one is its own. A pure state machine.
import type { Ip } from '../net/address.ts';
import { Channel, type ChannelOptions } from './channel.ts';
import { type Body, type Link, type Links, type NodeState, portableLinks } from './message.ts';
import { MOST_VOTERS, majorityOf, type Roster } from './roster.ts';
import type { Outgoing } from './voter.ts';

type From<Kind extends Body['kind']> = Extract<Body, { kind: Kind }>;

/** Milliseconds by which a beat may come early, to leave with that to another voter: one waking for all. */
const TOGETHER = 20;

/** And by which it may, to leave with an ack to the same member: more than half, so that one of two always does. */
const ACCOMPANY = 60;

/** A claim on its way: others may be after the same address, so that it is not to stand half granted for long. */
interface Attempt {
  /** When it began, or was last known to be ours. */
  since: number;
  failures: number;
  /** While it is taken back: when it is made again. */
  pausedUntil: number;
  /** The latest until which it was ever ours. It stays so whatever the voters say later: they are bound till then. */
  heldUntil: number;
}

export interface HolderOptions extends Omit<ChannelOptions, 'onGrants'> {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Holder {
  readonly #options: HolderOptions & ChannelOptions;
  /** Another one after each change of who has granted what, or of what is claimed. */
  grants = 0;
  readonly #channels = new Map<string, Channel>();
  readonly #wanted = new Set<Ip>();
  /** `#wanted` without those that are paused. */
  readonly #claimed = new Set<Ip>();
  readonly #contended = new Set<Ip>();
  readonly #attempts = new Map<Ip, Attempt>();
  /** Who gave up addresses that were granted to us a moment later, until that is asked for. */
  #former = new Map<Ip, string>();
  #majority = Number.POSITIVE_INFINITY;
  readonly #latest = new Float64Array(MOST_VOTERS);
  #leaving = false;
  #links: Links = [];
  #reviewAt = Number.NEGATIVE_INFINITY;
  #isNews = false;
  /** Whether anything wanted was not ours at the last review. */
  #isWaiting = false;

  constructor(options: HolderOptions) {
    this.#options = { ...options, onGrants: () => void this.grants++ };
  }

  /** Grants of voters that stay count on; those of others never again. */
  setRoster(roster: Roster): void {
    this.#majority = majorityOf(roster);
    this.grants++;
    const ids = new Set(roster.voters.map(({ id }) => id));
    for (const id of this.#channels.keys()) if (!ids.has(id)) this.#channels.delete(id);
    for (const id of ids) if (!this.#channels.has(id)) this.#channels.set(id, new Channel(this.#options));
  }

  /**
   * From now on exactly these are claimed. Nothing may count any more on what is no longer among them: it is given
   * back at once. While leaving, nothing new is claimed.
   */
  want(now: number, addresses: ReadonlySet<Ip>): void {
    for (const address of this.#wanted) if (!addresses.has(address)) this.#giveUp(address);
    for (const address of addresses) {
      if (this.#wanted.has(address) || this.#leaving) continue;
      this.#wanted.add(address);
      this.#claimed.add(address);
      this.#isWaiting = true;
      this.#attempts.set(address, {
        since: now,
        failures: 0,
        pausedUntil: now,
        heldUntil: Number.NEGATIVE_INFINITY,
      });
    }
    this.#touch();
  }

  /** Tells the voters that this node is about to stop, or is of no use: what others ask for is theirs. Or that it is back. */
  leave(leaving: boolean): void {
    if (leaving === this.#leaving) return;
    this.#leaving = leaving;
    this.#contended.clear();
    for (const channel of this.#channels.values()) channel.hurry();
  }

  /**
   * Until when the address is ours, on this clock: a majority of the voters gives it to nobody else before.
   * -Infinity: it is not ours. It never shrinks while the address is wanted.
   */
  until(address: Ip): number {
    const attempt = this.#attempts.get(address);
    if (!attempt) return Number.NEGATIVE_INFINITY;
    // What is being taken back may still count as granted here for a moment, and must not become ours by a roster
    // that asks for fewer grants: the voters are about to give it to others.
    if (!this.#claimed.has(address)) return attempt.heldUntil;
    // The majority-th latest bound, without garbage: this is asked for thousands of addresses many times a second.
    const latest = this.#latest.fill(Number.NEGATIVE_INFINITY);
    for (const channel of this.#channels.values()) {
      let bound = channel.boundUntil(address);
      for (let i = 0; i < latest.length; i++) {
        const other = latest[i] ?? 0;
        if (bound <= other) continue;
        latest[i] = bound;
        bound = other;
      }
    }
    attempt.heldUntil = Math.max(attempt.heldUntil, latest[this.#majority - 1] ?? Number.NEGATIVE_INFINITY);
    return attempt.heldUntil;
  }

  /** Which voters have granted the address, as bits; see groupsOf. */
  grantersOf(address: Ip): number {
    if (!this.#claimed.has(address)) return 0;
    let bits = 0;
    let bit = 1;
    for (const channel of this.#channels.values()) {
      if (channel.hasGranted(address)) bits |= bit;
      bit *= 2;
    }
    return bits;
  }

  /** While leaving: which of the wanted addresses others ask for. */
  get contended(): ReadonlySet<Ip> {
    return this.#contended;
  }

  get wanted(): ReadonlySet<Ip> {
    return this.#wanted;
  }

  /** Whether a majority of the voters was heard within a lease. */
  hasQuorum(now: number): boolean {
    return [...this.#channels.values()].filter((channel) => channel.isHeard(now)).length >= this.#majority;
  }

  /** On what this node can announce, from now on. */
  setLinks(links: readonly Link[]): void {
    this.#links = portableLinks(links);
    for (const channel of this.#channels.values()) channel.hurry();
  }

  /** On what a node can announce, as the voter says that was heard last; undefined: nobody knows. */
  linksOf(now: number, node: string): Links {
    let last: Channel | undefined;
    for (const channel of this.#channels.values()) {
      const report = channel.reportOf(now, node);
      // Who hears the node no more says what it last heard of it.
      if (!report || report.state === 'dead') continue;
      if (channel.heardAt > (last?.heardAt ?? Number.NEGATIVE_INFINITY)) last = channel;
    }
    return last?.reportOf(now, node)?.links;
  }

  /** What a majority of the voters says of a node; undefined: it never took part, or the voters do not agree. */
  stateOf(now: number, node: string): NodeState | undefined {
    const count: Partial<Record<NodeState, number>> = {};
    for (const channel of this.#channels.values()) {
      const state = channel.reportOf(now, node)?.state;
      if (state) count[state] = (count[state] ?? 0) + 1;
    }
    const { alive = 0, leaving = 0, dead = 0 } = count;
    if (alive >= this.#majority) return 'alive';
    if (alive + leaving >= this.#majority) return 'leaving';
    return dead > 0 && alive + leaving + dead >= this.#majority ? 'dead' : undefined;
  }

  /** Every node that a voter ever spoke of. */
  nodes(): Set<string> {
    return new Set([...this.#channels.values()].flatMap((channel) => [...channel.nodes()]));
  }

  /** Whether a voter has said something new of any node since the last call. */
  takeNews(): boolean {
    const isNews = this.#isNews;
    this.#isNews = false;
    return isNews;
  }

  /** Who had addresses right before us, and gave them up; once. */
  takeFormer(): ReadonlyMap<Ip, string> {
    const former = this.#former;
    if (former.size > 0) this.#former = new Map();
    return former;
  }

  receive(now: number, from: string, body: From<'welcome' | 'ack' | 'nudge' | 'refuse' | 'former'>): void {
    const channel = this.#channels.get(from);
    if (!channel) return;
    switch (body.kind) {
      case 'welcome':
        channel.welcome(now, body);
        return;
      case 'ack':
        if (!channel.ack(now, body)) return;
        if (body.view.length > 0) this.#isNews = true;
        for (const address of body.contended) this.#contend(address);
        return;
      case 'former':
        if (!channel.isUnderWay(body.token, body.seq)) return;
        for (const address of body.addresses)
          if (this.#wanted.has(address)) this.#former.set(address, body.node);
        return;
      case 'nudge':
        channel.nudge(body.token, body.count);
        return;
      case 'refuse':
        channel.refuse(body.token);
    }
  }

  /** Everything that is to be sent now. */
  send(now: number): Outgoing[] {
    this.#review(now);
    const out: Outgoing[] = [];
    let until = now;
    for (const channel of this.#channels.values()) if (channel.wakeAt() <= now) until = now + TOGETHER;
    for (const [to, channel] of this.#channels) {
      const body = channel.send(now, until, this.#claimed, this.#said());
      if (body) out.push({ to, body });
    }
    return out;
  }

  /** A beat to that voter, if one is soon due, to go with what is sent to it now: one packet for two. */
  accompany(now: number, to: string): Outgoing[] {
    const body = this.#channels.get(to)?.send(now, now + ACCOMPANY, this.#claimed, this.#said());
    return body ? [{ to, body }] : [];
  }

  /** When `send` has something to say again; Infinity: never. */
  wakeAt(): number {
    let at = this.#isWaiting ? this.#reviewAt : Number.POSITIVE_INFINITY;
    for (const channel of this.#channels.values()) at = Math.min(at, channel.wakeAt());
    return at;
  }

  /** A claim that has not found a majority in time is taken back, and made again a little later, by chance not at the same time as others. */
  #review(now: number): void {
    if (now < this.#reviewAt) return;
    const { patience, random } = { ...this.#options, ...this.#options.timing };
    this.#reviewAt = now + patience / (this.#isWaiting ? 4 : 2);
    this.#isWaiting = false;
    for (const [address, attempt] of this.#attempts) {
      if (this.until(address) > now) {
        attempt.since = now;
        attempt.failures = 0;
        continue;
      }
      this.#isWaiting = true;
      if (!this.#claimed.has(address)) {
        if (now < attempt.pausedUntil) continue;
        this.#claimed.add(address);
        attempt.since = now;
        this.#touch();
      } else if (now - attempt.since >= patience && this.#isHalfGranted(address)) {
        this.#claimed.delete(address);
        attempt.pausedUntil = now + patience * (0.2 + random() * Math.min(3, ++attempt.failures));
        this.#touch();
      }
    }
  }

  #said(): { leaving: boolean; links: Links } {
    return { leaving: this.#leaving, links: this.#links };
  }

  #isHalfGranted(address: Ip): boolean {
    for (const channel of this.#channels.values()) if (channel.hasGranted(address)) return true;
    return false;
  }

  #contend(address: Ip): void {
    if (this.#leaving && this.#wanted.has(address)) this.#contended.add(address);
  }

  #giveUp(address: Ip): void {
    this.#wanted.delete(address);
    this.#claimed.delete(address);
    this.#attempts.delete(address);
    this.#contended.delete(address);
  }

  #touch(): void {
    this.grants++;
    for (const channel of this.#channels.values()) channel.touch();
  }
}
