// Looks at a whole account again and again: whether what was right still is, and what belongs to no Service any more.
import type { Clock, Random, Timer } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { OpenAccount } from './aws-provider.ts';
import type { Known } from './known.ts';
import { Orphans } from './orphans.ts';
import type { Owner } from './ownership.ts';
import { guarded, remove } from './pass.ts';
import { intactIn, ownersIn, type Survey, Surveyor } from './survey.ts';

export interface AccountWatchOptions {
  readonly open: OpenAccount;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds between two looks, and a quarter of it more by chance. */
  readonly driftCheck: number;
  /** Milliseconds. */
  readonly orphanGrace: number;
  readonly log: Logger;
  readonly clusterUid: () => string;
  /** What should be intact in this account. */
  readonly known: () => readonly (readonly [key: string, known: Known])[];
  readonly isServed: (owner: Owner) => boolean;
  /** Hears of a Service that has to be read whole. */
  readonly onSuspect: (key: string) => void;
  readonly onLook: () => void;
}

/** Looks in which every Service is read whole once: lists tell nothing of attributes and targets. */
const ROUND = 20;

export class AccountWatch {
  readonly #options: AccountWatchOptions;
  readonly #surveyor = new Surveyor();
  readonly #orphans: Orphans;
  #last: { readonly at: number; readonly survey: Promise<Survey | undefined> } | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: AccountWatchOptions) {
    this.#options = options;
    this.#orphans = new Orphans(options.orphanGrace);
  }

  start(): void {
    const { clock, random, driftCheck } = this.#options;
    this.#timer = clock.setTimer(driftCheck * (1 + random() / 4), () => {
      void this.#check()
        .catch((error) => this.#told(error))
        .finally(() => {
          if (!this.#closed) this.start();
        });
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  orphans(): readonly string[] {
    return this.#orphans.keys();
  }

  /** A look that is not older than the time between two; undefined where AWS does not let us. */
  recent(): Promise<Survey | undefined> {
    const { clock, driftCheck } = this.#options;
    if (!this.#last || clock.now() - this.#last.at >= driftCheck) this.#look();
    return this.#last?.survey ?? Promise.resolve(undefined);
  }

  #look(): Promise<Survey | undefined> {
    const { open, clock } = this.#options;
    const at = clock.now();
    const survey = guarded(open.api, (api) => this.#surveyor.look(api, open.account, at)).then(
      (result) => ('kind' in result ? undefined : result),
      (error) => this.#told(error),
    );
    this.#last = { at, survey };
    return survey;
  }

  /** What kept a call from AWS at all, such as a Redis that is away: the next look may do better. */
  #told(error: Error): undefined {
    const { open, log } = this.#options;
    log.warn({ account: open.account.name, error: error.message }, 'could not look at a cloud account');
  }

  async #check(): Promise<void> {
    const { clock, driftCheck, known, onSuspect, onLook } = this.#options;
    const began = clock.now();
    const survey = await this.#look();
    if (this.#closed) return;
    if (survey) {
      // What was read or written meanwhile is newer than the look.
      const all = known().filter(([, { checkedAt, due }]) => checkedAt < began && due !== 'whole');
      const oldest = all.toSorted(([, a], [, b]) => a.checkedAt - b.checkedAt);
      const due = new Set(oldest.slice(0, Math.ceil(all.length / ROUND)).map(([key]) => key));
      for (const [key, { desired, hostname, checkedAt }] of all) {
        const isOld = due.has(key) && began - checkedAt >= (ROUND * driftCheck) / 2;
        if (isOld || intactIn(survey, desired) !== hostname) onSuspect(key);
      }
      await this.#collect(survey);
    }
    onLook();
  }

  async #collect(survey: Survey): Promise<void> {
    const { open, clock, log, isServed, clusterUid } = this.#options;
    const now = clock.now();
    this.#orphans.see(ownersIn(survey, open.account, clusterUid()), isServed, now);
    for (const owner of this.#orphans.due(now)) {
      if (this.#closed || isServed(owner)) continue;
      const { kind } = await remove(open.api, open.account, owner, undefined);
      const { key, uid } = owner;
      log.info({ account: open.account.name, service: key, uid, outcome: kind }, 'removed an orphan');
    }
  }
}
