// WorkQueue on Redis, shared by any number of controllers. Redis is a scheduler and never the truth: what it forgets
// is told to the subscribers, who add everything again. Jobs are bull's; see scripts.ts for what is ours beside them.
import { type Clock, type Random, sleep } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { TokenBuckets } from '../token-buckets.ts';
import { countsByAccount, type KeyState } from '../view.ts';
import {
  type AddOptions,
  BACKOFF,
  type Lease,
  PARK_AFTER,
  type QueueView,
  type WorkOutcome,
  type WorkQueue,
} from '../work-queue.ts';
import {
  addJobs,
  type BullQueue,
  type Client,
  completeJob,
  type Job,
  openBull,
  type Placement,
} from './bull.ts';
import { RedisLease } from './redis-lease.ts';
import { RedisTokenBuckets } from './redis-token-buckets.ts';
import { defineScripts, runScript } from './run-script.ts';
import { ADD, BEGIN, CHECK, END, ORPHANS, PUT_BACK, RENEW, type Script, STATES } from './scripts.ts';

export interface RedisQueueOptions {
  readonly client: Client;
  /** A second connection to the same Redis: it waits for keys. */
  readonly blocking: Client;
  /** Of the cluster's own, in braces so that Redis Cluster keeps all in one slot. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly times?: RedisTimes;
}

/** Milliseconds. A killed worker's keys run again after a lease and two ticks at most. */
export interface RedisTimes {
  readonly lease: number;
  /** Between two renewals, and two looks for what was lost. */
  readonly tick: number;
}

const TIMES: RedisTimes = { lease: 4_000, tick: 1_000 };
/** Milliseconds until what failed is tried again. */
const RETRY = 250;
/** Keys that one script looks at: Redis does nothing else meanwhile. */
const BATCH = 200;
/** Calls of bull's for a key at a time. */
const MOST_CALLS = 32;
/** Milliseconds for handing over what runs when the process stops. */
const CLOSE_PATIENCE = 500;

interface Ask {
  readonly due: number;
  /** 0 for a change, 1 for a resync. */
  readonly rank: number;
  readonly account: string | undefined;
  readonly unlessFinished: string | undefined;
  readonly thorough: boolean;
}

export class RedisQueue implements WorkQueue {
  /** In the same Redis, for all controllers. */
  readonly buckets: TokenBuckets;
  readonly #options: RedisQueueOptions;
  readonly #times: RedisTimes;
  readonly #bull: BullQueue;
  readonly #stop = new AbortController();
  /** Asked for and not yet in Redis: at most once for each key, however long Redis is away. */
  readonly #asks = new Map<string, Ask>();
  #sending: Promise<void> | undefined;
  readonly #leases = new Set<RedisLease>();
  readonly #takers = new Set<(lease: Lease) => void>();
  #fetching = 0;
  /** How many calls are worth while: as many again after each that brought a key, one after one that did not. */
  #calls = 1;
  readonly #ending = new Set<Promise<void>>();
  readonly #listeners = new Set<() => void>();
  #epoch: string | undefined;
  #ticking: Promise<void> | undefined;
  /** Said to fail, and not yet well again for a whole tick. */
  #away = false;
  #failures = 0;

  constructor(options: RedisQueueOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
    defineScripts(options.client);
    this.buckets = new RedisTokenBuckets(options.client, options.prefix, options.clock);
    this.#bull = openBull({ ...options, ...this.#times });
  }

  /** Begins to keep leases and to look for what was lost; until `close`. */
  start(): void {
    this.#ticking ??= this.#tick();
  }

  add(key: string, options: AddOptions = {}): void {
    const { after = 0, priority = 'change', account, unlessFinished, thorough = false } = options;
    const due = this.#options.clock.now() + after;
    const ask: Ask = { due, rank: priority === 'change' ? 0 : 1, account, unlessFinished, thorough };
    const waiting = this.#asks.get(key);
    this.#asks.set(key, waiting ? both(waiting, ask) : ask);
    this.#send();
  }

