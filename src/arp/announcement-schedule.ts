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

  constructor(options: { clock: Clock; random: Random; announce: (address: Ip) => void }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#announce = options.announce;
  }

  /** Starts over with the first round, now. */
  start(addresses: Iterable<Ip>): void {
    const due = this.#clock.now();
    for (const address of addresses) this.#plans.set(address, { round: 0, due });
    this.#run();
  }

  stop(address: Ip): void {
    this.#plans.delete(address);
  }

  close(): void {
    this.#plans.clear();
    this.#timer?.cancel();
  }

  #run(): void {
    this.#timer?.cancel();
    const now = this.#clock.now();
    let budget = ADDRESSES_A_TICK;
    let next = Number.POSITIVE_INFINITY;
    for (const [address, plan] of this.#plans) {
      if (plan.due <= now && budget > 0) {
        budget--;
        this.#announce(address);
        plan.round++;
        plan.due = now + (plan.round < ROUNDS ? ROUND : REFRESH * (0.75 + this.#random() / 2));
      }
      next = Math.min(next, plan.due);
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.setTimer(Math.max(TICK, next - now), () => this.#run());
  }
}
