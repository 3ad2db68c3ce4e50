// Looks at a whole account again and again: whether what was right still is, and what belongs to no Service any more.
import type { Clock, Random, Timer } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { OpenAccount } from './aws-provider.ts';
import { Orphans } from './orphans.ts';
import type { Owner } from './ownership.ts';
import { guarded, type Prepared, remove } from './pass.ts';
import { recognise } from './recognise.ts';
import { ownersIn, type Survey, Surveyor } from './survey.ts';

export interface AccountWatchOptions {
  readonly open: OpenAccount;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds between two looks, and a quarter of it more by chance. */
  readonly driftCheck: number;
  /** Milliseconds. */
  readonly orphanGrace: number;
  readonly log: Logger;
  /** Whether this controller looks after the account; all others look only where a Service asks for it. */
  readonly leads: () => boolean;
  readonly clusterUid: () => string;
  /** What should be intact in this account, as far as is known now. */
  readonly expected: () => ReadonlyMap<string, Expected>;
  /** As last heard; and, right before a removal, whether the API server has no such Service. */
  readonly isServed: (owner: Owner) => boolean;
  readonly isGone: (owner: Owner) => Promise<boolean>;
  /** Hears of a Service that has to be read whole. */
  readonly onSuspect: (key: string) => void;
  readonly onLook: () => void;
}

/** A Service that says of itself that all is applied. */
export interface Expected {
  readonly hostname: string;
  readonly prepared: Prepared;
}

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

  /** What there is to say of the account is known soon. */
  lookSoon(): void {
    void this.recent().then(() => this.#options.onLook());
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
    const { open, leads, expected, onSuspect, onLook } = this.#options;
    if (!leads()) return;
    const before = expected();
    const survey = await this.#look();
    if (this.#closed || !leads()) return;
    if (survey) {
      for (const [key, { hostname, prepared }] of expected()) {
        // What was written meanwhile is newer than the look.
        const wasSo = before.get(key)?.prepared.fingerprint === prepared.fingerprint;
        if (wasSo && recognise(survey, open.account, prepared)?.hostname !== hostname) onSuspect(key);
      }
      await this.#collect(survey);
    }
    onLook();
  }

  async #collect(survey: Survey): Promise<void> {
    const { open, clock, log, isServed, isGone, leads, clusterUid } = this.#options;
    const leading: typeof open.api = (action, input) =>
      open.api(action, input, () => {
        if (!leads()) throw new Error('orphans are left to the controller that leads now');
      });
    const now = clock.now();
    this.#orphans.see(ownersIn(survey, open.account, clusterUid()), isServed, now);
    for (const owner of this.#orphans.due(now)) {
      if (this.#closed || isServed(owner) || !(await isGone(owner))) continue;
      const { kind } = await remove(leading, open.account, owner, undefined);
      const { key, uid } = owner;
      log.info({ account: open.account.name, service: key, uid, outcome: kind }, 'removed an orphan');
    }
  }
}
