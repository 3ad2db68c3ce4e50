// Cloud accounts: read all at once, opened with their credentials, and told whether each works.
import { createHash } from 'node:crypto';
import { type CheckedAccounts, type CloudAccount, checkAccounts } from '../api/cloud-account.ts';
import type { Clock, Timer } from '../clock/clock.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { KubeObject } from '../kube/objects.ts';
import { CLOUD_ACCOUNTS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import { AccountHealth } from '../providers/aws/account-health.ts';
import type { AwsProvider, OpenAccount } from '../providers/aws/aws-provider.ts';
import { limited } from '../providers/aws/rate-limit.ts';
import type { AwsConnection, Credentials } from '../providers/aws/sdk.ts';
import { MemoryTokenBuckets, type TokenBuckets } from '../queue/token-buckets.ts';
import { type ConfigState, configPatch } from '../status/config-status.ts';
import type { Statement } from '../status/pool-conditions.ts';
import { readCredentials } from './credentials.ts';
import { FIELD_MANAGER } from './service-writer.ts';

/** Milliseconds between two looks at the Secrets: they are read by name, and not watched. */
const SECRETS_CHECK = 30_000;
/** Milliseconds in which changes are gathered into one write for each account. */
const WRITE_DELAY = 200;
/** Milliseconds from the opening of a connection to the end of the one before. */
const CLOSE_DELAY = 60_000;
/** Milliseconds until a write that failed is tried again. */
const RETRY_DELAY = 2_000;

export interface CloudAccountsOptions {
  readonly api: KubeApi;
  readonly accounts: Store<KubeObject>;
  readonly provider: AwsProvider;
  /** Awaited before the first account is opened: what its Services depend on is known then. */
  readonly ready: () => Promise<unknown>;
  /** `credentials` undefined: the SDK's own chain. */
  readonly connect: (
    account: CloudAccount['aws'],
    credentials: Credentials | undefined,
  ) => Promise<AwsConnection>;
  /** Whether this controller writes the accounts' statuses. */
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An account that is open, as what. */
interface Opened {
  readonly print: string;
  readonly open: OpenAccount;
  readonly connection: AwsConnection;
  readonly health: AccountHealth;
}

export class CloudAccounts {
  readonly #options: CloudAccountsOptions;
  readonly #opened = new Map<string, Opened>();
  readonly #missing = new Map<string, string>();
  #checked: CheckedAccounts = { accounts: new Map(), problems: new Map() };
  #reading: Promise<void> | undefined;
  /** As last read, by name. */
  #specs: ReadonlyMap<string, string | undefined> = new Map();
  #again = false;
  #isFirst = true;
  #checking: Timer | undefined;
  #writing: Timer | undefined;
  #stopped = false;
  #buckets: TokenBuckets;

  constructor(options: CloudAccountsOptions) {
    this.#options = options;
    this.#buckets = new MemoryTokenBuckets(options.clock);
  }

  /** Resolves when the accounts that there are have been opened; follows their changes until `signal` aborts. */
  async start(signal: AbortSignal, buckets: TokenBuckets): Promise<void> {
    this.#buckets = buckets;
    const unsubscribe = this.#options.accounts.subscribe((name, object) => {
      if (this.#specs.get(name) === specOf(object)) this.changed();
      else void this.#read();
    });
    signal.addEventListener('abort', () => {
      this.#stopped = true;
      unsubscribe();
      for (const timer of [this.#checking, this.#writing]) timer?.cancel();
      for (const { connection } of this.#opened.values()) connection.close();
    });
    await this.#read();
  }

  /** What there is to say of an account may have changed. */
  changed(): void {
    if (this.#stopped || !this.#options.leads()) return;
    this.#writing ??= this.#options.clock.setTimer(WRITE_DELAY, () => {
      this.#writing = undefined;
      for (const object of this.#options.accounts.values()) void this.#write(object);
    });
  }

  /** One reading at a time; what changes meanwhile is read by another. */
  #read(): Promise<void> {
    this.#again = this.#reading !== undefined;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
      if (this.#again && !this.#stopped) void this.#read();
    });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    const { accounts, provider, clock, log } = this.#options;
    this.#checking?.cancel();
    this.#specs = new Map([...accounts.values()].map((each) => [each.metadata.name, specOf(each)]));
    this.#checked = checkAccounts([...accounts.values()]);
    this.changed();
    if (this.#checked.accounts.size > 0) await this.#options.ready();
    if (this.#stopped) return;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const before = new Map([...this.#opened].map(([name, { print }]) => [name, print]));
    for (const account of this.#checked.accounts.values()) {
      try {
        await this.#open(account);
      } catch (error) {
        log.error({ account: account.name, error }, 'a cloud account could not be opened; will try again');
      }
    }
    if (this.#stopped) return;
    for (const [name, { connection }] of this.#opened) {
      if (this.#checked.accounts.has(name)) continue;
      this.#opened.delete(name);
      connection.close();
      log.info({ account: name }, 'closed a cloud account');
    }
    const names = [...this.#opened.keys()];
    const same =
      names.length === before.size &&
      names.every((name) => before.get(name) === this.#opened.get(name)?.print);
    if (!same || isFirst)
      provider.setAccounts(new Map([...this.#opened].map(([name, { open }]) => [name, open])));
    this.changed();
    const secrets = [...this.#checked.accounts.values()].some(({ aws }) => aws.credentialsSecret);
    if (secrets) this.#checking = clock.setTimer(SECRETS_CHECK, () => void this.#read());
  }

  /** Anew where the account or its credentials changed; one whose Secret cannot be read stays as it is. */
  async #open(account: CloudAccount): Promise<void> {
    const { connect, clock, log } = this.#options;
    const { name, aws } = account;
    const secret = await readCredentials(this.#options.api, account);
    if (secret.kind === 'missing') {
      this.#missing.set(name, secret.message);
      return;
    }
    this.#missing.delete(name);
    const print = JSON.stringify([account, secret.credentials]);
    const before = this.#opened.get(name);
    if (before?.print === print) return;
    const connection = await connect(aws, secret.credentials);
    if (this.#stopped) return connection.close();
    const health = new AccountHealth();
    const allowed = limited(connection.api, name, aws.rateLimits, this.#buckets);
    const api = health.watched(allowed, () => this.changed());
    this.#opened.set(name, { print, connection, health, open: { account, api, print: hashOf(print) } });
    // What is under way on the old one may end.
    if (before) clock.setTimer(CLOSE_DELAY, () => before.connection.close());
    log.info({ account: name, region: aws.region }, 'opened a cloud account');
  }

  async #write(object: KubeObject): Promise<void> {
    const { api, log, clock } = this.#options;
    const { name } = object.metadata;
    const state: ConfigState = {
      problems: this.#checked.problems.get(name) ?? [],
      statements: this.#statements(name),
    };
    const patch = configPatch(object, state, clock.wallTime());
    if (!patch) return;
    try {
      const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
      await api.patch(CLOUD_ACCOUNTS, { name }, patch, options);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return;
      log.warn({ account: name, error }, 'writing the status of a cloud account failed; will try again');
      clock.setTimer(RETRY_DELAY, () => this.changed());
    }
  }

  #statements(name: string): Statement[] {
    if (!this.#checked.accounts.has(name)) return [];
    const statements: Statement[] = [];
    const missing = this.#missing.get(name);
    const verdict = this.#opened.get(name)?.health.verdict();
    if (missing)
      statements.push({ type: 'Works', status: 'False', reason: 'CredentialsMissing', message: missing });
    else if (verdict)
      statements.push({
        type: 'Works',
        status: verdict.works ? 'True' : 'False',
        reason: verdict.reason,
        message: verdict.message,
      });
    const orphans = this.#options.provider.orphansIn(name);
    if (orphans.length > 0)
      statements.push({
        type: 'Orphans',
        reason: 'NoService',
        message: `there are load balancers, target groups or security groups of Services that are gone: ${[...new Set(orphans)].join(', ')}; they are removed after the grace time (--orphan-grace)`,
      });
    return statements;
  }
}

/** No secret leaves this file. */
function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

/** Undefined where the account is gone. */
function specOf(object: KubeObject | undefined): string | undefined {
  return JSON.stringify((object as { spec?: unknown } | undefined)?.spec); // of our own kind
}
