// The right to answer: leases among the agents where the controller has published who votes, and else the API
// server's word alone, so that an agent works without a controller too.
import { isDeepStrictEqual } from 'node:util';
import type { RightToAnswer } from '../arp/announcer.ts';
import type { Sight } from '../arp/wire-checks.ts';
import { systemClock } from '../clock/clock.ts';
import { only } from '../kube/kube-api.ts';
import type { NodeObject } from '../kube/objects.ts';
import { CONFIG_MAPS, SECRETS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import { parseKeys } from '../membership/keys.ts';
import type { Seen } from '../membership/member-host.ts';
import { type Membership, NodeReadiness } from '../membership/membership.ts';
import { MembershipThread } from '../membership/membership-thread.ts';
import { type Link, type Links, portableLinks } from '../membership/message.ts';
import { membershipMetrics } from '../membership/metrics.ts';
import { parseRoster, type Roster } from '../membership/roster.ts';
import type { Ip } from '../net/address.ts';
import { MEMBERSHIP_NAME } from './options.ts';
import type { Process } from './processes.ts';

export type WithoutQuorum = 'wait' | 'announce';

export interface LeasesOptions {
  readonly nodeName: string;
  readonly membershipNamespace: string;
  /** UDP. */
  readonly membershipPort: number;
  /** What to do where a majority of the voters is not heard: fall silent, or announce by the API server's word. */
  readonly withoutQuorum: WithoutQuorum;
  /** Who lives has changed, or something is held no more. */
  readonly onChange: () => void;
  /** More is held than before, and nothing is not. */
  readonly onGained: () => void;
  /** Which nodes had addresses right before this one, and gave them up: told before those are held. */
  readonly onFormer: (former: ReadonlyMap<Ip, string>) => void;
  /** Another agent asks what this node sees of an address on its links. */
  readonly onLook: (address: Ip) => Promise<Seen>;
}

/** Milliseconds after a quorum is found until the word on who lives is taken for whole: others find it at the same time. */
const SETTLING = 500;
/** Milliseconds without a quorum after which `announce` goes on without one. */
const PATIENCE = 3_000;
/** Milliseconds by which a timer may come too early: timers count in whole ones, from when the event loop last looked. */
const EARLY = 20;
const NONE: ReadonlySet<string> = new Set();
/** Milliseconds that a clean stop waits for others to ask for what this node has. */
const HANDOVER = 700;

export class Leases implements Membership {
  readonly synced: Promise<unknown>;
  readonly right: RightToAnswer;
  readonly #agent: Process;
  readonly #options: LeasesOptions;
  readonly #readiness: NodeReadiness;
  #thread: MembershipThread | undefined;
  #roster: Roster | undefined;
  #hadQuorum = false;
  /** When the quorum came or went. */
  #turnedAt = systemClock.now();
  #leaving = false;
  #able = true;
  #links: Links;
  #looks = 0;

  constructor(agent: Process, nodes: Store<NodeObject>, options: LeasesOptions) {
    this.#agent = agent;
    this.#options = options;
    this.#readiness = new NodeReadiness(nodes);
    this.right = {
      holds: (address) => this.holds(address),
      until: (address) =>
        this.#byLease()
          ? (this.#thread?.until(address) ?? Number.NEGATIVE_INFINITY)
          : Number.POSITIVE_INFINITY,
      lease: (address) => (this.#byLease() ? this.#thread?.lease(address) : undefined),
    };
    const name = { namespace: options.membershipNamespace, name: MEMBERSHIP_NAME };
    const rosters = agent.follow(only(CONFIG_MAPS, name));
    const keys = agent.follow(only(SECRETS, name));
    rosters.store.subscribe((_, object) => object && this.#takeRoster(object.data?.roster ?? ''));
    keys.store.subscribe((_, object) => object && this.#takeKeys(object.data ?? {}));
    this.synced = Promise.all([rosters.synced, keys.synced]);
    membershipMetrics(agent.registry, () => this.#thread);
  }

  /** Whether what is known of who lives is whole enough to elect by. */
  get settled(): boolean {
    if (!this.#byLease()) return true;
    return this.#hadQuorum && systemClock.now() - this.#turnedAt >= SETTLING;
  }

  isAlive(node: string): boolean {
    if (!this.#readiness.isAlive(node)) return false;
    return !this.#byLease() || this.#thread?.stateOf(node) === 'alive';
  }

  reasonAgainst(node: string): string | undefined {
    if (!this.#readiness.isAlive(node)) return undefined;
    const state = this.#thread?.stateOf(node);
    if (state === 'leaving') return 'its agent has stopped, or has no interface to announce on';
    return state === 'dead' ? 'its agent is not heard' : 'its agent does not take part';
  }

  linksOf(node: string): Links {
    if (!this.#byLease()) return undefined;
    // Its own at once, as others will know them in a moment.
    return node === this.#options.nodeName
      ? this.#links && portableLinks(this.#links)
      : this.#thread?.nodes.get(node)?.links;
  }

  /** The interfaces that this node can announce on: without one, others are to have what it would. */
  setLinks(links: readonly Link[]): void {
    const isSame = isDeepStrictEqual(links, this.#links);
    this.#links = links;
    if (!isSame) this.#thread?.setLinks(links);
    this.#setAble(links.length > 0);
    if (!isSame) this.#options.onChange();
  }

  #setAble(able: boolean): void {
    if (able === this.#able || this.#leaving) return;
    this.#able = able;
    if (!able) this.#agent.log.warn('no interface is fit to be announced on; other nodes are to take over');
    this.#thread?.leave(!able);
  }

  /** Nodes that a majority of the voters has not heard for a while, and that did not say that they would stop. */
  get dead(): ReadonlySet<string> {
    if (!this.#byLease() || !this.#hadQuorum || !this.#thread) return NONE;
    return new Set([...this.#thread.nodes.keys()].filter((node) => this.#thread?.stateOf(node) === 'dead'));
  }

  /** Whether this node has the address by a lease now. */
  has(address: Ip): boolean {
    return this.#byLease() && (this.#thread?.holds(address) ?? false);
  }

  /** Whether this node may answer for the address now. */
  holds(address: Ip): boolean {
    return !this.#byLease() || (this.#thread?.holds(address) ?? false);
  }

  /** What another agent sees of the address on its links: one of those that vote, each time another. */
  async look(address: Ip): Promise<Sight> {
    const thread = this.#thread;
    const others = (this.#roster?.voters ?? [])
      .map(({ id }) => id)
      .filter((id) => id !== this.#options.nodeName && thread?.stateOf(id) === 'alive');
    const witness = others[this.#looks++ % Math.max(1, others.length)];
    const seen = witness === undefined ? undefined : await thread?.look(witness, address);
    if (!seen) return { kind: 'no witness' };
    return seen.near ? { kind: 'seen', macs: seen.macs } : { kind: 'elsewhere' };
  }

  /** Claims exactly these. What is not among them must have fallen silent. */
  want(addresses: ReadonlySet<Ip>): void {
    this.#thread?.want(addresses);
  }

  /**
   * Before a clean stop: gives `held` over to whoever asks, one by one; `release` silences an address at once.
   * Resolves when nothing is left, or nobody asked in time.
   */
  async handOver(held: ReadonlySet<Ip>, release: (address: Ip) => void): Promise<void> {
    const thread = this.#thread;
    const { nodeName } = this.#options;
    if (!thread || !this.#byLease()) return;
    const left = new Set(held);
    this.#leaving = true;
    thread.leave(); // even with nothing to give: a node whose agent stops is not dead
    const others = [...thread.nodes.values()].filter(({ name }) => name !== nodeName);
    if (others.some(({ state }) => state === 'alive') && left.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onContended = () => {
        for (const address of thread.contended) if (left.delete(address)) release(address);
        thread.want(left);
        if (left.size === 0) resolve();
      };
      const timer = systemClock.setTimer(HANDOVER, resolve);
      await promise;
      timer.cancel();
    }
    for (const address of left) release(address);
    thread.want(new Set());
    await thread.figures(); // by then it has told the voters
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }

  #onContended = () => {};

  /** Without a roster there is nobody to ask; without a quorum, the operator chooses. */
  #byLease(): boolean {
    if (!this.#roster) return false;
    if (this.#options.withoutQuorum === 'wait' || this.#hadQuorum) return true;
    return systemClock.now() - this.#turnedAt < PATIENCE;
  }

  #takeRoster(text: string): void {
    const { log } = this.#agent;
    const roster = parseRoster(text);
    if (roster.kind === 'malformed') {
      log.error({ configmap: MEMBERSHIP_NAME, problem: roster.problem }, 'no roster; keeping the last');
      return;
    }
    if (!this.#roster) this.#turn(false);
    this.#roster = roster.value;
    const { epoch, voters } = roster.value;
    log.info({ epoch, voters: voters.map(({ id }) => id) }, 'addresses are answered for by lease');
    this.#thread?.setRoster(roster.value);
    this.#options.onChange();
  }

  #takeKeys(data: Readonly<Record<string, string>>): void {
    const { log } = this.#agent;
    const keys = parseKeys(data);
    if (keys.kind === 'malformed') {
      log.error({ secret: MEMBERSHIP_NAME, problem: keys.problem }, 'no key; keeping the last');
      return;
    }
    if (this.#thread) {
      this.#thread.setKeys(keys.value);
      return;
    }
    const { nodeName, membershipPort, onGained, onFormer, onLook } = this.#options;
    let said = false;
    this.#thread = new MembershipThread({
      id: nodeName,
      port: membershipPort,
      holds: true,
      keys: keys.value,
      onChange: () => this.#changed(),
      onGained,
      onHeard: () => {},
      onFormer,
      onLook,
      onListening: (port) => log.info({ port }, 'talking to the other agents'),
      onProblem: (error) => {
        if (!said)
          log.error({ flag: '--membership-port', error }, 'cannot talk to the other agents; will try again');
        said = true;
      },
    });
    if (this.#roster) this.#thread.setRoster(this.#roster);
    if (this.#links) this.#thread.setLinks(this.#links);
    if (!this.#able) this.#thread.leave();
  }

  #changed(): void {
    if (this.#leaving) {
      this.#onContended();
      return;
    }
    const hasQuorum = this.#thread?.hasQuorum ?? false;
    if (hasQuorum !== this.#hadQuorum) {
      const { log } = this.#agent;
      if (hasQuorum) log.info('a majority of the voters is heard');
      else log.warn({ withoutQuorum: this.#options.withoutQuorum }, 'a majority of the voters is not heard');
      this.#turn(hasQuorum);
    }
    this.#options.onChange();
  }

  #turn(hasQuorum: boolean): void {
    this.#hadQuorum = hasQuorum;
    this.#turnedAt = systemClock.now();
    systemClock.setTimer((hasQuorum ? SETTLING : PATIENCE) + EARLY, this.#options.onChange);
  }
}
