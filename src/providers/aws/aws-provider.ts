// Network load balancers as a provider: chooses the account, runs passes, and says when to ask again. Whose an object
// is stands in its tags, what is applied on the Service; what is kept in memory any other controller finds out, too.
import { AwsAnnotations, CLOUD_ACCOUNT_ANNOTATION } from '../../api/aws-annotations.ts';
import type { CloudAccount } from '../../api/cloud-account.ts';
import { APPLIED_ANNOTATION } from '../../api/service.ts';
import type { Clock, Random } from '../../clock/clock.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../kube/objects.ts';
import type { Logger } from '../../observe/logger.ts';
import {
  type BeforeWrite,
  type CloudNews,
  type CloudOutcome,
  type CloudProvider,
  type CloudRun,
  type Finding,
  type Ingress,
  RemovalPendingError,
} from '../provider.ts';
import { AccountWatch, type Expected } from './account-watch.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';
import { prepareGated } from './gated.ts';
import { type Known, KnownServices } from './known.ts';
import { NodeGroups } from './node-groups.ts';
import { readTargets } from './observe.ts';
import type { Owner } from './ownership.ts';
import {
  type Done,
  guarded,
  type Inputs,
  type PassResult,
  type Prepared,
  pass,
  prepare,
  type Refusal,
  remove,
} from './pass.ts';
import { type Place, placesOf, placesText } from './placement.ts';
import { type GatedPod, type PodAccess, Readiness, unreadyPods } from './readiness.ts';
import { recognise } from './recognise.ts';
import { hostnamesOf, keyOf, portsOf, shownHealth } from './shown.ts';
import { readHealth, type TargetHealth } from './target-health.ts';
import { Turns } from './turns.ts';

/** The API server's objects, as last heard. */
export interface AwsSources {
  service(key: string): ServiceObject | undefined;
  nodes(): readonly NodeObject[];
  slices(key: string): readonly EndpointSliceObject[];
  readonly pods: PodAccess;
  services(): Iterable<ServiceObject>;
  /** Whether a cloud account would serve it. */
  isCandidate(service: ServiceObject): boolean;
  /** Of the namespace kube-system, '' where it is not known. */
  clusterUid(): string;
  /** Whether the API server has no such Service, as it says itself. */
  isGone(owner: Owner): Promise<boolean>;
}

export interface OpenAccount {
  readonly account: CloudAccount;
  readonly api: AwsApi;
  /** Of the account and its credentials: another one where either is. */
  readonly print: string;
}

export interface AwsProviderOptions {
  readonly sources: AwsSources;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds between two looks for what others changed in an account. */
  readonly driftCheck: number;
  /** Milliseconds for which what belongs to no Service is only told. */
  readonly orphanGrace: number;
  readonly log: Logger;
  /** Hears that what there is to say of an account may have changed. */
  readonly onLook: () => void;
  /** Whether this controller looks after accounts as a whole. */
  readonly leads: () => boolean;
}

/** Milliseconds until a look at targets that AWS checks for the first time, and at those that did not pass. */
const FIRST_HEALTH_CHECK = 15_000;
const HEALTH_CHECK = 45_000;
/** Milliseconds between two looks at targets that pods wait for. */
const GATE_CHECK = 5_000;
/** Milliseconds until a Service whose account is missing is looked at again. */
const NO_ACCOUNT = 45_000;
/** Milliseconds after which a Service runs again with which all is well: the queue knows until then what was done. */
const SETTLED = 3_600_000;
const NOTHING: Ingress = { addresses: [] };

export class AwsProvider implements CloudProvider {
  readonly #options: AwsProviderOptions;
  readonly #listeners = new Set<(news: CloudNews) => void>();
  readonly #known = new KnownServices();
  readonly #watches = new Map<string, AccountWatch>();
  /** By account: the groups of nodes and pods. */
  readonly #groups = new Map<string, NodeGroups>();
  #accounts: ReadonlyMap<string, OpenAccount> = new Map();
  readonly #turns = new Turns(({ key, thorough }) => this.#tell({ key, why: 'turn', thorough }));
  readonly #readiness: Readiness;
  /** Pods that wait for the load balancer of a Service, as of the last look. */
  readonly #waiting = new Map<string, readonly GatedPod[]>();

