// Network load balancers as a provider: chooses the account, runs passes, and tells when to ask again. It keeps in
// memory only what a restart may forget; whose an object is stands in its tags.
import { AwsAnnotations, CLOUD_ACCOUNT_ANNOTATION } from '../../api/aws-annotations.ts';
import type { CloudAccount } from '../../api/cloud-account.ts';
import { APPLIED_ANNOTATION, type ServiceRequest } from '../../api/service.ts';
import type { Clock, Random, Timer } from '../../clock/clock.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../kube/objects.ts';
import type { Logger } from '../../observe/logger.ts';
import {
  type BeforeWrite,
  type CloudProvider,
  type Finding,
  type Ingress,
  type Outcome,
  RemovalPendingError,
} from '../provider.ts';
import { AccountWatch } from './account-watch.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';
import type { Known } from './known.ts';
import { NodeGroups } from './node-groups.ts';
import type { Owner } from './ownership.ts';
import { type Done, guarded, type PassResult, pass, prepare, type Refusal, remove } from './pass.ts';
import { type Place, Placement } from './placement.ts';
import { recognise } from './recognise.ts';
import { readHealth } from './target-health.ts';
import { Turns } from './turns.ts';

/** The API server's objects, as last heard. */
export interface AwsSources {
  service(key: string): ServiceObject | undefined;
  nodes(): readonly NodeObject[];
  slices(key: string): readonly EndpointSliceObject[];
  /** Services that a cloud account would serve. */
  candidates(): readonly string[];
  /** Of the namespace kube-system, '' where it is not known. */
  clusterUid(): string;
}

export interface OpenAccount {
  readonly account: CloudAccount;
  readonly api: AwsApi;
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
}

/** Milliseconds until a look at targets that AWS checks for the first time, and at those that did not pass. */
const FIRST_HEALTH_CHECK = 15_000;
const HEALTH_CHECK = 45_000;
/** Milliseconds until a Service whose account is missing is looked at again. */
const NO_ACCOUNT = 45_000;
const NOTHING: Ingress = { addresses: [] };

type Key = Pick<ServiceRequest, 'key'>;

export class AwsProvider implements CloudProvider {
  readonly #options: AwsProviderOptions;
  readonly #listeners = new Set<(key: string) => void>();
  readonly #placement = new Placement();
  /** Services whose load balancers are as they should be. */
  readonly #known = new Map<string, Known>();
  readonly #timers = new Map<string, Timer>();
  readonly #watches = new Map<string, AccountWatch>();
  /** By account: the groups of nodes and pods. */
  readonly #groups = new Map<string, NodeGroups>();
  #accounts: ReadonlyMap<string, OpenAccount> = new Map();
  /** Whether the accounts are known, be it that there are none. */
  readonly #opened = Promise.withResolvers<void>();
  #isOpened = false;
  readonly #turns = new Turns((key) => this.#tell(key));

  constructor(options: AwsProviderOptions) {
    this.#options = options;
  }

