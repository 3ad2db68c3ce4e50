// Runs a member on a socket and a clock: carries what its state machine says, and tells until when addresses are held.
import { randomBytes } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import type { Ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import { type Deadlines, MOST_ADDRESSES, monotonicNow } from './deadlines.ts';
import { groupsOf } from './groups.ts';
import { Member } from './member.ts';
import { type Body, type Link, type Links, type Message, MOST_MACS, type NodeState } from './message.ts';
import type { Roster } from './roster.ts';
import { type Keys, open, REFUSALS, type Refusal, seal } from './seal.ts';
import { TIMING } from './timing.ts';
import { openUdp, type Peer, type Udp } from './udp.ts';
import type { Outgoing } from './voter.ts';

/** Milliseconds between two looks at what merely lasts longer than before. */
const PUBLISH_EVERY = 80;
/** And between two at what time alone changes of who lives. */
const REVIEW_EVERY = 240;

export interface MessageCounts {
  sent: number;
  received: number;
  lost: number;
  readonly refused: Record<Refusal | 'replayed', number>;
}

/** `near`: it is on a link with such addresses; the MACs of other hosts that answered there. */
export interface Seen {
  readonly near: boolean;
  readonly macs: readonly Mac[];
}

/** What voters say of a node. */
export interface NodeView {
  readonly name: string;
  readonly state: NodeState;
  readonly links: Links;
}

export interface Held {
  readonly address: Ip;
  /** Its place among the deadlines. */
  readonly slot: number;
  /** Another number each time that it becomes ours. */
  readonly grant: number;
}

/** Questions of others, and of ours, that are remembered: the oldest is forgotten. */
const MOST_LOOKS = 64;

export interface MemberHostOptions {
  readonly id: string;
  /** UDP. */
  readonly port: number;
  readonly holds: boolean;
  readonly keys: Keys;
  readonly deadlines: Deadlines;
  /** Which addresses are held; with the number of the wish that this follows. Their deadlines move on without a word. */
  readonly onHeld: (version: number, held: Held[]) => void;
  readonly onContended: (addresses: Ip[]) => void;
  /** Who had addresses right before us, and gave them up: told before they are held. */
  readonly onFormer: (former: ReadonlyMap<Ip, string>) => void;
  readonly onStates: (states: NodeView[], hasQuorum: boolean) => void;
  /** The epoch of the roster that is followed now. */
  readonly onAdopted: (epoch: number) => void;
  /** A member answered a probe; `epoch` is of its roster. */
  readonly onHeard: (id: string, epoch: number) => void;
  /** Another member asks what we see of an address on our links; `answerLook` answers. */
  readonly onLook: (nonce: bigint, address: Ip) => void;
  /** What another member saw, of what we asked with this number. */
  readonly onSeen: (id: number, seen: Seen) => void;
}

export class MemberHost {
  readonly counts: MessageCounts;
  readonly #options: MemberHostOptions;
  readonly #member: Member;
  readonly #udp: Udp;
  /** Where who spoke to us last spoke from. */
  readonly #peers = new Map<string, Peer>();
  readonly #slots = new Map<Ip, number>();
  readonly #freeSlots: number[] = [];
  #usedSlots = 0;
  #keys: Keys;
  #version = 0;
  /** With the number of the grant. */
  readonly #held = new Map<Ip, number>();
  #grants = 0;
  /** Wanted, and not held. */
  readonly #waiting = new Set<Ip>();
  #groups: readonly { readonly address: Ip; readonly slots: readonly number[] }[] = [];
  /** `grants` of the member when that was so; undefined: what is held is other by now. */
  #groupedAt: number | undefined;
  #publishedAt = 0;
  #reviewedAt = 0;
  #states = '';
  #contended = '';
  #probe = 0n;
  /** Who asked us, by nonce; and what we asked, by nonce. */
  readonly #lookers = new Map<bigint, { readonly id: string; readonly peer: Peer }>();
  readonly #looks = new Map<bigint, { readonly id: number; readonly to: string }>();
  #timer: NodeJS.Timeout | undefined;
  /** How late timers were, in microseconds. */
  readonly #delay = createHistogram();

  /** Rejects with the system's error where the port cannot be had. */
  static async start(options: MemberHostOptions): Promise<MemberHost> {
    let host: MemberHost | undefined;
    const udp = await openUdp({
      port: options.port,
      onPacket: (packet, from) => host?.receive(packet, from),
      onLost: () => host && host.counts.lost++,
    });
    host = new MemberHost(options, udp);
    return host;
  }

  private constructor(options: MemberHostOptions, udp: Udp) {
    this.#options = options;
    this.#udp = udp;
    this.#keys = options.keys;
    const reasons = [...REFUSALS, 'replayed'].map((reason) => [reason, 0]);
    this.counts = { sent: 0, received: 0, lost: 0, refused: Object.fromEntries(reasons) };
    this.#member = new Member({
      id: options.id,
      holds: options.holds,
      timing: TIMING,
      now: monotonicNow(),
      random: Math.random,
      random64,
      onReplay: () => this.counts.refused.replayed++,
    });
  }

  get port(): number {
    return this.#udp.port;
  }

  setKeys(keys: Keys): void {
    this.#keys = keys;
  }

  setRoster(roster: Roster): void {
    this.#step((now) => this.#member.setRoster(now, roster));
  }

  /** `version` comes back with what is held. Nothing may count any more on what is not among `addresses`. */
  want(version: number, addresses: readonly Ip[]): void {
    this.#version = version;
    const wanted = new Set(addresses);
    for (const [address, slot] of this.#slots) if (!wanted.has(address)) this.#free(address, slot);
    for (const address of wanted)
      if (!this.#slots.has(address) && !this.#allot(address)) wanted.delete(address);
    this.#step((now) => this.#member.want(now, wanted));
    this.#tellHeld();
  }

  leave(leaving: boolean): void {
    this.#step((now) => this.#member.leave(now, leaving));
  }

  setLinks(links: readonly Link[]): void {
    this.#step((now) => this.#member.setLinks(now, links));
  }

  /** Asks everybody there whether a member of this key listens; `onHeard` tells of answers. */
  probe(peers: readonly (Peer & { readonly id: string })[]): void {
    this.#probe = random64();
    for (const { id, ...peer } of peers)
      this.#say(id, [{ body: { kind: 'hello', nonce: this.#probe } }], peer);
  }

  /** Has another member resolve the address on its links. */
  look(id: number, to: string, address: Ip): void {
    const peer = this.#peerOf(to);
    if (!peer) return;
    const nonce = random64();
    remember(this.#looks, nonce, { id, to });
    this.#say(to, [{ body: { kind: 'look', nonce, address } }], peer);
  }

  answerLook(nonce: bigint, { near, macs }: Seen): void {
    const looker = this.#lookers.get(nonce);
    this.#lookers.delete(nonce);
    const body = { kind: 'seen', nonce, near, macs: macs.slice(0, MOST_MACS) } as const;
    if (looker) this.#say(looker.id, [{ body }], looker.peer);
  }

  /** How late timers of this thread were since the last call, in milliseconds. */
  takeDelay(): { p50: number; p99: number; most: number } {
    const [p50, p99, most] = [this.#delay.percentile(50), this.#delay.percentile(99), this.#delay.max];
    const isEmpty = this.#delay.count === 0;
    this.#delay.reset();
    return isEmpty ? { p50: 0, p99: 0, most: 0 } : { p50: p50 / 1e3, p99: p99 / 1e3, most: most / 1e3 };
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#udp.close();
  }

  receive(packet: Uint8Array, peer: Peer): void {
    this.counts.received++;
    const opened = open(packet, this.#keys, this.#options.id);
    if (opened.kind === 'refused') {
      this.counts.refused[opened.reason]++;
      return;
    }
    for (const message of opened.messages) this.#take(message, peer);
  }

  #take(message: Message, peer: Peer): void {
    const { from, body } = message;
    if (body.kind === 'welcome' && body.nonce === this.#probe) {
      this.#options.onHeard(from, message.epoch);
      return;
    }
    if (body.kind === 'look') {
      // A recorded question that is sent again costs a few frames on the link; while many wait, not even that.
      if (this.#lookers.size >= MOST_LOOKS && !this.#lookers.has(body.nonce)) return;
      this.#lookers.set(body.nonce, { id: from, peer });
      this.#options.onLook(body.nonce, body.address);
      return;
    }
    if (body.kind === 'seen') {
      const asked = this.#looks.get(body.nonce);
      if (asked?.to !== from) return;
      this.#looks.delete(body.nonce);
      this.#options.onSeen(asked.id, { near: body.near, macs: body.macs });
      return;
    }
    this.#step(
      (now) => {
        const out = this.#member.receive(now, message);
        // Whoever repeats a recorded message from elsewhere is not to draw later ones there.
        if (out.some(({ to, body: answer }) => to === from && answer.kind === 'ack'))
          this.#peers.set(from, peer);
        return out;
      },
      message.from === this.#options.id ? undefined : { id: from, peer },
    );
  }

  #step(run: (now: number) => Outgoing[], asked?: { readonly id: string; readonly peer: Peer }): void {
    const { epoch } = this.#member;
    const out = run(monotonicNow());
    if (this.#member.epoch !== epoch) this.#options.onAdopted(this.#member.epoch);
    const former = this.#member.takeFormer();
    if (former.size > 0) this.#options.onFormer(former);
    // Before anything leaves: nobody is to hear that an address is free while we would still answer for it.
    this.#publish(monotonicNow());
    for (const [to, bodies] of Map.groupBy(out, (each) => each.to)) {
      const peer = asked?.id === to ? asked.peer : this.#peerOf(to);
      if (peer) this.#say(to, bodies, peer);
    }
    clearTimeout(this.#timer);
    const at = this.#member.wakeAt();
    if (at === Number.POSITIVE_INFINITY) return;
    const now = monotonicNow();
    const due = Math.max(at, now + 1);
    this.#timer = setTimeout(() => {
      this.#delay.record(Math.max(1, Math.round((monotonicNow() - due) * 1e3)));
      this.#step((now) => this.#member.wake(now));
    }, due - now);
  }

  #peerOf(id: string): Peer | undefined {
    return this.#member.roster?.voters.find((voter) => voter.id === id) ?? this.#peers.get(id);
  }

  #say(to: string, out: readonly { readonly body: Body }[], peer: Peer): void {
    const header = { from: this.#options.id, to, epoch: this.#member.epoch };
    const messages = out.map(({ body }) => ({ ...header, body }));
    for (const packet of seal(messages, this.#keys)) {
      this.counts.sent++;
      this.#udp.send(packet, peer);
    }
  }

  /** Tells at once what was gained, and what voters say of nodes; what lasts longer, or was lost, now and then. */
  #publish(now: number): void {
    if (!this.#options.holds) return;
    let changed = false;
    for (const address of this.#waiting) {
      if (this.#member.until(address) <= now) continue;
      this.#waiting.delete(address);
      this.#held.set(address, ++this.#grants);
      this.#groupedAt = undefined;
      this.#write(address);
      changed = true;
    }
    this.#tellContended();
    if (this.#member.takeNews() || now - this.#reviewedAt >= REVIEW_EVERY) {
      this.#reviewedAt = now;
      this.#tellStates(now);
    }
    if (now - this.#publishedAt >= PUBLISH_EVERY) {
      this.#publishedAt = now;
      changed = this.#renew(now) || changed;
    }
    if (changed) this.#tellHeld();
  }

  /** Writes how long what is held lasts by now; whether something is held no more. */
  #renew(now: number): boolean {
    const { deadlines } = this.#options;
    if (this.#groupedAt !== this.#member.grants) this.#group();
    let lost = false;
    for (const { address, slots } of this.#groups) {
      // Who looked has seen it end, whatever voters said since: what there is now is another right.
      if (slots.some((slot) => deadlines.get(slot) <= now)) {
        lost = true;
        continue;
      }
      const until = this.#member.until(address);
      for (const slot of slots) deadlines.set(slot, until);
    }
    if (!lost) return false;
    this.#groupedAt = undefined;
    for (const address of [...this.#held.keys()]) {
      if (deadlines.get(this.#slots.get(address) ?? 0) > now) continue;
      this.#held.delete(address);
      this.#waiting.add(address);
    }
    return true;
  }

  #group(): void {
    this.#groups = groupsOf(this.#member, this.#held.keys()).map((addresses) => ({
      address: addresses[0] as Ip, // groups are not empty
      slots: addresses.map((address) => this.#slots.get(address) ?? 0),
    }));
    this.#groupedAt = this.#member.grants;
  }

  #write(address: Ip): void {
    this.#options.deadlines.set(this.#slots.get(address) ?? 0, this.#member.until(address));
  }

  #tellHeld(): void {
    const held = Array.from(this.#held, ([address, grant]) => ({
      address,
      slot: this.#slots.get(address) ?? 0,
      grant,
    }));
    this.#options.onHeld(this.#version, held);
  }

  #tellStates(now: number): void {
    const states = Array.from(this.#member.states(now), ([name, state]): NodeView => {
      return { name, state, links: this.#member.linksOf(now, name) };
    }).sort((a, b) => (a.name < b.name ? -1 : 1));
    const hasQuorum = this.#member.hasQuorum(now);
    const text = JSON.stringify([hasQuorum, states]);
    if (text !== this.#states) this.#options.onStates(states, hasQuorum);
    this.#states = text;
  }

  #tellContended(): void {
    const contended = [...this.#member.contended];
    const text = contended.join();
    if (text !== this.#contended) this.#options.onContended(contended);
    this.#contended = text;
  }

  #allot(address: Ip): boolean {
    const slot = this.#freeSlots.pop() ?? this.#usedSlots++;
    if (slot >= MOST_ADDRESSES) {
      this.#usedSlots = MOST_ADDRESSES;
      return false;
    }
    this.#slots.set(address, slot);
    this.#waiting.add(address);
    return true;
  }

  #free(address: Ip, slot: number): void {
    this.#options.deadlines.set(slot, Number.NEGATIVE_INFINITY);
    this.#slots.delete(address);
    this.#freeSlots.push(slot);
    this.#held.delete(address);
    this.#groupedAt = undefined;
    this.#waiting.delete(address);
  }
}

/** Forgets the oldest where there are too many. */
function remember<T>(looks: Map<bigint, T>, nonce: bigint, what: T): void {
  looks.set(nonce, what);
  for (const oldest of looks.keys()) {
    if (looks.size <= MOST_LOOKS) return;
    looks.delete(oldest);
  }
}

function random64(): bigint {
  return randomBytes(8).readBigUInt64BE();
}
