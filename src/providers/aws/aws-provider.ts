// Network load balancers as a provider: chooses the account, runs passes, and tells when to ask again. It keeps in
// memory only what a restart may forget; whose an object is stands in its tags.
import { AwsAnnotations, CLOUD_ACCOUNT_ANNOTATION } from '../../api/aws-annotations.ts';
import type { CloudAccount } from '../../api/cloud-account.ts';
import type { ServiceRequest } from '../../api/service.ts';
import type { Random } from '../../clock/clock.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../kube/objects.ts';
import type { BeforeWrite, Ingress, Outcome, Provider } from '../provider.ts';
import type { AwsAction, AwsActions, AwsApi } from './aws-api.ts';
import type { Owner } from './ownership.ts';
import { ensure, type PassResult, type RemovalResult, remove } from './pass.ts';

/** The API server's objects, as last heard. */
export interface AwsSources {
  service(key: string): ServiceObject | undefined;
  nodes(): readonly NodeObject[];
  slices(key: string): readonly EndpointSliceObject[];
}

export interface OpenAccount {
  readonly account: CloudAccount;
  readonly api: AwsApi;
}

export interface AwsProviderOptions {
  readonly sources: AwsSources;
  readonly random: Random;
}

/** Milliseconds from a pass with nothing to do to the next look for what others changed. */
const DRIFT_CHECK = 45_000;
const NOTHING: Ingress = { addresses: [] };

type Key = Pick<ServiceRequest, 'key'>;

/** A removal that AWS has not finished; the key is to come again. */
export class RemovalPendingError extends Error {
  override readonly name = 'RemovalPending';
  readonly reason: string;
  /** Milliseconds. */
  readonly retryAfter: number;

