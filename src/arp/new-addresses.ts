// Which addresses are new to the cluster: no node has announced them before, as far as this one can know.
import type { Clock } from '../clock/clock.ts';
import type { Ip } from '../net/address.ts';

/** Milliseconds for which an address is new: its first owner hears of it within them. */
const NEW_FOR = 10_000;

export class NewAddresses {
  readonly #clock: Clock;
  #seen: ReadonlyMap<Ip, number> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** All that there are now. Those of the first call may be in use: this process has just begun. */
  see(addresses: Iterable<Ip>): void {
    const before = this.#seen;
    const first = before === undefined ? Number.NEGATIVE_INFINITY : this.#clock.now();
    this.#seen = new Map(Array.from(addresses, (address) => [address, before?.get(address) ?? first]));
  }

  has(address: Ip): boolean {
    const since = this.#seen?.get(address);
    return since !== undefined && this.#clock.now() < since + NEW_FOR;
  }
}
