// Whether another host has an address of ours: asked before it is answered for, and heard ever after.
//
// RFC 5227 has a host wait 4 to 7 s before it uses an address. A Service that somebody waits for gets the answer of
// 0.15 s instead, since hosts on a link answer within milliseconds, and the rest of that time is spent
// asking while the address is answered for already. An address that another node had is in use by definition: one
// quick question, for a host that took it meanwhile.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import type { Ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';

/** Milliseconds to wait for an answer after each question (RFC 5227 §2.1.1 PROBE_NUM: three), before answering. */
const FIRST_USE = [50, 50, 50];
const TAKEOVER = [20];
/** And while answering already: with the first three, as long as the whole cycle of RFC 5227 takes at most. */
const AFTERWARDS = [1_500, 2_500, 2_750];
/** After a claim. Like all waits, it is longer than the 15 ms in which an address is told of once (AnsweringSocket). */
const SUSPICION = 75;
/**
 * A claim is a conflict when it is upheld for so long. A node that has just lost the address, and has not heard of it
 * yet, or a host that gives way, falls silent sooner.
 */
const UPHELD = 300;
/** Between two looks whether a conflict lasts, give or take a quarter, and how long each waits for an answer. */
const LOOK_AGAIN = 2_000;
const LOOK = 200;
/** RFC 5227 §1.1 DEFEND_INTERVAL. */
const DEFENCE = 10_000;
/** Questions a tick, so that thousands at once do not swamp the link. */
const TICK = 10;
const QUESTIONS_A_TICK = 300;

export interface Conflict {
  readonly mac: Mac;
  /** On which of our interfaces it was heard. */
  readonly interfaceName: string;
}

export type ConflictPolicy = 'withhold' | 'keep';

export interface AddressChecksOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: ConflictPolicy;
  /** Asks the link who has the address. */
  readonly ask: (address: Ip) => void;
  /** Tells the link that it is ours. */
  readonly defend: (address: Ip) => void;
  /** What `mayAnswer` says has changed. */
  readonly onChange: (address: Ip) => void;
  readonly onConflict: (address: Ip, conflict: Conflict | undefined) => void;
}

interface Check {
  /** Milliseconds to wait after each question that is still to be asked, before and while answering. */
  readonly before: number[];
  readonly during: number[];
  claimed: boolean;
  /** When the claims began that no silence has ended since. */
  claimedSince: number | undefined;
  rival: Conflict | undefined;
  conflict: boolean;
  defended: number;
  timer: Timer | undefined;
}

export class AddressChecks {
  readonly #options: AddressChecksOptions;
  readonly #checks = new Map<Ip, Check>();
  /** Questions that wait for their turn, with what they wait for afterwards. */
  readonly #questions = new Map<Ip, number>();
  #budget = QUESTIONS_A_TICK;
  #tick: Timer | undefined;

  constructor(options: AddressChecksOptions) {
    this.#options = options;
  }

  /** Starts over. `confirm`: it is answered for already, and that goes on. */
  begin(address: Ip, kind: 'first use' | 'takeover' | 'confirm'): void {
    const known = this.#checks.get(address);
    if (kind === 'confirm' && known && (known.before.length > 0 || known.conflict)) return;
    this.end(address);
    const check: Check = {
      before: kind === 'first use' ? [...FIRST_USE] : kind === 'takeover' ? [...TAKEOVER] : [],
      during: kind === 'first use' ? [...AFTERWARDS] : kind === 'confirm' ? [SUSPICION] : [],
      claimed: false,
      claimedSince: undefined,
      rival: undefined,
      conflict: false,
      defended: Number.NEGATIVE_INFINITY,
      timer: undefined,
    };
    this.#checks.set(address, check);
    this.#next(address, check);
  }

  /** Forgets the address; a conflict over it is over for us. */
  end(address: Ip): void {
    const check = this.#checks.get(address);
    check?.timer?.cancel();
    this.#checks.delete(address);
    this.#questions.delete(address);
    if (check?.conflict) this.#options.onConflict(address, undefined);
  }

