// Until when each address is ours, in memory that threads share: written by the one that hears the voters, read by
// the one that answers, without a message between them that could come late.

/** Addresses that one node can hold at a time. Memory is only used for those that it does. */
export const MOST_ADDRESSES = 65_536;

export class Deadlines {
  readonly cells: BigInt64Array;
  /** What was written last: most addresses are held until the same time. */
  #until = 0;
  #cell = 0n;

  /** `memory`: of `share`, the same for writer and readers. */
  constructor(memory: SharedArrayBuffer) {
    this.cells = new BigInt64Array(memory);
  }

  static share(): SharedArrayBuffer {
    return new SharedArrayBuffer(MOST_ADDRESSES * BigInt64Array.BYTES_PER_ELEMENT);
  }

  /** Milliseconds of `monotonicNow`; -Infinity: never. */
  set(slot: number, until: number): void {
    if (until !== this.#until) {
      this.#until = until;
      this.#cell = until > 0 ? BigInt(Math.floor(until * 1e6)) : 0n;
    }
    Atomics.store(this.cells, slot, this.#cell);
  }

  get(slot: number): number {
    return Number(Atomics.load(this.cells, slot)) / 1e6;
  }
}

/** CLOCK_MONOTONIC in milliseconds: the same in every thread, unlike performance.now(). */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