  constructor(options: AwsProviderOptions) {
    this.#options = options;
    this.#readiness = new Readiness(options.sources.pods);
  }

  /** By name. Services of an account that came or changed are asked for again. */
  setAccounts(accounts: ReadonlyMap<string, OpenAccount>): void {
    const before = this.#accounts;
    this.#accounts = accounts;
    this.#turns.divideAmong(accounts.size);
    for (const [name, watch] of this.#watches) {
      if (accounts.get(name) === before.get(name)) continue;
      watch.close();
      this.#watches.delete(name);
      this.#groups.delete(name);
    }
    for (const [name, open] of accounts) if (!this.#watches.has(name)) this.#watch(name, open);
    this.targetsChanged();
  }

  /** Nodes or endpoints are others than before. `key`: of one Service alone. */
  targetsChanged(key?: string): void {
    const { sources } = this.#options;
    const service = key === undefined ? undefined : sources.service(key);
    const services =
      key === undefined ? this.#concerned() : service && this.#concerns(service) ? [service] : [];
    for (const each of services) this.#tell({ key: keyOf(each), why: 'inputs' });
  }

  /** This controller leads from now on. */
  takeOver(): void {
    for (const watch of this.#watches.values()) watch.lookSoon();
  }

  /** Services that are no more, and have something in the account. */
  orphansIn(account: string): readonly string[] {
    return this.#watches.get(account)?.orphans() ?? [];
  }

  accountOf(service: ServiceObject): string {
    return this.#openFor(service)?.account.name ?? '';
  }

  printOf(service: ServiceObject): string {
    const open = this.#openFor(service);
    if (!open) return '';
    const prepared = this.#prepare(open, service);
    if (prepared.kind === 'refused') return open.print;
    const isOfPods = prepared.request.targetType === 'ip';
    const unready = isOfPods ? unreadyPods(this.#inputs(service).slices) : [];
    const waiting = unready.map(({ addresses, targetRef }) => `${targetRef?.name} ${addresses[0]}`).sort();
    return [open.print, prepared.fingerprint, ...waiting].join(' ');
  }

  ensure(service: ServiceObject, run: CloudRun): Promise<CloudOutcome> {
    const key = keyOf(service);
    return this.#turns.asked(key, async () => this.#tellPods(key, await this.#ensure(service, run)));
  }

  async #ensure(service: ServiceObject, run: CloudRun): Promise<CloudOutcome> {
    const { clock } = this.#options;
    const key = keyOf(service);
    const open = this.#openFor(service);
    if (!open) return this.#withoutAccount(service);
    const { account } = open;
    const { prepared, waiting } = await prepareGated(this.#readiness, account, this.#inputs(service));
    if (waiting.length > 0) this.#waiting.set(key, waiting);
    else this.#waiting.delete(key);
    if (prepared.kind === 'refused') return this.#conclude(service, account.name, prepared);
    const { fingerprint, owner, asked } = prepared;
    const places = placesOf(service, account.name);
    const isAlone = places.length === 1;
    const remembered = this.#known.get(key, service, account.name, owner);
    const thorough = run.thorough || (remembered !== undefined && remembered.asked !== asked);
    const known = thorough ? undefined : remembered;
    const turn = { key, account: account.name, thorough };
    if (known?.fingerprint === fingerprint && isAlone) {
      const finding = shownHealth(service);
      const after = this.#untilHealthCheck(finding, known);
      if (after === undefined || after > 0) return this.#shown(service, known, finding, after);
      const seen = known.belief ?? known.listed;
      if (seen)
        return this.#turns.take(turn, async () => {
          const health = await guarded(open.api, (api) => readHealth(api, known.desired, seen));
          if (!('kind' in health))
            return this.#remember(service, { ...known, checkedAt: clock.now() }, health);
          // It serves all the same, unless its target groups are gone.
          if (health.reason === 'Settling') this.#known.delete(key);
          return this.#shown(service, known, finding, health.retryAfter, health.reason === 'Settling');
        });
    }
    const isApplied = service.metadata.annotations?.[APPLIED_ANNOTATION] === fingerprint;
    if (!known && !thorough && isAlone && isApplied) {
      const survey = await this.#watches.get(account.name)?.recent();
      const found = survey && recognise(survey, account, prepared);
      const now = clock.now();
      if (found) {
        const from = { account: account.name, fingerprint, asked, checkedAt: now };
        return this.#remember(service, { ...found, ...from });
      }
    }
    return this.#turns.take(turn, async () => {
      await run.claim({ places: placesText(places) ?? account.name, isApplied });
      this.#known.delete(key);
      const api = fenced(open.api, run.beforeWrite);
      const groups = this.#nodeGroups(account.name);
      if (thorough) groups.forget();
      const result = await pass(api, account, prepared, groups, known?.belief);
      const whole = result.kind === 'done' ? await this.#leaveOthers(service, places, result, run) : result;
      if (whole.kind !== 'done') return this.#conclude(service, account.name, whole);
      const { health, ...made } = whole;
      const from = { account: account.name, fingerprint, asked, checkedAt: clock.now() };
      if (whole.notes.length + whole.unclear.length === 0)
        return this.#remember(service, { ...made, ...from }, health);
      // Only for pods that wait: the Service does not say that it is applied.
      this.#known.set(key, { ...made, ...from });
      return this.#conclude(service, account.name, whole);
    });
  }

  /** What pods wait for is looked at soon again, until each of them is Ready. */
  async #tellPods(key: string, outcome: CloudOutcome): Promise<CloudOutcome> {
    const waiting = this.#waiting.get(key);
    if (!waiting) return outcome;
    const known = this.#known.last(key);
    const open = known && this.#accounts.get(known.account);
    const seen = known?.belief ?? known?.listed;
    if (!open || !seen) return outcome;
    const states = await guarded(open.api, (api) =>
      Promise.all(seen.targetGroups.map(({ arn }) => readTargets(api, arn))),
    );
    const targets = known.desired.targetGroups.flatMap((each) => each.targets);
    if (!('kind' in states)) await this.#readiness.tell(waiting, targets, states.flat());
    return { ...outcome, again: Math.min(outcome.again ?? GATE_CHECK, GATE_CHECK) };
  }

  async remove(service: ServiceObject, beforeWrite: BeforeWrite): Promise<void> {
    const key = keyOf(service);
    await this.#turns.asked(key, async () => {
      this.forget(key);
      for (const place of placesOf(service)) await this.#removeFrom(key, place, beforeWrite);
    });
  }

  /** Nothing is known of the Service any more. */
  forget(key: string): void {
    this.#known.delete(key);
    this.#waiting.delete(key);
    this.#readiness.forget(key);
  }

  subscribe(listener: (news: CloudNews) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close();
    this.#watches.clear();
  }

  /** `health`: as just read; otherwise what the Service says of its targets stays. */
  #remember(service: ServiceObject, known: Known, health?: TargetHealth): CloudOutcome {
    this.#known.set(keyOf(service), known);
    const finding = health ? ({ type: 'TargetsHealthy', ...health } as const) : shownHealth(service);
    return this.#shown(service, known, finding, this.#untilHealthCheck(finding, known));
  }

  /** Milliseconds until its targets are to be looked at; undefined: they are healthy. */
  #untilHealthCheck(finding: Finding | undefined, { checkedAt }: Known): number | undefined {
    if (!finding || finding.status === 'True') return undefined;
    const pause = finding.status === 'Unknown' ? FIRST_HEALTH_CHECK : HEALTH_CHECK;
    return Math.max(0, checkedAt + pause - this.#options.clock.now());
  }

  /** `again`: milliseconds until it is to be looked at again; undefined: all is well. */
  #shown(
    service: ServiceObject,
    { hostname, account, fingerprint }: Known,
    finding: Finding | undefined,
    again = SETTLED,
    thorough = false,
  ): CloudOutcome {
    return {
      kind: 'done',
      addresses: [],
      hostnames: [hostname],
      ports: portsOf(service),
      source: account,
      places: account,
      applied: fingerprint,
      again: again * (1 + this.#options.random() / 4),
      thorough,
      ...(finding ? { findings: [finding] } : {}),
    };
  }

  #conclude(service: ServiceObject, source: string, result: PassResult | Refusal): CloudOutcome {
    const hostnames = result.hostname === undefined ? hostnamesOf(service) : [result.hostname];
    const errors = result.kind === 'pending' ? result.portErrors : undefined;
    const ingress: Ingress =
      hostnames.length > 0 ? { addresses: [], hostnames, ports: portsOf(service, errors), source } : NOTHING;
    const { random } = this.#options;
    // What only the user can mend is looked at again all the same: others may have changed what is there.
    const after = result.kind === 'pending' ? result.retryAfter : HEALTH_CHECK;
    const again = after * (1 + random() / 4);
    const places = placesText(result.kind === 'refused' ? placesOf(service) : placesOf(service, source));
    if (result.kind !== 'done')
      return { kind: result.kind, reason: result.reason, message: result.message, again, places, ...ingress };
    const { notes, unclear } = result;
    const reason = notes.length > 0 ? 'NotChangeable' : 'NoNodeSecurityGroup';
    const message = [...notes, ...unclear].join('; ');
    return { kind: 'refused', reason, message, again, places, ...ingress };
  }

  #withoutAccount(service: ServiceObject): CloudOutcome {
    const { namespace = '', name } = service.metadata;
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    const message = named
      ? `Service/${namespace}/${name} names the CloudAccount "${named}", which is not there or cannot be used; create it, see its conditions, or correct the annotation ${CLOUD_ACCOUNT_ANNOTATION}`
      : `no CloudAccount that can be used is the default; write spec.default: true in one, see the conditions of the one that has it, or name one by the annotation ${CLOUD_ACCOUNT_ANNOTATION}`;
    const hostnames = hostnamesOf(service);
    return {
      kind: 'pending',
      reason: 'NoCloudAccount',
      message,
      // An account that comes asks for everybody who waits.
      again: NO_ACCOUNT * (1 + this.#options.random() / 4),
      places: placesText(placesOf(service)),
      addresses: [],
      ...(hostnames.length > 0 ? { hostnames, ports: portsOf(service) } : {}),
    };
  }

  #openFor(service: ServiceObject): OpenAccount | undefined {
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    if (named) return this.#accounts.get(named);
    return [...this.#accounts.values()].find(({ account }) => account.isDefault);
  }

  #nodeGroups(account: string): NodeGroups {
    const found = this.#groups.get(account) ?? new NodeGroups(this.#options.clock);
    this.#groups.set(account, found);
    return found;
  }

  *#concerned(): Generator<ServiceObject> {
    for (const service of this.#options.sources.services()) if (this.#concerns(service)) yield service;
  }

  #concerns(service: ServiceObject): boolean {
    return this.#options.sources.isCandidate(service) || placesOf(service).length > 0;
  }

  #prepare({ account }: OpenAccount, service: ServiceObject): Prepared | Refusal {
    return prepare(account, this.#inputs(service));
  }

  #inputs(service: ServiceObject): Inputs {
    const { sources } = this.#options;
    return {
      service,
      nodes: sources.nodes(),
      slices: sources.slices(keyOf(service)),
      clusterUid: sources.clusterUid(),
    };
  }

  /** What serves in its new account, the first of `places`, is done when nothing is left in the old one. */
  async #leaveOthers(
    service: ServiceObject,
    [, ...others]: readonly Place[],
    done: Done,
    { beforeWrite }: CloudRun,
  ): Promise<PassResult> {
    try {
      for (const place of others) await this.#removeFrom(keyOf(service), place, beforeWrite);
      return done;
    } catch (error) {
      if (!(error instanceof RemovalPendingError)) throw error;
      const { reason, message, retryAfter } = error;
      return { kind: 'pending', reason, message, retryAfter, hostname: done.hostname };
    }
  }

  async #removeFrom(key: string, place: Place, beforeWrite: BeforeWrite): Promise<void> {
    const open = this.#accounts.get(place.account);
    if (!open) {
      const message = `the CloudAccount "${place.account}", which holds its load balancer, is gone or not valid; bring it back until the load balancer is removed`;
      throw new RemovalPendingError({ reason: 'NoCloudAccount', message, retryAfter: NO_ACCOUNT });
    }
    const { clusterName: cluster } = open.account;
    const owner = { cluster, key, uid: place.uid, clusterUid: this.#options.sources.clusterUid() };
    const last = this.#isLast(key);
    const { explicitName } = place;
    const result = await remove(fenced(open.api, beforeWrite), open.account, owner, { explicitName, last });
    if (last) this.#nodeGroups(place.account).forget();
    if (result.kind === 'pending') throw new RemovalPendingError(result);
  }

  #isLast(key: string): boolean {
    for (const each of this.#concerned()) if (keyOf(each) !== key) return false;
    return true;
  }

  #watch(name: string, open: OpenAccount): void {
    const { clock, random, driftCheck, orphanGrace, log, onLook, sources, leads } = this.#options;
    const watch = new AccountWatch({
      open,
      clock,
      random,
      driftCheck,
      orphanGrace,
      log,
      leads,
      clusterUid: () => sources.clusterUid(),
      expected: () => this.#expectedIn(open),
      expectedOf: (key) => {
        const service = sources.service(key);
        return service && this.#expectedOf(open, service);
      },
      served: () => [...this.#concerned()].filter((each) => this.#openFor(each) === open).map(keyOf),
      nodeGroups: this.#nodeGroups(name),
      isServed: ({ key, uid }) => {
        const service = sources.service(key);
        return service?.metadata.uid === uid && this.#concerns(service);
      },
      isGone: (owner) => sources.isGone(owner),
      onSuspect: (key) => this.#tell({ key, why: 'suspect' }),
      onLook,
    });
    this.#watches.set(name, watch);
    watch.start();
    // Whether the account works is known at once.
    if (leads()) watch.lookSoon();
  }

  #expectedIn(open: OpenAccount): ReadonlyMap<string, Expected> {
    return new Map(
      [...this.#concerned()].flatMap((service) => {
        const expected = this.#expectedOf(open, service);
        return expected ? [[keyOf(service), expected]] : [];
      }),
    );
  }

  /** Undefined: the Service does not say of itself that all is applied, or has something elsewhere. */
  #expectedOf(open: OpenAccount, service: ServiceObject): Expected | undefined {
    const { name } = open.account;
    const [hostname] = hostnamesOf(service);
    const applied = service.metadata.annotations?.[APPLIED_ANNOTATION];
    if (hostname === undefined || applied === undefined || this.#openFor(service) !== open) return undefined;
    if (placesOf(service, name).length > 1) return undefined;
    const prepared = this.#prepare(open, service);
    if (prepared.kind !== 'prepared' || prepared.fingerprint !== applied) return undefined;
    const { desired } = this.#known.get(keyOf(service), service, name, prepared.owner) ?? {};
    const health = shownHealth(service);
    return { hostname, prepared, ...(desired ? { desired } : {}), ...(health ? { health } : {}) };
  }

  #tell(news: CloudNews): void {
    for (const listener of this.#listeners) listener(news);
  }
}

/** The same API for one run: it sends nothing once another controller may be at work on the Service. */
function fenced(api: AwsApi, beforeWrite: BeforeWrite): AwsApi {
  return <A extends AwsAction>(action: A, input: AwsActions[A][0]) => api(action, input, beforeWrite);
}
