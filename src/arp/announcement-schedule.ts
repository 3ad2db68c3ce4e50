// When to tell the link of an address unasked: at once when it becomes ours, a few times more within seconds
// (the first may be lost, or fall into the second in which Linux locks an entry), then now and then for ever,
// so that switches do not forget the port.
import type { Clock, Random, Timer } from '../clock/clock.ts';
import type { Ip } from '../net/address.ts';

/** Milliseconds between the rounds: longer than the locktime of Linux, 1 s. */
const ROUND = 1_100;
const ROUNDS = 5;
/** Milliseconds between refreshes: switches forget a port after 5 minutes by default. */
const REFRESH = 150_000;
/** Addresses a tick, so that thousands at once do not swamp the link or the event loop. */
const TICK = 10;
const ADDRESSES_A_TICK = 100;

interface Plan {
  round: number;
  due: number;
}

export class AnnouncementSchedule {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #announce: (address: Ip) => void;
  readonly #plans = new Map<Ip, Plan>();
  #timer: Timer | undefined;
  /** When the timer runs out. */
  #wakes = Number.POSITIVE_INFINITY;
  #budget = ADDRESSES_A_TICK;
  /** When the budget was last filled. */
  #filled = Number.NEGATIVE_INFINITY;

  constructor(options: { clock: Clock; random: Random; announce: (address: Ip) => void }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#announce = options.announce;
  }

  /** Starts over with the first round, now. */
  start(addresses: Iterable<Ip>): void {
    const now = this.#clock.now();
    this.#fill(now);
    let next = Number.POSITIVE_INFINITY;
    for (const address of addresses) {
      const plan = { round: 0, due: now };
      this.#plans.set(address, plan);
      if (this.#budget > 0) this.#round(address, plan, now);
      next = Math.min(next, plan.due);
    }
    this.#wakeAt(next, now);
  }

  stop(address: Ip): void {
    this.#plans.delete(address);
  }

  close(): void {
    this.#plans.clear();
    this.#timer?.cancel();
  }

  #run(): void {
    const now = this.#clock.now();
    this.#wakes = Number.POSITIVE_INFINITY;
    this.#fill(now);
    let next = Number.POSITIVE_INFINITY;
    for (const [address, plan] of this.#plans) {
      if (plan.due <= now && this.#budget > 0) this.#round(address, plan, now);
      next = Math.min(next, plan.due);
    }
    this.#wakeAt(next, now);
  }

  #round(address: Ip, plan: Plan, now: number): void {
    this.#budget--;
    this.#announce(address);
    plan.round++;
    plan.due = now + (plan.round < ROUNDS ? ROUND : REFRESH * (0.75 + this.#random() / 2));
  }

  #fill(now: number): void {
    if (now < this.#filled + TICK) return;
    this.#filled = now;
    this.#budget = ADDRESSES_A_TICK;
  }

  #wakeAt(time: number, now: number): void {
    const at = Math.max(time, now + TICK);
    if (at >= this.#wakes) return;
    this.#timer?.cancel();
    this.#wakes = at;
    this.#timer = this.#clock.setTimer(at - now, () => this.#run());
  }
}