  /** By name. Services of an account that came or changed are asked for again. */
  setAccounts(accounts: ReadonlyMap<string, OpenAccount>): void {
    const before = this.#accounts;
    this.#accounts = accounts;
    this.#isOpened = true;
    this.#turns.divideAmong(accounts.size);
    this.#opened.resolve();
    for (const [name, watch] of this.#watches) {
      if (accounts.get(name) === before.get(name)) continue;
      watch.close();
      this.#watches.delete(name);
      this.#groups.delete(name);
    }
    for (const [name, open] of accounts) if (!this.#watches.has(name)) this.#watch(name, open);
    this.#tellAll();
  }

  /** Nodes or endpoints are others than before. `key`: of one Service alone. */
  targetsChanged(key?: string): void {
    if (key === undefined) this.#tellAll();
    else if (this.#placement.of(key).length > 0) this.#tell(key);
  }

  /** Services that are no more, and have something in the account. */
  orphansIn(account: string): readonly string[] {
    return this.#watches.get(account)?.orphans() ?? [];
  }

  accountOf(service: ServiceObject): string {
    return this.#openFor(service)?.account.name ?? '';
  }

  placesOf(service: ServiceObject): string | undefined {
    const names = this.#placement.recall(service).map(({ account }) => account);
    return names.length > 0 ? names.join(',') : undefined;
  }

  claim(service: ServiceObject): string | undefined {
    this.#placement.recall(service);
    const open = this.#openFor(service);
    if (open) this.#placement.put(service, open.account.name);
    return this.placesOf(service);
  }

  /** A host name in the status stays for as long as nobody asks AWS. */
  async keep({ key }: Key): Promise<Ingress> {
    const service = this.#options.sources.service(key);
    if (service) this.#placement.recall(service);
    const hostnames = service ? hostnamesOf(service) : [];
    return hostnames.length > 0 ? { addresses: [], hostnames } : NOTHING;
  }

  async ensure({ key }: Key, beforeWrite: BeforeWrite): Promise<Outcome | { readonly kind: 'waiting' }> {
    return this.#turns.asked(key, () => this.#ensure(key, beforeWrite));
  }

  async #ensure(key: string, beforeWrite: BeforeWrite): Promise<Outcome | { readonly kind: 'waiting' }> {
    const { sources } = this.#options;
    const service = sources.service(key);
    if (!this.#isOpened) return { kind: 'waiting' };
    if (!service) return { kind: 'refused', reason: 'NoService', message: 'the Service is gone', ...NOTHING };
    const open = this.#openFor(service);
    if (!open) return this.#withoutAccount(service);
    const { account } = open;
    this.#placement.recall(service);
    this.#placement.put(service, account.name);
    const prepared = prepare(account, {
      service,
      nodes: sources.nodes(),
      slices: sources.slices(key),
      clusterUid: sources.clusterUid(),
    });
    if (prepared.kind === 'refused') return this.#conclude(service, account.name, prepared);
    const { fingerprint, owner, asked } = prepared;
    const known = this.#knownFor(key, account.name, owner);
    if (known && known.asked !== asked) known.due = 'whole';
    const isAlone = this.#placement.of(key).length === 1;
    if (known?.fingerprint === fingerprint && known.due !== 'whole' && isAlone) {
      const { due, belief, desired } = known;
      if (due === 'nothing') return this.#shown(service, known);
      if (belief)
        return this.#turns.take(account.name, key, async () => {
          const health = await guarded(open.api, (api) => readHealth(api, desired, belief));
          if (!('kind' in health)) return this.#remember(service, { ...known, health });
          // It serves all the same, unless its target groups are gone.
          const next = health.reason === 'Settling' ? 'whole' : 'health';
          this.#askAgain(key, health.retryAfter, () => this.#expect(key, next));
          known.due = 'nothing';
          return this.#shown(service, known);
        });
    }
    if (!known && isAlone && service.metadata.annotations?.[APPLIED_ANNOTATION] === fingerprint) {
      const survey = await this.#watches.get(account.name)?.recent();
      const desired = survey && recognise(survey, account, prepared);
      if (desired) return this.#remember(service, { ...desired, account: account.name, fingerprint, asked });
    }
    return this.#turns.take(account.name, key, async () => {
      const believed = known?.due === 'whole' ? undefined : known?.belief;
      const result = await pass(
        fenced(open.api, beforeWrite),
        account,
        prepared,
        this.#nodeGroups(account.name),
        believed,
      );
      this.#known.delete(key);
      const whole = result.kind === 'done' ? await this.#leaveOthers(key, result, beforeWrite) : result;
      if (whole.kind !== 'done' || whole.notes.length + whole.unclear.length > 0)
        return this.#conclude(service, account.name, whole);
      const health = whole.health ?? known?.health;
      return this.#remember(service, {
        ...whole,
        account: account.name,
        fingerprint,
        asked,
        ...(health ? { health } : {}),
      });
    });
  }

  remove(key: string, beforeWrite: BeforeWrite): Promise<void> {
    return this.#turns.asked(key, () => this.#remove(key, beforeWrite));
  }

  async #remove(key: string, beforeWrite: BeforeWrite): Promise<void> {
    this.#cancel(key);
    this.#known.delete(key);
    const service = this.#options.sources.service(key);
    if (service) this.#placement.recall(service);
    else this.#placement.forget(key);
    if (this.#placement.of(key).length === 0) return;
    await this.#opened.promise;
    await this.#removeFrom(key, this.#placement.of(key), beforeWrite);
  }

  /** No two of its load balancers ever have one name. */
  async shows(): Promise<void> {}

  async listOwned(): Promise<readonly string[]> {
    return [...this.#placement.keys()];
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    for (const key of this.#timers.keys()) this.#cancel(key);
    for (const watch of this.#watches.values()) watch.close();
    this.#watches.clear();
  }

  #knownFor(key: string, account: string, { uid, cluster }: Owner): Known | undefined {
    const known = this.#known.get(key);
    const { owner } = known?.desired ?? {};
    const same = known?.account === account && owner?.uid === uid && owner.cluster === cluster;
    if (same) return known;
    this.#known.delete(key);
    return undefined;
  }

  #remember(service: ServiceObject, known: Omit<Known, 'checkedAt' | 'due'>): Outcome {
    const { clock } = this.#options;
    const full: Known = { ...known, checkedAt: clock.now(), due: 'nothing' };
    const key = keyOf(service);
    this.#known.set(key, full);
    this.#cancel(key);
    const finding = full.health ?? shownHealth(service);
    if (finding && finding.status !== 'True') {
      const after = finding.status === 'Unknown' ? FIRST_HEALTH_CHECK : HEALTH_CHECK;
      this.#askAgain(key, after, () => this.#expect(key, 'health'));
    }
    return this.#shown(service, full);
  }

  #shown(service: ServiceObject, { hostname, account, fingerprint, health }: Known): Outcome {
    const finding = health ? ({ type: 'TargetsHealthy', ...health } as const) : shownHealth(service);
    return {
      kind: 'done',
      addresses: [],
      hostnames: [hostname],
      ports: portsOf(service),
      source: account,
      applied: fingerprint,
      ...(finding ? { findings: [finding] } : {}),
    };
  }

  #conclude(service: ServiceObject, source: string, result: PassResult | Refusal): Outcome {
    const hostnames = result.hostname === undefined ? hostnamesOf(service) : [result.hostname];
    const ingress: Ingress =
      hostnames.length > 0 ? { addresses: [], hostnames, ports: portsOf(service), source } : NOTHING;
    const key = keyOf(service);
    if (result.kind === 'pending') this.#askAgain(key, result.retryAfter);
    // What only the user can mend is looked at again all the same: others may have changed what is there.
    else this.#askAgain(key, HEALTH_CHECK);
    if (result.kind !== 'done')
      return { kind: result.kind, reason: result.reason, message: result.message, ...ingress };
    const { notes, unclear } = result;
    const reason = notes.length > 0 ? 'NotChangeable' : 'NoNodeSecurityGroup';
    return { kind: 'refused', reason, message: [...notes, ...unclear].join('; '), ...ingress };
  }

  #withoutAccount(service: ServiceObject): Outcome {
    const { namespace = '', name } = service.metadata;
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    const message = named
      ? `Service/${namespace}/${name} names the CloudAccount "${named}", which is not there or cannot be used; create it, see its conditions, or correct the annotation ${CLOUD_ACCOUNT_ANNOTATION}`
      : `no CloudAccount that can be used is the default; write spec.default: true in one, see the conditions of the one that has it, or name one by the annotation ${CLOUD_ACCOUNT_ANNOTATION}`;
    // An account that comes asks for everybody who waits.
    this.#askAgain(keyOf(service), NO_ACCOUNT);
    const hostnames = hostnamesOf(service);
    return {
      kind: 'pending',
      reason: 'NoCloudAccount',
      message,
      addresses: [],
      ...(hostnames.length > 0 ? { hostnames, ports: portsOf(service) } : {}),
    };
  }

  #isFor(key: string, account: string): boolean {
    const service = this.#options.sources.service(key);
    return service !== undefined && this.accountOf(service) === account;
  }

  #openFor(service: ServiceObject): OpenAccount | undefined {
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    if (named) return this.#accounts.get(named);
    return [...this.#accounts.values()].find(({ account }) => account.isDefault);
  }

  /** What serves in its new account is done when nothing is left in the old one. */
  async #leaveOthers(key: string, done: Done, beforeWrite: BeforeWrite): Promise<PassResult> {
    try {
      await this.#removeFrom(key, this.#placement.of(key).slice(1), beforeWrite);
      return done;
    } catch (error) {
      if (!(error instanceof RemovalPendingError)) throw error;
      const { reason, message, retryAfter } = error;
      return { kind: 'pending', reason, message, retryAfter, hostname: done.hostname };
    }
  }

  /** Each place is forgotten when nothing is left there. */
  async #removeFrom(key: string, places: readonly Place[], beforeWrite: BeforeWrite): Promise<void> {
    for (const place of places) {
      const open = this.#accounts.get(place.account);
      if (!open) {
        const message = `the CloudAccount "${place.account}", which holds its load balancer, is gone or not valid; bring it back until the load balancer is removed`;
        throw new RemovalPendingError({ reason: 'NoCloudAccount', message, retryAfter: NO_ACCOUNT });
      }
      const { clusterName: cluster } = open.account;
      const owner = { cluster, key, uid: place.uid, clusterUid: this.#options.sources.clusterUid() };
      const last = this.#options.sources.candidates().every((each) => each === key);
      const { explicitName } = place;
      const result = await remove(fenced(open.api, beforeWrite), open.account, owner, { explicitName, last });
      if (result.kind === 'pending') throw new RemovalPendingError(result);
      this.#placement.remove(key, place);
    }
  }

  #nodeGroups(account: string): NodeGroups {
    const found = this.#groups.get(account) ?? new NodeGroups(this.#options.clock);
    this.#groups.set(account, found);
    return found;
  }

  #watch(name: string, open: OpenAccount): void {
    const { clock, random, driftCheck, orphanGrace, log, onLook, sources } = this.#options;
    const watch = new AccountWatch({
      open,
      clock,
      random,
      driftCheck,
      orphanGrace,
      log,
      clusterUid: () => sources.clusterUid(),
      known: () => [...this.#known].filter(([, { account }]) => account === name),
      served: () => sources.candidates().filter((key) => this.#isFor(key, name)),
      nodeGroups: this.#nodeGroups(name),
      isServed: ({ key, uid }) => this.#placement.of(key).some((each) => each.uid === uid),
      onSuspect: (key) => {
        this.#expect(key, 'whole');
        this.#tell(key);
      },
      onVerified: (key, { health: before }, health) => {
        const service = sources.service(key);
        const found = this.#known.get(key);
        if (!service || !found) return;
        this.#remember(service, { ...found, health });
        if (before?.status !== health.status || before.message !== health.message) this.#tell(key);
      },
      onLook,
    });
    this.#watches.set(name, watch);
    watch.start();
    // Whether the account works is known at once.
    void watch.recent().then(onLook);
  }

  #expect(key: string, due: 'health' | 'whole'): void {
    const known = this.#known.get(key);
    if (known && known.due !== 'whole') known.due = due;
  }

  #askAgain(key: string, after: number, before = () => {}): void {
    this.#cancel(key);
    const { clock, random } = this.#options;
    const timer = clock.setTimer(after * (1 + random() / 4), () => {
      this.#timers.delete(key);
      before();
      this.#tell(key);
    });
    this.#timers.set(key, timer);
  }

  #cancel(key: string): void {
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }

  #tellAll(): void {
    for (const key of new Set([...this.#placement.keys(), ...this.#options.sources.candidates()]))
      this.#tell(key);
  }

  #tell(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }
}

/** The same API for one run: it sends nothing once another controller may be at work on the Service. */
function fenced(api: AwsApi, beforeWrite: BeforeWrite): AwsApi {
  return <A extends AwsAction>(action: A, input: AwsActions[A][0]) => api(action, input, beforeWrite);
}

function keyOf({ metadata: { namespace = '', name } }: ServiceObject): string {
  return `${namespace}/${name}`;
}

function hostnamesOf({ status }: ServiceObject): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ hostname = [] }) => hostname);
}

function portsOf({ spec }: ServiceObject): NonNullable<Ingress['ports']> {
  return (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => ({ port, protocol }));
}

/** What the Service says of its targets stays until somebody looks. */
function shownHealth({ status }: ServiceObject): Finding | undefined {
  const shown = status?.conditions?.find(({ type }) => type === 'fairlead.dev/TargetsHealthy');
  return (
    shown && { type: 'TargetsHealthy', status: shown.status, reason: shown.reason, message: shown.message }
  );
}
