// Announces exactly the addresses that it is told to, on every interface that is fit, and nothing else.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import { familyOf, type Ip } from '../net/address.ts';
import type { NetworkInterface } from '../netlink/rtnetlink.ts';
import type { Logger } from '../observe/logger.ts';
import type { OpenPacketSocket } from '../sockets/packet-socket.ts';
import { AnnouncementSchedule } from './announcement-schedule.ts';
import type { InterfaceChoice } from './election.ts';
import { type EligibleInterface, eligibleInterfaces } from './eligible-interfaces.ts';
import type { DropReason } from './frame-drop.ts';
import type { ArpMetrics } from './metrics.ts';
import { Responder } from './responder.ts';

/** Whether this node may answer for an address at this moment: where leases fence, they say so here. */
export interface RightToAnswer {
  holds(address: Ip): boolean;
}

/** Before an interface that broke, or could not be opened, is tried again, in milliseconds. */
const RETRY = 1_000;

export interface AnnouncerOptions {
  readonly open: OpenPacketSocket;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: ArpMetrics;
  readonly right: RightToAnswer;
  /** Names of interfaces that are never used. */
  readonly excluded: RegExp;
}

export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #responders = new Map<string, Responder>();
  readonly #schedule: AnnouncementSchedule;
  #addresses: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  #eligible: ReadonlyMap<string, EligibleInterface> = new Map();
  #retry: Timer | undefined;
  /** What was last said of each interface that has a problem: a retry that fails alike says nothing. */
  readonly #problems = new Map<string, string>();

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    const { clock, random } = options;
    this.#schedule = new AnnouncementSchedule({
      clock,
      random,
      announce: (address) => this.#announce(address),
    });
  }

  /** Takes the interfaces as they are now: opens, closes, and announces anew where one is new or has another MAC. */
  setInterfaces(interfaces: readonly NetworkInterface[]): void {
    const eligible = eligibleInterfaces(interfaces, this.#options.excluded);
    this.#eligible = new Map(eligible.map((each) => [each.name, each]));
    for (const [name, responder] of this.#responders) {
      const now = this.#eligible.get(name);
      if (now && now.index === responder.interface.index && now.mac === responder.interface.mac) continue;
      responder.close();
      this.#responders.delete(name);
      this.#options.log.info({ interface: name }, 'an interface is no longer announced on');
    }
    this.#open();
  }

  /** From now on exactly these are answered: new ones are announced, the others fall silent at once. */
  reconcile(addresses: ReadonlyMap<Ip, InterfaceChoice>): void {
    const before = this.#addresses;
    this.#addresses = addresses;
    const gained: Ip[] = [];
    for (const [address, choice] of before) {
      const now = addresses.get(address);
      for (const responder of this.#responders.values()) {
        const { name } = responder.interface;
        if (allows(choice, name) && !(now && allows(now, name))) responder.leave(address);
      }
      if (!now) this.#schedule.stop(address);
    }
    for (const [address, choice] of addresses) {
      const known = before.get(address);
      let isNew = known === undefined;
      for (const responder of this.#responders.values()) {
        const { name } = responder.interface;
        if (!allows(choice, name) || (known && allows(known, name))) continue;
        this.#join(responder, address);
        isNew = true;
      }
      if (isNew) gained.push(address);
    }
    this.#count();
    if (gained.length > 0) this.#schedule.start(gained);
  }

  /** Falls silent. */
  close(): void {
    this.#schedule.close();
    this.#retry?.cancel();
    this.#addresses = new Map();
    for (const responder of this.#responders.values()) responder.close();
    this.#responders.clear();
  }

  /** Opens every fit interface that is not open. */
  #open(): void {
    this.#retry?.cancel();
    for (const each of this.#eligible.values()) if (!this.#responders.has(each.name)) this.#add(each);
  }

  #add(each: EligibleInterface): void {
    const { open, metrics, log } = this.#options;
    try {
      const responder = new Responder({
        open,
        interface: each,
        metrics,
        refuses: (address) => this.#refuses(address, each.name),
        onError: (error) => this.#lost(each.name, responder, error),
      });
      this.#responders.set(each.name, responder);
      this.#problems.delete(each.name);
      log.info({ interface: each.name, mac: each.mac }, 'announcing on an interface');
      const choices = [...this.#addresses].filter(([, choice]) => allows(choice, each.name));
      for (const [address] of choices) this.#join(responder, address);
      this.#schedule.start(choices.map(([address]) => address));
    } catch (error) {
      this.#complain(each.name, 'cannot announce on an interface', error);
      this.#openLater();
    }
  }

  /** Where a group cannot be joined, the other addresses are answered all the same. */
  #join(responder: Responder, address: Ip): void {
    try {
      responder.join(address);
    } catch (error) {
      this.#complain(responder.interface.name, 'cannot hear requests for IPv6 addresses', error);
    }
  }

  /** An interface that went for good is no longer fit by the time that it is tried again. */
  #lost(name: string, responder: Responder, error: Error): void {
    if (this.#responders.get(name) !== responder) return;
    responder.close();
    this.#responders.delete(name);
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
    const choice = this.#addresses.get(address);
    for (const responder of this.#responders.values()) {
      if (choice && allows(choice, responder.interface.name)) responder.announce(address);
    }
  }

  #refuses(address: Ip, name: string): DropReason | undefined {
    const choice = this.#addresses.get(address);
    if (!choice) return 'not our address';
    if (!allows(choice, name)) return 'wrong interface';
    return this.#options.right.holds(address) ? undefined : 'no right to answer';
  }

  #count(): void {
    const count = { IPv4: 0, IPv6: 0 };
    for (const address of this.#addresses.keys()) count[familyOf(address)]++;
    for (const family of ['IPv4', 'IPv6'] as const)
      this.#options.metrics.owned.set({ family }, count[family]);
  }
}

function allows(choice: InterfaceChoice, name: string): boolean {
  return choice === 'all' || choice.has(name);
}
