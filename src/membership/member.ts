// One member: votes if the roster says so, holds addresses, and follows the roster. A pure state machine: every
// call is given the time on one clock that never runs backwards, and returns what is to be sent.
import type { Ip } from '../net/address.ts';
import { Holder } from './holder.ts';
import { isPortable, type Link, type Links, type Message, type NodeState } from './message.ts';
import type { Roster } from './roster.ts';
import type { Timing } from './timing.ts';
import { type Outgoing, Voter } from './voter.ts';

export interface MemberOptions {
  readonly id: string;
  /** Whether it takes part as a node; a witness only votes. */
  readonly holds: boolean;
  readonly timing: Timing;
  readonly now: number;
  readonly random: () => number;
  readonly random64: () => bigint;
  readonly onReplay: () => void;
}

export class Member {
  readonly #id: string;
  readonly #voter: Voter;
  readonly #holder: Holder;
  readonly #holds: boolean;
  #roster: Roster | undefined;

  constructor({ id, holds, timing, now, random, random64, onReplay }: MemberOptions) {
    this.#id = id;
    this.#holds = holds;
    this.#voter = new Voter({ timing, now, random64, onReplay });
    this.#holder = new Holder({ timing, random, random64 });
  }

  get roster(): Roster | undefined {
    return this.#roster;
  }

  get epoch(): number {
    return this.#roster?.epoch ?? 0;
  }

  get wanted(): ReadonlySet<Ip> {
    return this.#holder.wanted;
  }

  /**
   * Takes a roster from the API server. The first must come from there: what a peer remembers may be older than
   * what this member, in a former life, has already gone by.
   */
  setRoster(now: number, roster: Roster): Outgoing[] {
    if (roster.epoch > this.epoch) this.#adopt(roster);
    return this.#send(now);
  }

  want(now: number, addresses: ReadonlySet<Ip>): Outgoing[] {
    this.#holder.want(now, addresses);
    return this.#send(now);
  }

  leave(now: number, leaving = true): Outgoing[] {
    this.#holder.leave(leaving);
    return this.#send(now);
  }

  /** On what this node can announce. */
  setLinks(now: number, links: readonly Link[]): Outgoing[] {
    this.#holder.setLinks(links);
    return this.#send(now);
  }

  /** On what a node can announce; undefined: nobody knows. */
  linksOf(now: number, node: string): Links {
    return this.#holder.linksOf(now, node);
  }

  /** Until when this node may answer for the address, on the clock that the calls are given. */
  until(address: Ip): number {
    return this.#holder.until(address);
  }

  /** Another one after each change of what decides on `until`, but for time; see Holder.grantersOf. */
  get grants(): number {
    return this.#holder.grants;
  }

  grantersOf(address: Ip): number {
    return this.#holder.grantersOf(address);
  }

  /** While leaving: which of the wanted addresses others ask for. */
  get contended(): ReadonlySet<Ip> {
    return this.#holder.contended;
  }

  /** Who had addresses right before us, and gave them up; once. */
  takeFormer(): ReadonlyMap<Ip, string> {
    return this.#holder.takeFormer();
  }

  /** Whether `states` may say something new since the last call, but for what time alone does. */
  takeNews(): boolean {
    return this.#holder.takeNews();
  }

  hasQuorum(now: number): boolean {
    return this.#holder.hasQuorum(now);
  }

  /** What a majority of the voters says of each node that takes part, as far as they agree. */
  states(now: number): Map<string, NodeState> {
    const states = new Map<string, NodeState>();
    for (const node of this.#holder.nodes()) {
      const state = this.#holder.stateOf(now, node);
      if (state) states.set(node, state);
    }
    return states;
  }

  receive(now: number, message: Message): Outgoing[] {
    return this.#loop(now, this.#take(now, message));
  }

  wakeAt(): number {
    return Math.min(this.#voter.wakeAt(), this.#holder.wakeAt());
  }

  wake(now: number): Outgoing[] {
    return this.#loop(now, [...this.#voter.wake(now), ...this.#holder.send(now)]);
  }

  #send(now: number): Outgoing[] {
    return this.#loop(now, this.#holder.send(now));
  }

  /** What this member says to itself never leaves it. */
  #loop(now: number, out: Outgoing[]): Outgoing[] {
    const away: Outgoing[] = [];
    const queue = [...out];
    for (let next = queue.shift(); next; next = queue.shift()) {
      if (next.to !== this.#id) away.push(next);
      else
        queue.push(...this.#take(now, { from: this.#id, to: this.#id, epoch: this.epoch, body: next.body }));
    }
    return away;
  }

  #take(now: number, { from, epoch, body }: Message): Outgoing[] {
    switch (body.kind) {
      case 'hello':
        return this.#voter.hello(from, body);
      case 'beat':
        // Only members of one mind grant and are granted to: that is what makes majorities of one roster overlap
        // with those of the next.
        if (epoch < this.epoch) return this.#tellRoster(from);
        if (epoch > this.epoch || !this.#votes()) return [{ to: from, body: { kind: 'behind' } }];
        return [...this.#voter.beat(now, from, body), ...this.#holder.accompany(now, from)];
      case 'behind':
        return epoch < this.epoch ? this.#tellRoster(from) : [];
      case 'roster':
        if (this.#roster && body.roster.epoch > this.epoch) this.#adopt(body.roster);
        return this.#holder.send(now);
      case 'look':
      case 'seen':
        return []; // not for the protocol: MemberHost passes them on
      default:
        this.#holder.receive(now, from, body);
        return this.#holder.send(now);
    }
  }

  #votes(): boolean {
    return this.#roster?.voters.some(({ id }) => id === this.#id) ?? false;
  }

  #tellRoster(to: string): Outgoing[] {
    return this.#roster && isPortable(this.#roster)
      ? [{ to, body: { kind: 'roster', roster: this.#roster } }]
      : [];
  }

  #adopt(roster: Roster): void {
    this.#roster = roster;
    if (this.#holds) this.#holder.setRoster(roster);
  }
}
