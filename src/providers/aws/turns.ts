// Some Services of an account go to AWS at a time; whoever waits is told when there is room.

/** Passes under way at once, over all accounts: the rest of the workers is for those who need none. */
const MOST_PASSES = 24;
/** Milliseconds after which who waits asks by itself, here or elsewhere: this process may have died. */
const MOST_WAIT = 15_000;

export interface Waiting {
  readonly key: string;
  readonly account: string;
  readonly thorough: boolean;
}

export class Turns {
  /** Services that wait, by key. */
  readonly #waiting = new Map<string, Waiting>();
  /** Those that were told that there is room, and for which account. */
  readonly #called = new Map<string, string>();
  readonly #running = new Map<string, number>();
  readonly #tell: (waiting: Waiting) => void;
  #share = MOST_PASSES;

  /** `tell`: has a Service asked for again. */
  constructor(tell: (waiting: Waiting) => void) {
    this.#tell = tell;
  }

  /** Each account has the same share. */
  divideAmong(accounts: number): void {
    this.#share = Math.max(1, Math.floor(MOST_PASSES / Math.max(1, accounts)));
  }

  /** `work`, or nothing but a place in the line where there is no room. */
  async take<T>(
    waiting: Waiting,
    work: () => Promise<T>,
  ): Promise<T | { readonly kind: 'waiting'; readonly again: number }> {
    const { account, key } = waiting;
    if (this.#room(account) <= 0) {
      this.#waiting.set(key, waiting);
      return { kind: 'waiting', again: MOST_WAIT };
    }
    this.#running.set(account, (this.#running.get(account) ?? 0) + 1);
    try {
      return await work();
    } finally {
      this.#running.set(account, (this.#running.get(account) ?? 1) - 1);
      this.#callNext(account);
    }
  }

  /** `work` of a Service that was asked for; where it needs no turn after all, the next has its turn. */
  async asked<T>(key: string, work: () => Promise<T>): Promise<T> {
    const account = this.#waiting.get(key)?.account ?? this.#called.get(key);
    this.#waiting.delete(key);
    this.#called.delete(key);
    try {
      return await work();
    } finally {
      if (account !== undefined) this.#callNext(account);
    }
  }

  #room(account: string): number {
    return this.#share - (this.#running.get(account) ?? 0);
  }

  /** As many as there is room for. Who is told may have its turn in another process: nobody waits for it here. */
  #callNext(account: string): void {
    let room = this.#room(account);
    for (const [key, waiting] of this.#waiting) {
      if (room <= 0) return;
      if (waiting.account !== account) continue;
      this.#waiting.delete(key);
      this.#called.set(key, account);
      this.#tell(waiting);
      room--;
    }
  }
}
