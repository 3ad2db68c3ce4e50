// A queue whose runs begin and end as a test says.
import { expect } from 'vitest';
import type { Random } from '../../src/clock/clock.ts';
import type { Counts, Lease, WorkOutcome, WorkQueue } from '../../src/queue/work-queue.ts';

export interface QueueUnderTest {
  readonly queue: WorkQueue;
  /** Whether time moves only in `pass`, so that what happens can be told to the millisecond. */
  readonly exact: boolean;
  /** Milliseconds on the clock that the queue goes by. */
  now(): number;
  pass(milliseconds: number): Promise<void>;
  /** Resolves when the queue has done with everything that it was told. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export type MakeQueue = (random: Random) => Promise<QueueUnderTest>;

/** Milliseconds that anything may take to happen on a loaded machine. */
const PATIENCE = 15_000;

export class Workplace implements AsyncDisposable {
  readonly queue: WorkQueue;
  readonly exact: boolean;
  /** Runs under way, oldest first. */
  readonly running: Lease[] = [];
  /** Every run that began, with the time of its beginning. */
  readonly runs: { readonly key: string; readonly at: number }[] = [];
  readonly #tested: QueueUnderTest;
  readonly #stop = new AbortController();

  private constructor(tested: QueueUnderTest) {
    this.#tested = tested;
    this.queue = tested.queue;
    this.exact = tested.exact;
  }

  static async open(make: MakeQueue, random: Random = () => 0.5): Promise<Workplace> {
    return new Workplace(await make(random));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#tested.close();
  }

  now(): number {
    return this.#tested.now();
  }

  pass(milliseconds: number): Promise<void> {
    return this.#tested.pass(milliseconds);
  }

  settle(): Promise<void> {
    return this.#tested.settle();
  }

  async add(key: string, options?: Parameters<WorkQueue['add']>[1]): Promise<void> {
    this.queue.add(key, options);
    await this.settle();
  }

  /** Asks for a key; the run begins when there is one. */
  async take(): Promise<void> {
    this.queue.take(this.#stop.signal).then((lease) => {
      if (!lease) return;
      this.running.push(lease);
      this.runs.push({ key: lease.key, at: this.now() });
    });
    await this.settle();
  }

  /** Takes one key after the other, without ending their runs. */
  async takeAll(count: number): Promise<string[]> {
    const before = this.runs.length;
    for (let i = 1; i <= count; i++) {
      await this.take();
      await this.reach(before + i);
    }
    return this.runs.slice(before).map(({ key }) => key);
  }

  async done(lease: Lease | undefined, outcome: WorkOutcome = { kind: 'finished' }): Promise<void> {
    if (!lease) throw new Error('there is no such run');
    this.running.splice(this.running.indexOf(lease), 1);
    this.queue.done(lease, outcome);
    await this.settle();
  }

  /** Waits until so many runs have begun since the start. */
  async reach(count: number): Promise<void> {
    await this.eventually(() => expect(this.runs.length).toBeGreaterThanOrEqual(count));
  }

  async holds(counts: Partial<Counts>): Promise<void> {
    const all = { ready: 0, delayed: 0, running: 0, parked: 0, ...counts };
    await this.eventually(async () => expect(await this.queue.view()).toMatchObject(all));
  }

  /** Tries `check` until it does not throw; on an exact clock it has one chance. */
  async eventually(check: () => unknown): Promise<void> {
    const deadline = performance.now() + (this.exact ? 0 : PATIENCE);
    for (;;) {
      await this.settle();
      try {
        return void (await check());
      } catch (error) {
        if (performance.now() >= deadline) throw error;
        await this.pass(2);
      }
    }
  }

  /** Finishes everything, runs what is left and what falls due, until nothing is. */
  async drain(): Promise<void> {
    await this.take();
    for (;;) {
      const { ready, delayed, running } = await this.queue.view();
      if (ready + delayed + running === 0 && this.running.length === 0) return;
      if (this.running.length === 0) await this.pass(this.exact ? 100 : 3);
      for (const lease of [...this.running]) {
        await this.done(lease);
        await this.take();
      }
    }
  }
}
