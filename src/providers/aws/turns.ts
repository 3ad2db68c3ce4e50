// Some Services of an account go to AWS at a time; whoever waits is told when there is room.

/** Passes under way at once, over all accounts: the rest of the workers is for those who need none. */
const MOST_PASSES = 24;

export class Turns {
  /** Services that wait, and for which account. */
  readonly #waiting = new Map<string, string>();
  readonly #running = new Map<string, number>();
  readonly #tell: (key: string) => void;
  #share = MOST_PASSES;

  /** `tell`: has a Service asked for again. */
  constructor(tell: (key: string) => void) {
    this.#tell = tell;
  }

  /** Each account has the same share. */
  divideAmong(accounts: number): void {
    this.#share = Math.max(1, Math.floor(MOST_PASSES / Math.max(1, accounts)));
  }

  /** `work`, or nothing but a place in the line where there is no room. */
  async take<T>(account: string, key: string, work: () => Promise<T>): Promise<T | { kind: 'waiting' }> {
    if (this.#room(account) <= 0) {
      this.#waiting.set(key, account);
      return { kind: 'waiting' };
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
    const account = this.#waiting.get(key);
    this.#waiting.delete(key);
    try {
      return await work();
    } finally {
      if (account !== undefined) this.#callNext(account);
    }
  }

  #room(account: string): number {
    return this.#share - (this.#running.get(account) ?? 0);
  }

  /** As many as there is room for. Who is told waits on until asked for: it may be told twice, and is never forgotten. */
  #callNext(account: string): void {
    let room = this.#room(account);
    for (const [key, its] of this.#waiting) {
      if (room <= 0) return;
      if (its !== account) continue;
      this.#tell(key);
      room--;
    }
  }
}
