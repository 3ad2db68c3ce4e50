// Looks at a whole account again and again: whether what was right still is, and what belongs to no Service any more.
import type { Clock, Random, Timer } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { OpenAccount } from './aws-provider.ts';
import { narrowingSteps } from './backend.ts';
import { Directory, execute } from './execute.ts';
import type { Known } from './known.ts';
import type { NodeGroups } from './node-groups.ts';
import { Orphans } from './orphans.ts';
import type { Owner } from './ownership.ts';
import { guarded, remove } from './pass.ts';
import { intactIn, ownersIn, type Survey, Surveyor, stateIn } from './survey.ts';
import type { TargetHealth } from './target-health.ts';
import { readsFor, verify } from './verify.ts';

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
  /** All Services that this account serves. */
  readonly served: () => readonly string[];
  readonly nodeGroups: NodeGroups;
  readonly isServed: (owner: Owner) => boolean;
  /** Hears of a Service that has to be read whole. */
  readonly onSuspect: (key: string) => void;
  /** Hears of one that was read, is right, and how its targets are. */
  readonly onVerified: (key: string, known: Known, health: TargetHealth) => void;
  readonly onLook: () => void;
}

/** Looks in which every Service is verified once at least, where there are too many for one look. */
const ROUND = 20;
/** What of the account's reads verifying may take: one in so many. */
const SHARE = 4;

export class AccountWatch {
  readonly #options: AccountWatchOptions;
  readonly #surveyor = new Surveyor();
  readonly #orphans: Orphans;
  #last: { readonly at: number; readonly survey: Promise<Survey | undefined> } | undefined;
  #timer: Timer | undefined;
  #pace: Timer | undefined;
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
    this.#pace?.cancel();
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
    const { clock, known, onSuspect, onLook } = this.#options;
    const began = clock.now();
    const survey = await this.#look();
    if (this.#closed) return;
    if (survey) {
      // What was read or written meanwhile is newer than the look.
      const all = known().filter(([, each]) => isSettled(each, began));
      const right = all.filter(([key, { desired, hostname }]) => {
        const isRight = intactIn(stateIn(survey, desired), desired) === hostname;
        if (!isRight) onSuspect(key);
        return isRight;
      });
      this.#verifyAll(survey, began, right);
      await this.#narrow(survey, right);
      await this.#collect(survey);
    }
    onLook();
  }

  /** Those that were verified longest ago, one after the other, evenly over the time until the next look. */
  #verifyAll(survey: Survey, began: number, all: readonly (readonly [key: string, known: Known])[]): void {
    const { clock, driftCheck, open } = this.#options;
    const least = Math.ceil(all.length / ROUND);
    let reads = (open.account.aws.rateLimits.read.perSecond / SHARE) * (driftCheck / 1000);
    const due = all
      .toSorted(([, a], [, b]) => a.checkedAt - b.checkedAt)
      .filter(([, { desired }], i) => {
        reads -= readsFor(desired);
        return i < least || reads >= 0;
      })
      .map(([key]) => key);
    this.#pace?.cancel();
    const gap = driftCheck / (due.length + 1);
    const next = () => {
      const key = due.shift();
      if (key === undefined) return;
      this.#pace = clock.setTimer(gap, () => {
        void this.#verify(survey, began, key)
          .catch((error) => this.#told(error))
          .finally(() => {
            if (!this.#closed) next();
          });
      });
    };
    next();
  }

  async #verify(survey: Survey, began: number, key: string): Promise<void> {
    const { open, known, onSuspect, onVerified } = this.#options;
    const current = () => known().find(([each, its]) => each === key && isSettled(its, began))?.[1];
    const before = current();
    if (!before) return;
    const { desired, hostname } = before;
    const verdict = await guarded(open.api, (api) => verify(api, survey, desired, hostname));
    // A pass that came between knows better.
    if (this.#closed || current() !== before) return;
    if (verdict.kind === 'intact') onVerified(key, before, verdict.health);
    else if (verdict.kind === 'differs' || verdict.reason === 'Settling') onSuspect(key);
  }

  /** What passes only widen: rules that no Service needs any more, where it is known what all of them need. */
  async #narrow(
    { backend, nodeGroups }: Survey,
    all: readonly (readonly [key: string, known: Known])[],
  ): Promise<void> {
    const { open, served, clusterUid, nodeGroups: remembered } = this.#options;
    const known = new Map(all);
    if (!backend || !served().every((key) => known.has(key))) return;
    const backends = [...known.values()].flatMap(({ desired }) => desired.backend ?? []);
    const steps = narrowingSteps(backend.name, backends, nodeGroups);
    if (steps.length === 0) return;
    const nothing = { loadBalancers: [], targetGroups: [], securityGroups: [], backend };
    const directory = new Directory(
      nothing,
      nodeGroups.map(({ id }) => id),
    );
    const nobody = { cluster: open.account.clusterName, key: '', uid: '', clusterUid: clusterUid() };
    remembered.forget();
    await guarded(open.api, async (api) => {
      for (const step of steps) await execute(api, step, directory, nobody);
    });
    remembered.forget();
  }

  async #collect(survey: Survey): Promise<void> {
    const { open, clock, log, isServed, served, clusterUid } = this.#options;
    const now = clock.now();
    this.#orphans.see(ownersIn(survey, open.account, clusterUid()), isServed, now);
    for (const owner of this.#orphans.due(now)) {
      if (this.#closed || isServed(owner)) continue;
      const last = served().length === 0;
      const { kind } = await remove(open.api, open.account, owner, { explicitName: undefined, last });
      const { key, uid } = owner;
      log.info({ account: open.account.name, service: key, uid, outcome: kind }, 'removed an orphan');
    }
  }
}

/** Whether nobody was at it since, and nobody is about to. */
function isSettled({ checkedAt, due }: Known, since: number): boolean {
  return checkedAt < since && due !== 'whole';
}