  /** Another host has spoken for the address, or checks whether it may have it. */
  claim(address: Ip, rival: Conflict): void {
    const check = this.#checks.get(address);
    if (!check) return;
    const { clock, defend } = this.#options;
    check.rival = rival;
    check.claimed = true;
    if (check.conflict && this.#options.policy === 'withhold') return;
    const now = clock.now();
    if (check.before.length === 0 && now >= check.defended + DEFENCE) {
      check.defended = now;
      defend(address);
    }
    if (check.conflict || check.claimedSince !== undefined) return;
    check.claimedSince = now;
    // A quick question is under way; in a slow one, or none, the claim is looked into at once.
    if (check.before.length === 0) this.#ask(address, check, SUSPICION);
  }

  mayAnswer(address: Ip): 'yes' | 'being checked' | 'address conflict' {
    const check = this.#checks.get(address);
    if (check?.conflict && this.#options.policy === 'withhold') return 'address conflict';
    return check && check.before.length === 0 ? 'yes' : 'being checked';
  }

  close(): void {
    this.#tick?.cancel();
    for (const { timer } of this.#checks.values()) timer?.cancel();
    this.#checks.clear();
    this.#questions.clear();
  }

  #next(address: Ip, check: Check): void {
    const [wait] = check.before.length > 0 ? check.before : check.during;
    if (wait !== undefined) this.#ask(address, check, wait);
  }

  #ask(address: Ip, check: Check, wait: number): void {
    check.timer?.cancel();
    check.timer = undefined;
    this.#questions.set(address, wait);
    this.#flush();
  }

  #flush(): void {
    for (const [address, wait] of this.#questions) {
      if (this.#budget === 0) break;
      this.#budget--;
      this.#questions.delete(address);
      const check = this.#checks.get(address);
      if (!check) continue;
      check.claimed = false;
      this.#options.ask(address);
      // An event loop that was busy runs timers before it reads frames: one turn more, and what came is read.
      const { clock } = this.#options;
      check.timer = clock.setTimer(wait, () => {
        check.timer = clock.setTimer(1, () => this.#judge(address, check));
      });
    }
    this.#tick ??= this.#options.clock.setTimer(TICK, () => {
      this.#tick = undefined;
      this.#budget = QUESTIONS_A_TICK;
      if (this.#questions.size > 0) this.#flush();
    });
  }

  /** The time for an answer is over. */
  #judge(address: Ip, check: Check): void {
    if (check.claimed) this.#doubt(address, check);
    else this.#trust(address, check);
  }

  #doubt(address: Ip, check: Check): void {
    const { clock, onChange, onConflict } = this.#options;
    const upheld = check.claimedSince !== undefined && clock.now() - check.claimedSince >= UPHELD;
    if (!check.conflict && !upheld) {
      this.#ask(address, check, SUSPICION);
      return;
    }
    if (!check.conflict) {
      const before = this.mayAnswer(address);
      check.conflict = true;
      check.before.length = 0;
      check.during.length = 0;
      if (before !== this.mayAnswer(address)) onChange(address);
      onConflict(address, check.rival);
    }
    const wait = LOOK_AGAIN * (0.75 + this.#options.random() / 2);
    check.timer = clock.setTimer(wait, () => this.#ask(address, check, LOOK));
  }

  #trust(address: Ip, check: Check): void {
    const before = this.mayAnswer(address);
    const wasConflict = check.conflict;
    const wasSuspected = check.claimedSince !== undefined;
    check.conflict = false;
    check.claimedSince = undefined;
    // Who fell silent after a claim has given way: nothing more is asked before answering.
    if (wasSuspected) check.before.length = 0;
    else (check.before.length > 0 ? check.before : check.during).shift();
    if (before !== this.mayAnswer(address)) this.#options.onChange(address);
    if (wasConflict) this.#options.onConflict(address, undefined);
    if (this.#checks.get(address) === check) this.#next(address, check);
  }
}
