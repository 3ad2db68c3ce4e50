// Announces exactly the addresses that it is told to, on every interface that is fit, and nothing else.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import type { Link } from '../membership/message.ts';
import { familyOf, type Ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import { formatPrefix } from '../net/range.ts';
import type { NetworkInterface } from '../netlink/rtnetlink.ts';
import type { Logger } from '../observe/logger.ts';
import type { OpenAnsweringSocket, Refusal, SharedDeadline } from '../sockets/answering-socket.ts';
import { AddressChecks, type Conflict, type ConflictPolicy } from './address-checks.ts';
import { AnnouncementSchedule } from './announcement-schedule.ts';
import type { InterfaceChoice } from './election.ts';
import {
  closestInterfaces,
  type EligibleInterface,
  eligibleInterfaces,
  ownAddressNear,
} from './eligible-interfaces.ts';
import { LinkLookups } from './link-lookup.ts';
import type { ArpMetrics } from './metrics.ts';
import { type Claim, Responder } from './responder.ts';

/** Whether this node may answer for an address: where leases fence, they say so here, and renew() tells of changes. */
export interface RightToAnswer {
  /** At this moment. */
  holds(address: Ip): boolean;
  /** Until when, in milliseconds of the Clock; without an end: Infinity. What answers looks at it before each frame. */
  until(address: Ip): number;
  /** Where what answers finds by itself until when; undefined: it has to be told each time. */
  lease?(address: Ip): Lease | undefined;
}

export interface Lease {
  readonly deadline: SharedDeadline;
  /** Another number each time that the right begins: after it had ended it is a new one. */
  readonly grant: number;
}

interface Right {
  readonly until: number;
  readonly lease: Lease | undefined;
}

/** An open interface, and what ends the counting of its frames. */
interface Opened {
  readonly responder: Responder;
  readonly uncount: () => void;
}

/** Before an interface that broke, or could not be opened, is tried again, in milliseconds. */
const RETRY = 1_000;

export interface AnnouncerOptions {
  readonly open: OpenAnsweringSocket;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: ArpMetrics;
  readonly right: RightToAnswer;
  /** Names of interfaces that are never used, until `setExcluded` says otherwise. */
  readonly excluded: RegExp;
  /** What to do about an address that another host has, too. */
  readonly onConflict: ConflictPolicy;
  /** Another host has this address, too; or has no more. */
  readonly tellConflict: (address: Ip, conflict: Conflict | undefined) => void;
  /** What `interfacesOf` says has changed. */
  readonly onInterfaces: () => void;
  /** It is answered for from now on, or no more. */
  readonly onAnswered: (address: Ip, answers: boolean) => void;
}

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #opened = new Map<string, Opened>();
  readonly #schedule: AnnouncementSchedule;
  readonly #checks: AddressChecks;
  /** As they were given, and as they are: on the closest interfaces, where nothing else is chosen. */
  #given: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  #addresses: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  /** The closest interfaces to each address, until the interfaces change. */
  readonly #closest = new Map<Ip, InterfaceChoice>();
  /** The right to each as it was told to the sockets. */
  readonly #rights = new Map<Ip, Right>();
  /** Since when each waits to be answered for. */
  readonly #waiting = new Map<Ip, { readonly since: number; readonly use: 'first' | 'again' }>();
  #eligible: ReadonlyMap<string, EligibleInterface> = new Map();
  #interfaces: readonly NetworkInterface[] = [];
  #excluded: RegExp;
  readonly #lookups: LinkLookups;
  #retry: Timer | undefined;
  /** What was last said of each interface that has a problem: a retry that fails alike says nothing. */
  readonly #problems = new Map<string, string>();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#excluded = options.excluded;
    const { clock, random } = options;
    this.#lookups = new LinkLookups(clock);
    this.#schedule = new AnnouncementSchedule({
      clock,
      random,
      announce: (address) => this.#announce(address),
    });
    this.#checks = new AddressChecks({
      clock,
      random,
      policy: options.onConflict,
      ask: (address) => this.#each(address, (responder) => responder.ask(address)),
      defend: (address) => this.#announce(address),
      onChange: (address) => this.#onChecked(address),
      onConflict: (address, conflict) => this.#onConflict(address, conflict),
    });
  }

  /** Takes the interfaces as they are now: opens, closes, and announces anew where one is new or has another MAC. */
  setInterfaces(interfaces: readonly NetworkInterface[]): void {
    const eligible = eligibleInterfaces(interfaces, this.#excluded);
    this.#interfaces = interfaces;
    this.#eligible = new Map(eligible.map((each) => [each.name, each]));
    this.#closest.clear();
    for (const [name, { responder }] of this.#opened) {
      const now = this.#eligible.get(name);
      if (now && now.index === responder.interface.index && now.mac === responder.interface.mac) continue;
      this.#close(name);
      this.#options.log.info({ interface: name }, 'an interface is no longer announced on');
    }
    this.reconcile(this.#given);
    this.#open();
  }

  /** From now on no interface of such a name is announced on, and every other one may be. */
  setExcluded(excluded: RegExp): void {
    this.#excluded = excluded;
    this.setInterfaces(this.#interfaces);
  }

  /**
   * From now on exactly these are answered: the others fall silent at once; new ones are asked for, and announced when
   * nobody else has them. `isFirstUse`: whether no node has had the address before, and it is asked for longer.
   */
  reconcile(
    given: ReadonlyMap<Ip, InterfaceChoice>,
    isFirstUse: (address: Ip) => boolean = () => false,
  ): void {
    const before = this.#addresses;
    const addresses = new Map(
      Array.from(given, ([address, choice]) => [address, choice === 'all' ? this.#near(address) : choice]),
    );
    this.#given = given;
    this.#addresses = addresses;
    for (const [address, choice] of before) {
      if (addresses.has(address)) continue;
      this.#rights.delete(address);
      this.#waiting.delete(address);
      this.#options.metrics.changes.inc({ change: 'lost' });
      this.#closest.delete(address);
      this.#schedule.stop(address);
      this.#checks.end(address);
      this.#options.onAnswered(address, false);
      for (const { responder } of this.#opened.values()) {
        responder.forget(address);
        if (allows(choice, responder.interface.name)) responder.leave(address);
      }
    }
    const widened: Ip[] = [];
    for (const [address, choice] of addresses) {
      const known = before.get(address);
      let isWider = false;
      if (known === undefined) this.#rights.set(address, this.#right(address));
      for (const { responder } of this.#opened.values()) {
        const { name } = responder.interface;
        const did = known !== undefined && allows(known, name);
        const does = allows(choice, name);
        if (known !== undefined && did === does) continue;
        this.#apply(responder, address, choice);
        if (did) responder.leave(address);
        if (does) isWider = true;
      }
      if (known === undefined) {
        this.#options.metrics.changes.inc({ change: 'gained' });
        this.#begin(address, isFirstUse(address));
      }
      if (known !== undefined && isWider) widened.push(address);
    }
    this.#count();
    this.#spread(widened);
  }

  #near(address: Ip): InterfaceChoice {
    const known = this.#closest.get(address);
    if (known !== undefined) return known;
    const near = closestInterfaces(address, [...this.#eligible.values()]);
    this.#closest.set(address, near);
    return near;
  }

  /** Asks anew what the rights to these addresses, or all, are; those that come back are announced again. */
  renew(addresses: Iterable<Ip> = this.#addresses.keys()): void {
    const now = this.#options.clock.now();
    for (const address of addresses) {
      const before = this.#rights.get(address);
      const right = this.#right(address);
      if (before === undefined || isSame(before, right)) continue;
      this.#rights.set(address, right);
      if (right.until <= now) {
        this.#checks.end(address);
        this.#options.onAnswered(address, false);
      } else if (before.lease || before.until <= now) this.#begin(address, false);
      this.#tell(address);
    }
  }

  /** The open interfaces that the address is on. */
  interfacesOf(address: Ip): string[] {
    const choice = this.#addresses.get(address);
    if (choice === undefined) return [];
    return [...this.#opened.keys()].filter((name) => allows(choice, name)).sort();
  }

  /** The interfaces that can be announced on. */
  links(): Link[] {
    return Array.from(this.#eligible.values(), ({ name, subnets }) => ({
      name,
      // Every interface has the link-local one, and nobody asks a load balancer there.
      subnets: subnets.map(formatPrefix).filter((subnet) => !subnet.startsWith('fe80:')),
    }));
  }

  /** Of the interfaces that are announced on. */
  macs(): Set<Mac> {
    return new Set([...this.#eligible.values()].map(({ mac }) => mac));
  }

  /** Tells the link again that the address is ours, if it is. */
  announceAgain(address: Ip): void {
    if (this.#checks.mayAnswer(address) === 'yes') this.#schedule.start([address]);
  }

  /** The MACs of other hosts that answer for the address; undefined where no link of ours is near, or it is our own. */
  async lookUp(address: Ip): Promise<Mac[] | undefined> {
    if (this.#addresses.has(address)) return undefined;
    const near = [...this.#opened.values()].flatMap(({ responder }) => {
      const { name, mac } = responder.interface;
      const own = this.#interfaces.find((each) => each.name === name)?.addresses ?? [];
      const ownAddress = ownAddressNear(address, own);
      if (ownAddress === undefined) return [];
      responder.answer(address, 0, 'no right to answer'); // so that we hear who answers
      return [{ responder, ownAddress, mac, send: (frame: Uint8Array) => responder.send(frame) }];
    });
    if (near.length === 0) return undefined;
    const macs = await this.#lookups.lookUp(address, near);
    if (!this.#addresses.has(address) && !this.#lookups.isUnderWay(address))
      for (const { responder } of near) responder.forget(address);
    return macs;
  }

  /** Falls silent. */
  close(): void {
    this.#schedule.close();
    this.#checks.close();
    this.#retry?.cancel();
    this.#given = this.#addresses = new Map();
    for (const name of this.#opened.keys()) this.#close(name);
  }

  /** Has the address checked, if it is ours to answer for. */
  #begin(address: Ip, isFirstUse: boolean): void {
    const since = this.#options.clock.now();
    if (this.#right(address).until <= since) return;
    this.#waiting.set(address, { since, use: isFirstUse ? 'first' : 'again' });
    this.#checks.begin(address, isFirstUse ? 'first use' : 'takeover');
  }

  #onChecked(address: Ip): void {
    this.#tell(address);
    const { onAnswered } = this.#options;
    if (this.#checks.mayAnswer(address) !== 'yes') {
      this.#schedule.stop(address);
      onAnswered(address, false);
      return;
    }
    onAnswered(address, true);
    const waiting = this.#waiting.get(address);
    this.#waiting.delete(address);
    const { clock, metrics } = this.#options;
    if (waiting) metrics.claimSeconds.observe({ use: waiting.use }, (clock.now() - waiting.since) / 1000);
    this.#schedule.start([address]);
  }

  /** Announces on an interface that is new what is answered for already, and asks there, too, who else has it. */
  #spread(addresses: readonly Ip[]): void {
    const answered = addresses.filter((address) => this.#checks.mayAnswer(address) === 'yes');
    this.#schedule.start(answered);
    for (const address of answered) this.#checks.begin(address, 'confirm');
  }

  /** Tells every interface that the address is on until when it may answer for it. */
  #tell(address: Ip): void {
    const { until, refusal } = this.#answer(address);
    this.#each(address, (responder) => responder.answer(address, until, refusal));
  }

  #answer(address: Ip): { until: number | SharedDeadline; refusal: Refusal } {
    const { until = 0, lease } = this.#rights.get(address) ?? {};
    const verdict = this.#checks.mayAnswer(address);
    if (verdict === 'yes') return { until: lease?.deadline ?? until, refusal: 'no right to answer' };
    const lasts = lease !== undefined || until > this.#options.clock.now();
    return { until: 0, refusal: lasts ? verdict : 'no right to answer' };
  }

  /** Every open interface that the address is on. */
  #each(address: Ip, act: (responder: Responder) => void): void {
    const choice = this.#addresses.get(address);
    if (choice === undefined) return;
    for (const { responder } of this.#opened.values())
      if (allows(choice, responder.interface.name)) act(responder);
  }

  #right(address: Ip): Right {
    const { right } = this.#options;
    if (!right.holds(address)) return { until: 0, lease: undefined };
    return { until: right.until(address), lease: right.lease?.(address) };
  }

  /** Opens every fit interface that is not open. */
  #open(): void {
    this.#retry?.cancel();
    for (const each of this.#eligible.values()) if (!this.#opened.has(each.name)) this.#add(each);
  }

  #add(each: EligibleInterface): void {
    const { open, metrics, log } = this.#options;
    try {
      const responder = new Responder({
        open,
        interface: each,
        onClaim: (claim) => this.#onClaim(claim, each.name),
        onError: (error) => this.#lost(each.name, responder, error),
      });
      this.#opened.set(each.name, { responder, uncount: metrics.follow(() => responder.counts()) });
      this.#problems.delete(each.name);
      log.info({ interface: each.name, mac: each.mac }, 'announcing on an interface');
      for (const [address, choice] of this.#addresses) this.#apply(responder, address, choice);
      const chosen = [...this.#addresses].filter(([, choice]) => allows(choice, each.name));
      this.#spread(chosen.map(([address]) => address));
      this.#options.onInterfaces();
    } catch (error) {
      this.#complain(each.name, 'cannot announce on an interface', error);
      this.#openLater();
    }
  }

  #close(name: string): void {
    const opened = this.#opened.get(name);
    this.#opened.delete(name);
    opened?.responder.close();
    opened?.uncount();
    this.#options.onInterfaces();
  }

  /** Where a group cannot be joined, the other addresses are answered all the same. */
  #apply(responder: Responder, address: Ip, choice: InterfaceChoice): void {
    if (!allows(choice, responder.interface.name)) {
      responder.answer(address, 0, 'wrong interface');
      return;
    }
    const { until, refusal } = this.#answer(address);
    responder.answer(address, until, refusal);
    try {
      responder.join(address);
    } catch (error) {
      this.#complain(responder.interface.name, 'cannot hear requests for IPv6 addresses', error);
    }
  }

  /** An interface that went for good is no longer fit by the time that it is tried again. */
  #lost(name: string, responder: Responder, error: Error): void {
    if (this.#opened.get(name)?.responder !== responder) return;
    this.#close(name);
    this.#options.log.warn({ interface: name, error: error.message }, 'an interface broke');
    this.#openLater();
  }

  #openLater(): void {
    this.#retry?.cancel();
    this.#retry = this.#options.clock.setTimer(RETRY, () => this.#open());
  }

  #complain(name: string, what: string, problem: unknown): void {
    const { message } = problem as Error; // the sockets throw Errors that name the missing capability
    if (this.#problems.get(name) === message) return;
    this.#problems.set(name, message);
    this.#options.log.error({ interface: name, error: message }, what);
  }

  #announce(address: Ip): void {
    const protocol = protocolOf(address);
    this.#each(address, (responder) =>
      this.#options.metrics.gratuitous.inc({ protocol }, responder.announce(address)),
    );
  }

  #onClaim({ address, mac }: Claim, interfaceName: string): void {
    const choice = this.#addresses.get(address);
    // Two interfaces of one node may be on one link: each hears the other answer.
    const isOurs = [...this.#eligible.values()].some((each) => each.mac === mac);
    if (!isOurs) this.#lookups.heard(address, mac);
    if (!choice || !allows(choice, interfaceName) || isOurs) return;
    this.#options.metrics.claims.inc({ protocol: protocolOf(address) });
    this.#checks.claim(address, { mac, interfaceName });
  }

  #onConflict(address: Ip, conflict: Conflict | undefined): void {
    const { log, metrics, tellConflict } = this.#options;
    const family = familyOf(address);
    if (conflict) {
      metrics.conflicts.inc({ family });
      log.warn(
        { address, mac: conflict.mac, interface: conflict.interfaceName },
        'another host has this address',
      );
    } else log.info({ address }, 'no other host has this address any more');
    metrics.inConflict.inc({ family }, conflict ? 1 : -1);
    tellConflict(address, conflict);
  }

  #count(): void {
    const count = { IPv4: 0, IPv6: 0 };
    for (const address of this.#addresses.keys()) count[familyOf(address)]++;
    for (const family of ['IPv4', 'IPv6'] as const)
      this.#options.metrics.owned.set({ family }, count[family]);
  }
}

/** One with a lease is renewed without us. */
function isSame(a: Right, b: Right): boolean {
  return a.lease || b.lease ? a.lease?.grant === b.lease?.grant : a.until === b.until;
}

function allows(choice: InterfaceChoice, name: string): boolean {
  return choice === 'all' || choice.has(name);
}

function protocolOf(address: Ip): 'arp' | 'ndp' {
  return familyOf(address) === 'IPv4' ? 'arp' : 'ndp';
}