  take(signal: AbortSignal): Promise<Lease | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const onAbort = () => {
        this.#takers.delete(taker);
        resolve(undefined);
      };
      const taker = (lease: Lease) => {
        signal.removeEventListener('abort', onAbort);
        resolve(lease);
      };
      this.#takers.add(taker);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#fetch();
    });
  }

  done(lease: Lease, outcome: WorkOutcome): void {
    if (lease instanceof RedisLease && this.#leases.delete(lease)) this.#end(lease, outcome);
  }

  async view(): Promise<QueueView> {
    const states: KeyState[] = [];
    for (const keys of batches(await this.#options.client.smembers(this.#key('known')))) {
      const rows = (await this.#run(
        STATES,
        [this.#key('known')],
        [this.#key('entry'), ...keys],
      )) as StateRow[];
      for (const [key, account, state, waited, delayed, error] of rows) {
        states.push({
          key,
          account,
          running: state === 'running',
          delayed: delayed === 1,
          ...(waited === '' ? {} : { waited }),
          ...(state === 'parked' ? { error } : {}),
        });
      }
    }
    return countsByAccount(states);
  }

  async release(key: string): Promise<boolean> {
    const parked = (await this.#options.client.hget(this.#key('entry', key), 'state')) === 'parked';
    if (parked) {
      this.add(key);
      await this.#sending;
    }
    return parked;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when Redis has everything that was added or ended up to now. */
  async settled(): Promise<void> {
    while (this.#sending || this.#ending.size > 0) await Promise.all([this.#sending, ...this.#ending]);
  }

  /** Hands over what runs, and lets go of both connections. */
  async close(): Promise<void> {
    const { client, blocking, clock } = this.#options;
    for (const lease of this.#leases) this.#end(lease, 'back');
    this.#leases.clear();
    await Promise.race([this.settled(), sleep(clock, CLOSE_PATIENCE)]);
    this.#stop.abort();
    clearTimeout(this.#bull.delayTimer);
    this.#bull.closing = Promise.resolve(); // its own close would wait for a worker that is not there
    blocking.disconnect();
    client.disconnect();
    await this.#ticking;
  }

  // Adding

  #send(): void {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (this.#asks.size > 0 && !this.#stop.signal.aborted) this.#send();
    });
  }

  async #sendAll(): Promise<void> {
    await Promise.resolve(); // so that what is added in one step goes in one batch
    while (this.#asks.size > 0 && !this.#stop.signal.aborted) {
      const batch = [...this.#asks].slice(0, BATCH);
      for (const [key] of batch) this.#asks.delete(key);
      try {
        await this.#ask(batch);
      } catch (error) {
        for (const [key, ask] of batch) {
          const newer = this.#asks.get(key);
          this.#asks.set(key, newer ? both(ask, newer) : ask);
        }
        await this.#failed(error);
      }
    }
  }

  async #ask(batch: readonly (readonly [string, Ask])[]): Promise<void> {
    const now = this.#options.clock.now();
    const answers = await Promise.all(
      batch.map(async ([key, { due, rank, account, unlessFinished = '', thorough }]) => ({
        key,
        answer: (await this.#run(
          ADD,
          [this.#key('entry', key), this.#key('known'), this.#bull.toKey(key), ...this.#order()],
          [
            key,
            Math.max(0, Math.ceil(due - now)),
            rank,
            unlessFinished,
            thorough ? 1 : 0,
            ...(account === undefined ? [] : [account]),
          ],
        )) as ['none' | 'add' | 'replace', number, string],
      })),
    );
    const placements: Placement[] = [];
    for (const { key, answer } of answers) {
      const [what, delay, priority] = answer;
      // A job that is active cannot be removed; its run sees in the entry what was asked for.
      if (what === 'replace') await (await this.#bull.getJob(key))?.remove().catch(() => {});
      if (what !== 'none') placements.push({ key, delay, priority: Number(priority) });
    }
    if (placements.length > 0) await addJobs(this.#bull, placements);
  }

  // Taking

  /**
   * Whichever call of bull's gets a job serves the first taker. While nothing is ready one call waits: a process that
   * is stopped with more of them would be handed key after key by Redis, for as many seconds.
   */
  #fetch(): void {
    while (this.#fetching < Math.min(this.#takers.size, this.#calls) && !this.#stop.signal.aborted) {
      this.#fetching++;
      this.#fetchOne().finally(() => {
        this.#fetching--;
        this.#fetch();
      });
    }
  }

  async #fetchOne(): Promise<void> {
    try {
      const job = await this.#bull.getNextJob();
      this.#calls = job ? Math.min(MOST_CALLS, this.#calls * 2) : 1;
      if (job) {
        this.#fetch();
        await this.#begin(job);
      }
    } catch (error) {
      await this.#failed(error);
    }
  }

  async #begin(job: Job): Promise<void> {
    const key = String(job.id);
    if (this.#takers.size === 0) {
      const { active, wait } = this.#bull.keys;
      await this.#run(PUT_BACK, [active, wait, `${this.#bull.toKey(key)}:lock`], [key]);
      return;
    }
    const { clock } = this.#options;
    const { lease: length } = this.#times;
    const asked = clock.now();
    const [epoch, what, number, waited, thorough] = (await this.#run(
      BEGIN,
      [this.#key('entry', key), this.#key('lease', key), ...this.#epochKeys(), ...this.#order()],
      [length, key],
    )) as [string, 'run' | 'later' | 'gone' | 'line', number, number, number];
    this.#heard(epoch);
    if (what === 'gone') return completeJob(job);
    if (what === 'line') {
      await completeJob(job);
      await addJobs(this.#bull, [{ key, delay: 0, priority: Number(number) }]);
      return;
    }
    if (what === 'later') {
      await job.moveToDelayed(Date.now() + number);
      await this.#bull.updateDelayTimer();
      return;
    }
    const lease = new RedisLease(
      job,
      { token: number, waited, thorough: thorough === 1 },
      { clock, asked, length },
    );
    for (const taker of this.#takers) {
      this.#takers.delete(taker);
      this.#leases.add(lease);
      taker(lease);
      return;
    }
    this.#end(lease, 'back');
  }

  // Ending

  #end(lease: RedisLease, outcome: WorkOutcome | 'back'): void {
    const ending = this.#endNow(lease, outcome).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
    lease.end();
  }

  /** Tries until the lease has run out: then the key runs again, by whoever finds it. */
  async #endNow({ key, token, job }: RedisLease, outcome: WorkOutcome | 'back'): Promise<void> {
    const { clock, random } = this.#options;
    const until = clock.now() + this.#times.lease;
    const { kind, after, error = '', version = '', thorough = false } = wordsOf(outcome);
    const { first, most } = BACKOFF;
    const wait = after === undefined ? '' : Math.ceil(after);
    while (clock.now() < until && !this.#stop.signal.aborted) {
      try {
        const ended = this.#run(
          END,
          [this.#key('entry', key), this.#key('known'), this.#key('lease', key), ...this.#order()],
          [key, token, kind, wait, random(), error, first, most, PARK_AFTER, version, thorough ? 1 : 0],
        ) as Promise<['lost' | 'done'] | ['add', number, string]>;
        // In the same breath. Should it fail, the job comes back as a stalled one, finds nothing to do, and ends.
        const [answer] = await Promise.all([ended, completeJob(job).catch(() => {})]);
        if (answer[0] === 'add')
          await addJobs(this.#bull, [{ key, delay: answer[1], priority: Number(answer[2]) }]);
        return;
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  // Keeping

  async #tick(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#stop.signal.aborted) {
      if (this.#failures === 0 && this.#away) log.info('Redis is back');
      this.#away = this.#failures > 0;
      this.#failures = 0;
      try {
        await this.#renewAll();
        this.#heard((await this.#run(CHECK, this.#epochKeys(), [this.#times.lease])) as string);
        await this.#bull.moveUnlockedJobsToWait();
        await this.#bull.updateDelayTimer();
        await this.#adopt();
      } catch (error) {
        await this.#failed(error);
      }
      await sleep(clock, this.#times.tick, this.#stop.signal);
    }
  }

  async #renewAll(): Promise<void> {
    const { clock } = this.#options;
    const { lease: length } = this.#times;
    const asked = clock.now();
    const renewals = [...this.#leases].map(async (lease) => {
      const { key, token } = lease;
      const renewed = await this.#run(
        RENEW,
        [this.#key('lease', key), `${this.#bull.toKey(key)}:lock`, this.#bull.keys.stalled],
        [token, length, this.#bull.token, key],
      );
      if (renewed === 1) lease.renewed(asked, length);
      else lease.end();
    });
    await Promise.all(renewals);
  }

  /** Gives a job to the keys that lost theirs: somebody was killed between two of our steps. */
  async #adopt(): Promise<void> {
    const { client } = this.#options;
    const mine = await client.set(this.#key('adopting'), 1, 'PX', this.#times.tick, 'NX');
    if (mine === null) return;
    for (const keys of batches(await client.smembers(this.#key('known')))) {
      const prefixes = [this.#key('entry'), this.#key('lease'), this.#bull.toKey('')];
      const found = (await this.#run(ORPHANS, [this.#key('known')], [...prefixes, ...keys])) as (
        | string
        | number
      )[];
      const placements: Placement[] = [];
      for (let i = 0; i < found.length; i += 3) {
        placements.push({
          key: String(found[i]),
          delay: Number(found[i + 1]),
          priority: Number(found[i + 2]),
        });
      }
      if (placements.length > 0) await addJobs(this.#bull, placements);
    }
  }

  #heard(epoch: string): void {
    const known = this.#epoch;
    this.#epoch = epoch;
    if (known === undefined || known === epoch) return;
    this.#options.log.warn('Redis was emptied, restarted or replaced; everything is queued again');
    for (const listener of this.#listeners) listener();
  }

  // Talking to Redis

  #run(script: Script, keys: readonly string[], words: readonly (string | number)[]): Promise<unknown> {
    return runScript(this.#options.client, script, keys, words);
  }

  #key(what: string, key = ''): string {
    return `${this.#options.prefix}:${what}:${key}`;
  }

  #order(): [string, string, string] {
    return [this.#key('served'), this.#key('lanes'), this.#bull.keys.wait];
  }

  #epochKeys(): [string, string, string] {
    return [this.#key('epoch'), this.#key('rest'), this.#key('fence')];
  }

  async #failed(error: unknown): Promise<void> {
    const { log, clock, random } = this.#options;
    if (this.#stop.signal.aborted) return;
    if (!this.#away)
      log.warn({ error: error instanceof Error ? error.message : error }, 'Redis fails; will try again');
    this.#away = true;
    this.#failures++;
    await sleep(clock, RETRY * (0.5 + random()), this.#stop.signal);
  }
}

interface EndWords {
  readonly kind: 'finished' | 'retry' | 'back';
  readonly after?: number;
  readonly error?: string;
  readonly version?: string;
  readonly thorough?: boolean;
}

function wordsOf(outcome: WorkOutcome | 'back'): EndWords {
  if (outcome === 'back') return { kind: outcome };
  if (outcome.kind === 'retry') return outcome;
  const { again, ...words } = outcome;
  return again === undefined ? words : { ...words, after: again };
}

type StateRow = [string, string, string, number | '', number, string];

/** Of two asks for one key what both want: see AddOptions. */
function both(before: Ask, after: Ask): Ask {
  return {
    due: Math.min(before.due, after.due),
    rank: Math.min(before.rank, after.rank),
    account: after.account ?? before.account,
    unlessFinished: before.unlessFinished === after.unlessFinished ? after.unlessFinished : undefined,
    thorough: before.thorough || after.thorough,
  };
}

function batches<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / BATCH) }, (_, i) =>
    all.slice(i * BATCH, (i + 1) * BATCH),
  );
}