  constructor({ reason, message, retryAfter }: Extract<RemovalResult, { readonly kind: 'pending' }>) {
    super(message);
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

interface Placed {
  readonly owner: Owner;
  readonly account: string;
  readonly explicitName: string | undefined;
}

export class AwsProvider implements Provider {
  readonly #options: AwsProviderOptions;
  readonly #listeners = new Set<(key: string) => void>();
  /** Those without an account. */
  readonly #waiting = new Set<string>();
  /** Where each Service has, or may have, something: the account of now first, then those that it moved away from. */
  readonly #placed = new Map<string, readonly Placed[]>();
  #accounts: ReadonlyMap<string, OpenAccount> = new Map();

  constructor(options: AwsProviderOptions) {
    this.#options = options;
  }

  /** By name. Services of an account that came or changed are asked for again. */
  setAccounts(accounts: ReadonlyMap<string, OpenAccount>): void {
    this.#accounts = accounts;
    for (const key of this.#placed.keys()) this.#tell(key);
    for (const key of this.#waiting) this.#tell(key);
  }

  /** A host name in the status stays for as long as nobody asks AWS. */
  async keep({ key }: Key): Promise<Ingress> {
    const service = this.#options.sources.service(key);
    const open = service && this.#accountOf(service);
    const hostnames = service ? hostnamesOf(service) : [];
    if (service && open && hostnames.length > 0) this.#place(service, open);
    return hostnames.length > 0 ? { addresses: [], hostnames } : NOTHING;
  }

  async ensure({ key }: Key, beforeWrite: BeforeWrite): Promise<Outcome> {
    const { sources } = this.#options;
    const service = sources.service(key);
    if (!service) return { kind: 'refused', reason: 'NoService', message: 'the Service is gone', ...NOTHING };
    const open = this.#accountOf(service);
    if (!open) return this.#withoutAccount(key, service);
    this.#waiting.delete(key);
    this.#place(service, open);
    const inputs = { service, nodes: sources.nodes(), slices: sources.slices(key) };
    const result = await ensure(fenced(open.api, beforeWrite), open.account, inputs);
    const whole = result.kind === 'done' ? await this.#leaveOthers(key, result, beforeWrite) : result;
    return this.#conclude(service, open.account.name, whole);
  }

  /** Rejects with RemovalPendingError while something is left. */
  async remove(key: string, beforeWrite: BeforeWrite): Promise<void> {
    this.#waiting.delete(key);
    const service = this.#options.sources.service(key);
    const open = service && this.#accountOf(service);
    if (service && open && !this.#placed.has(key)) this.#place(service, open);
    await this.#removeFrom(key, 0, beforeWrite);
    this.#placed.delete(key);
  }

  /** No two of its load balancers ever have one name. */
  async shows(): Promise<void> {}

  async listOwned(): Promise<readonly string[]> {
    return [...this.#placed.keys()];
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #conclude(service: ServiceObject, source: string, result: PassResult): Outcome {
    const hostnames = result.hostname === undefined ? hostnamesOf(service) : [result.hostname];
    const ingress: Ingress = hostnames.length > 0 ? { addresses: [], hostnames, source } : NOTHING;
    const { random } = this.#options;
    const again = (result.kind === 'pending' ? result.retryAfter : DRIFT_CHECK) * (1 + random() / 4);
    if (result.kind !== 'done')
      return { kind: result.kind, reason: result.reason, message: result.message, again, ...ingress };
    if (result.notes.length === 0) return { kind: 'done', again, ...ingress };
    return { kind: 'refused', reason: 'NotChangeable', message: result.notes.join('; '), again, ...ingress };
  }

  #withoutAccount(key: string, service: ServiceObject): Outcome {
    const { namespace = '', name } = service.metadata;
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    const message = named
      ? `Service/${namespace}/${name} names the CloudAccount "${named}", which is not there or not valid; create it, or correct the annotation ${CLOUD_ACCOUNT_ANNOTATION}`
      : `no CloudAccount is the default; write spec.default: true in one, or name one by the annotation ${CLOUD_ACCOUNT_ANNOTATION}`;
    this.#waiting.add(key);
    const hostnames = hostnamesOf(service);
    return {
      kind: 'pending',
      reason: 'NoCloudAccount',
      message,
      again: DRIFT_CHECK,
      addresses: [],
      ...(hostnames.length > 0 ? { hostnames } : {}),
    };
  }

  #accountOf(service: ServiceObject): OpenAccount | undefined {
    const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
    if (named) return this.#accounts.get(named);
    return [...this.#accounts.values()].find(({ account }) => account.isDefault);
  }

  #place(service: ServiceObject, { account }: OpenAccount): void {
    const { namespace = '', name, uid = '' } = service.metadata;
    const key = `${namespace}/${name}`;
    const placed: Placed = {
      owner: { cluster: account.clusterName, key, uid },
      account: account.name,
      explicitName: new AwsAnnotations(service).get('name')?.value,
    };
    const others = (this.#placed.get(key) ?? []).filter((each) => !samePlace(each, placed));
    this.#placed.set(key, [placed, ...others]);
  }

  /** What serves in its new account is done when nothing is left in the old one. */
  async #leaveOthers(
    key: string,
    done: Extract<PassResult, { readonly kind: 'done' }>,
    beforeWrite: BeforeWrite,
  ): Promise<PassResult> {
    try {
      await this.#removeFrom(key, 1, beforeWrite);
      return done;
    } catch (error) {
      if (!(error instanceof RemovalPendingError)) throw error;
      const { reason, message, retryAfter } = error;
      return { kind: 'pending', reason, message, retryAfter, hostname: done.hostname };
    }
  }

  /** Removes what the Service has in all places but the first `kept`; each is forgotten when nothing is left there. */
  async #removeFrom(key: string, kept: number, beforeWrite: BeforeWrite): Promise<void> {
    for (const { owner, account, explicitName } of (this.#placed.get(key) ?? []).slice(kept)) {
      const open = this.#accounts.get(account);
      if (!open) {
        const message = `the CloudAccount "${account}", which holds its load balancer, is gone; bring it back until the load balancer is removed`;
        throw new RemovalPendingError({
          kind: 'pending',
          reason: 'NoCloudAccount',
          message,
          retryAfter: DRIFT_CHECK,
        });
      }
      const result = await remove(fenced(open.api, beforeWrite), open.account, owner, explicitName);
      if (result.kind === 'pending') throw new RemovalPendingError(result);
      this.#placed.set(
        key,
        (this.#placed.get(key) ?? []).filter((each) => each.owner !== owner),
      );
    }
  }

  #tell(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }
}

/** The same API for one run: it sends nothing once another controller may be at work on the Service. */
function fenced(api: AwsApi, beforeWrite: BeforeWrite): AwsApi {
  return <A extends AwsAction>(action: A, input: AwsActions[A][0]) => api(action, input, beforeWrite);
}

function hostnamesOf({ status }: ServiceObject): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ hostname = [] }) => hostname);
}

function samePlace(a: Placed, b: Placed): boolean {
  return a.account === b.account && a.owner.uid === b.owner.uid && a.owner.cluster === b.owner.cluster;
}
