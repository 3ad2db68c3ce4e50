// Whether what is announced arrives: another node resolves each address on the wire, and tells which MACs it saw.
import type { Clock, Timer } from '../clock/clock.ts';
import type { Ip } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';

/** What another node saw. `elsewhere`: it is not on the link; `no witness`: none could be asked, or none answered. */
export type Sight =
  | { readonly kind: 'seen'; readonly macs: readonly Mac[] }
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'no witness' };

export type WireVerdict = 'verified' | 'other host' | 'not seen' | 'no witness';

/** Milliseconds from the first answer of ours to the first look: switches and neighbours have learnt by then. */
const FIRST_LOOK = 1_000;
/** Milliseconds to the next one, by another node, after we announced again. */
const LOOK_AGAIN = 1_000;
/** Looks that must agree before something is said to be wrong, or nobody to be there. */
const TRIES = 3;
/** Milliseconds between looks while something is wrong, and while nobody is there to look. */
const WRONG = 5_000;
const ALONE = 120_000;
/** Looks at a time: thousands of addresses that come at once are to swamp nobody. */
const AT_ONCE = 8;

export interface WireChecksOptions {
  readonly clock: Clock;
  /** Has another node resolve the address, each time a node of its own choice. Never rejects. */
  readonly look: (address: Ip) => Promise<Sight>;
  /** The MACs of this node. */
  readonly ours: () => ReadonlySet<Mac>;
  readonly announce: (address: Ip) => void;
  /** After each look that decides; `before`: what was said last since `begin`. */
  readonly onVerdict: (address: Ip, verdict: WireVerdict, before: WireVerdict | undefined) => void;
}

interface Check {
  tries: number;
  said: WireVerdict | undefined;
  timer: Timer | undefined;
}

export class WireChecks {
  readonly #options: WireChecksOptions;
  readonly #checks = new Map<Ip, Check>();
  readonly #due = new Set<Ip>();
  #looks = 0;

  constructor(options: WireChecksOptions) {
    this.#options = options;
  }

  /** From now on this node answers for the address. */
  begin(address: Ip): void {
    this.end(address);
    const check: Check = { tries: 0, said: undefined, timer: undefined };
    this.#checks.set(address, check);
    this.#lookIn(address, check, FIRST_LOOK);
  }

  end(address: Ip): void {
    this.#checks.get(address)?.timer?.cancel();
    this.#checks.delete(address);
    this.#due.delete(address);
  }

  close(): void {
    for (const address of [...this.#checks.keys()]) this.end(address);
  }

  #lookIn(address: Ip, check: Check, delay: number): void {
    check.timer = this.#options.clock.setTimer(delay, () => {
      this.#due.add(address);
      this.#start();
    });
  }

  #start(): void {
    while (this.#looks < AT_ONCE) {
      const [address] = this.#due;
      if (address === undefined) return;
      this.#due.delete(address);
      void this.#look(address);
    }
  }

  async #look(address: Ip): Promise<void> {
    const check = this.#checks.get(address);
    this.#looks++;
    const sight = await this.#options.look(address);
    this.#looks--;
    if (check && this.#checks.get(address) === check) this.#judge(address, check, sight);
    this.#start();
  }

  #judge(address: Ip, check: Check, sight: Sight): void {
    const { ours, announce } = this.#options;
    const verdict = verdictOf(sight, ours());
    if (verdict === 'verified') {
      this.#say(address, check, verdict);
      return;
    }
    if (verdict !== 'no witness') announce(address);
    check.tries++;
    if (check.tries < TRIES) {
      this.#lookIn(address, check, LOOK_AGAIN);
      return;
    }
    this.#say(address, check, verdict);
    this.#lookIn(address, check, verdict === 'no witness' ? ALONE : WRONG);
  }

  #say(address: Ip, check: Check, verdict: WireVerdict): void {
    const before = check.said;
    check.said = verdict;
    this.#options.onVerdict(address, verdict, before);
  }
}

function verdictOf(sight: Sight, ours: ReadonlySet<Mac>): WireVerdict {
  if (sight.kind !== 'seen') return 'no witness';
  if (sight.macs.length === 0) return 'not seen';
  return sight.macs.every((mac) => ours.has(mac)) ? 'verified' : 'other host';
}
