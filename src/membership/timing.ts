// The protocol's times, in milliseconds, and why these.

export interface Timing {
  /** How long a voter keeps a grant, from its own receipt of the holder's last heartbeat. */
  readonly lease: number;
  /** Between two heartbeats to a voter: three may be lost before a lease ends. */
  readonly heartbeat: number;
  /** Silence after which a voter takes a node for dead. Shorter than a lease: successors are to wait for the lease, not for the verdict. */
  readonly deadAfter: number;
  /** How long a claim may stand at some voters without a majority before it is taken back for others. */
  readonly patience: number;
}

export const TIMING: Timing = { lease: 400, heartbeat: 100, deadAfter: 280, patience: 300 };

/**
 * The part of a lease that its holder uses. Each clock runs within 1 % of true time, so that 98 % on the slowest
 * (0.98 / 0.99 = 0.9899) end before 100 % on the fastest (1 / 1.01 = 0.9901).
 */
export const USABLE = 0.98;

/** Between tries to open a session with a voter: the first, and the most. */
export const HELLO_RETRY = { first: 100, most: 1_000 };
/** Between tries for an address that another holder has: the most. A voter tells when it is freed. */
export const LONGEST_RETRY = 5_000;
/** A voter that was not heard for this long has no say on who lives. */
export const VIEW_LASTS = 1_000;
