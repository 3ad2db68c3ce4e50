// Looks at a whole account again and again: whether what was right still is, and what belongs to no Service any more.
import type { Clock, Random, Timer } from '../../clock/clock.ts';
import type { Logger } from '../../observe/logger.ts';
import type { OpenAccount } from './aws-provider.ts';
import { narrowingSteps } from './backend.ts';
import { Directory, execute } from './execute.ts';
import type { DesiredState } from './model.ts';
import type { NodeGroups } from './node-groups.ts';
import { Orphans } from './orphans.ts';
import type { Owner } from './ownership.ts';
import { guarded, type Prepared, remove } from './pass.ts';
import { recognise } from './recognise.ts';
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
  /** Whether this controller looks after the account; all others look only where a Service asks for it. */
  readonly leads: () => boolean;
  readonly clusterUid: () => string;
  /** What should be intact in this account, as far as is known now. */
  readonly expected: () => ReadonlyMap<string, Expected>;
  readonly expectedOf: (key: string) => Expected | undefined;
  /** All Services that this account serves. */
  readonly served: () => readonly string[];
  readonly nodeGroups: NodeGroups;
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
  /** As this controller made it, where it did. */
  readonly desired?: DesiredState;
  /** What the Service says of its targets. */
  readonly health?: Pick<TargetHealth, 'message'> & { readonly status: string };
}

/** One that the lists show intact. */
interface Right extends Expected {
  readonly desired: DesiredState;
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
  /** When each Service was verified, on the clock. */
  #verified = new Map<string, number>();
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
    const { leads, expected, onSuspect, onLook } = this.#options;
    if (!leads()) return;
    const before = expected();
    const survey = await this.#look();
    if (this.#closed || !leads()) return;
    if (survey) {
      const right = new Map<string, Right>();
      for (const [key, now] of expected()) {
        // What was written meanwhile is newer than the look.
        if (!isSame(before.get(key), now)) continue;
        const desired = this.#intact(survey, now);
        if (desired) right.set(key, { ...now, desired });
        else onSuspect(key);
      }
      this.#verifyAll(survey, right);
      await this.#narrow(survey, right);
      await this.#collect(survey);
    }
    onLook();
  }

  #intact(survey: Survey, { hostname, prepared, desired }: Expected): DesiredState | undefined {
    if (desired && intactIn(stateIn(survey, desired), desired) === hostname) return desired;
    const found = desired ? undefined : recognise(survey, this.#options.open.account, prepared);
    return found?.hostname === hostname ? found.desired : undefined;
  }

  /** Those that were verified longest ago, one after the other, evenly over the time until the next look. */
  #verifyAll(survey: Survey, all: ReadonlyMap<string, Right>): void {
    const { clock, driftCheck, open } = this.#options;
    this.#verified = new Map([...all.keys()].map((key) => [key, this.#verified.get(key) ?? 0]));
    const least = Math.ceil(all.size / ROUND);
    let reads = (open.account.aws.rateLimits.read.perSecond / SHARE) * (driftCheck / 1000);
    const due = [...all]
      .toSorted(([a], [b]) => (this.#verified.get(a) ?? 0) - (this.#verified.get(b) ?? 0))
      .filter(([, { desired }], i) => {
        reads -= readsFor(desired);
        return i < least || reads >= 0;
      });
    this.#pace?.cancel();
    const gap = driftCheck / (due.length + 1);
    const next = () => {
      const [key, right] = due.shift() ?? [];
      if (key === undefined || !right) return;
      this.#pace = clock.setTimer(gap, () => {
        void this.#verify(survey, key, right)
          .catch((error) => this.#told(error))
          .finally(() => {
            if (!this.#closed) next();
          });
      });
    };
    next();
  }

  async #verify(survey: Survey, key: string, before: Right): Promise<void> {
    const { open, clock, leads, expectedOf, onSuspect } = this.#options;
    const isCurrent = () => !this.#closed && leads() && isSame(before, expectedOf(key));
    if (!isCurrent()) return;
    const { desired, hostname, health } = before;
    const verdict = await guarded(open.api, (api) => verify(api, survey, desired, hostname));
    // A run that came between knows better.
    if (!isCurrent()) return;
    this.#verified.set(key, clock.now());
    const isNews = (now: TargetHealth) => now.status !== health?.status || now.message !== health.message;
    if (verdict.kind === 'intact' ? isNews(verdict.health) : isWrong(verdict)) onSuspect(key);
  }

  /** What passes only widen: rules that no Service needs any more, where it is known what all of them need. */
  async #narrow({ backend, nodeGroups }: Survey, right: ReadonlyMap<string, Right>): Promise<void> {
    const { open, served, clusterUid, nodeGroups: remembered } = this.#options;
    if (!backend || !served().every((key) => right.has(key))) return;
    const backends = [...right.values()].flatMap(({ desired }) => desired.backend ?? []);
    const steps = narrowingSteps(backend.name, backends, nodeGroups);
    if (steps.length === 0) return;
    const nothing = { loadBalancers: [], targetGroups: [], securityGroups: [], backend };
    const directory = new Directory(
      nothing,
      nodeGroups.map(({ id }) => id),
    );
    const nobody = { cluster: open.account.clusterName, key: '', uid: '', clusterUid: clusterUid() };
    remembered.forget();
    await guarded(this.#whileLeading(), async (api) => {
      for (const step of steps) await execute(api, step, directory, nobody);
    });
    remembered.forget();
  }

  #whileLeading(): OpenAccount['api'] {
    const { open, leads } = this.#options;
    const check = () => {
      if (!leads()) throw new Error('what is shared is left to the controller that leads');
    };
    return (action, input) => open.api(action, input, check);
  }

  async #collect(survey: Survey): Promise<void> {
    const { open, clock, log, isServed, isGone, served, clusterUid } = this.#options;
    const now = clock.now();
    this.#orphans.see(ownersIn(survey, open.account, clusterUid()), isServed, now);
    for (const owner of this.#orphans.due(now)) {
      if (this.#closed || isServed(owner) || !(await isGone(owner))) continue;
      const last = served().length === 0;
      const api = this.#whileLeading();
      const { kind } = await remove(api, open.account, owner, { explicitName: undefined, last });
      if (last) this.#options.nodeGroups.forget();
      const { key, uid } = owner;
      log.info({ account: open.account.name, service: key, uid, outcome: kind }, 'removed an orphan');
    }
  }
}

/** Whether it asks for the same, and says the same of its targets: no run has changed anything since. */
function isSame(before: Expected | undefined, now: Expected | undefined): boolean {
  return (
    before?.prepared.fingerprint === now?.prepared.fingerprint &&
    before?.hostname === now?.hostname &&
    before?.health?.message === now?.health?.message
  );
}

function isWrong(
  verdict: { readonly kind: 'differs' } | { readonly kind: 'pending'; readonly reason: string },
) {
  return verdict.kind === 'differs' || verdict.reason === 'Settling';
}
