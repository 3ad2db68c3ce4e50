// One of several like processes leads: the one that holds a Lease. Others wait. Measured on each one's own
// monotonic clock, so that no calendar that is wrong makes two leaders.
import { type Clock, type Random, sleep } from '../clock/clock.ts';
import type { Logger } from '../observe/logger.ts';
import { complaintOf } from './complaint.ts';
import { type KubeApi, KubeError, type ObjectName } from './kube-api.ts';
import { type LeaseObject, nextMove, specAfter, specReleased } from './lease.ts';
import { LEASES } from './resources.ts';

/** Milliseconds, with client-go's meaning (tools/leaderelection, LeaderElectionConfig). */
export interface LeaseTimes {
  /** A candidate takes over from a leader that it has not seen renew for so long. Whole seconds. */
  readonly leaseDuration: number;
  /** A leader that could not renew for so long leads no more: what it sent last has the rest to arrive in. */
  readonly renewDeadline: number;
  /** Between two tries to renew, or to take over. */
  readonly retryPeriod: number;
}

export interface LeaderElectionOptions {
  readonly api: KubeApi;
  readonly lease: Required<ObjectName>;
  /** Of this process alone. */
  readonly identity: string;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Term {
  /** Aborts when the term ends. */
  readonly signal: AbortSignal;
  /** To be asked right before each write. */
  mayWrite(): boolean;
}

/** The part of the renew deadline after which a try is given up for another. */
const TRY_PART = 0.5;
/** The longest that giving the lease back may hold up a stop, in milliseconds. */
const RELEASE_PATIENCE = 500;

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  /** The lease as last seen, and since when it has been so. */
  #seen: { readonly version: string | undefined; readonly since: number } | undefined;
  /** When another's lease, as last seen, will have run out. */
  #free = Number.NEGATIVE_INFINITY;
  /** As we wrote it last: renewed without reading it first. */
  #mine: LeaseObject | undefined;
  #attempting: Promise<void> = Promise.resolve();
  /** Until then the right to lead lasts. */
  #until = Number.NEGATIVE_INFINITY;
  /** The last problem that was logged; the same one is not logged again. */
  #said: string | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
  }

  leads(): boolean {
    return this.#options.clock.now() < this.#until;
  }

  /**
   * Runs `lead` for each term of ours, until `signal` aborts or `lead` ends by itself; gives the lease back then.
   * `lead` must end soon after its term's signal aborts. Rejects when it does.
   */
  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    const { clock, random, times, log, lease } = this.#options;
    log.info({ lease: `${lease.namespace}/${lease.name}` }, 'waiting to lead');
    while (!signal.aborted) {
      await this.#try(signal);
      if (signal.aborted) break;
      if (!this.leads()) await sleep(clock, this.#pause(times.retryPeriod * (0.8 + 0.4 * random())), signal);
      else if ((await this.#serve(signal, lead)) === 'ended') return;
    }
    await this.#release();
  }

  /** A lease that runs out is taken then, and not with the next look. */
  #pause(usual: number): number {
    const left = this.#free - this.#options.clock.now();
    return left > 0 ? Math.min(usual, left) : usual;
  }

  async #serve(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<'lost' | 'ended'> {
    const { log } = this.#options;
    log.info('leading');
    const end = new AbortController();
    const onAbort = () => end.abort();
    signal.addEventListener('abort', onAbort);
    let over = false;
    const term: Term = { signal: end.signal, mayWrite: () => !over && this.leads() };
    const work = lead(term).finally(() => end.abort());
    work.catch(() => {}); // awaited below
    await this.#renewUntil(end.signal);
    const lost = !end.signal.aborted;
    if (lost) {
      over = true; // even if a renewal that was given up arrives after all
      log.error('could not renew the lease in time; leading no more');
    }
    end.abort();
    try {
      await work;
    } finally {
      over = true;
      signal.removeEventListener('abort', onAbort);
      if (!lost) await this.#release();
    }
    return lost ? 'lost' : 'ended';
  }

  /** Returns when `signal` aborts, or the right to lead is over. */
  async #renewUntil(signal: AbortSignal): Promise<void> {
    const { clock, times } = this.#options;
    while (this.leads() && !signal.aborted) {
      await sleep(clock, Math.min(times.retryPeriod, this.#until - clock.now()), signal);
      if (signal.aborted || !this.leads()) return;
      await this.#try(signal);
    }
  }

  /** One try to hold the lease, given up when it takes too long or `signal` aborts. */
  async #try(signal: AbortSignal): Promise<void> {
    const { clock, times } = this.#options;
    const enough = new AbortController();
    const stop = () => enough.abort();
    signal.addEventListener('abort', stop);
    let failure: Error | undefined = new Error('no answer in time');
    this.#attempting = this.#attempt().then(
      () => {
        failure = undefined;
        stop();
      },
      (error: Error) => {
        failure = error;
        stop();
      },
    );
    const left = this.leads() ? this.#until - clock.now() : Number.POSITIVE_INFINITY;
    await sleep(clock, Math.min(left, times.renewDeadline * TRY_PART), enough.signal);
    signal.removeEventListener('abort', stop);
    if (signal.aborted) return;
    if (failure) this.#mine = undefined;
    this.#complain(failure);
  }

  async #attempt(): Promise<void> {
    const { api, lease: place, identity, times, clock } = this.#options;
    const lease = this.#mine ?? (await this.#read());
    const version = lease?.metadata.resourceVersion;
    if (this.#seen?.version !== version) this.#seen = { version, since: clock.now() };
    const { since } = this.#seen ?? { since: clock.now() };
    const move = nextMove(lease, identity, clock.now() - since);
    if (move === 'wait') {
      this.#free = since + (lease?.spec?.leaseDurationSeconds ?? 0) * 1000 + 1;
      this.#until = Number.NEGATIVE_INFINITY;
      return;
    }
    const sent = clock.now();
    const spec = specAfter(move, lease, {
      identity,
      leaseDuration: times.leaseDuration,
      now: clock.wallTime(),
    });
    const written =
      move === 'create'
        ? await api.create(LEASES, {
            apiVersion: 'coordination.k8s.io/v1',
            kind: 'Lease',
            metadata: place,
            spec,
          })
        : await this.#patch(spec, version);
    this.#mine = written;
    this.#until = Math.max(this.#until, sent + times.renewDeadline);
  }

  async #read(): Promise<LeaseObject | undefined> {
    const { api, lease } = this.#options;
    try {
      return await api.get(LEASES, lease);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  #patch(spec: object, resourceVersion: string | undefined): Promise<LeaseObject> {
    const { api, lease } = this.#options;
    const body = { metadata: { resourceVersion }, spec };
    return api.patch(LEASES, lease, body, { type: 'merge', fieldManager: 'fairlead-controller' });
  }

  /** The next one need not wait for the lease to run out. */
  async #release(): Promise<void> {
    const { clock, log } = this.#options;
    const giving = this.#giveBack().catch((error: Error) =>
      log.warn({ error: error.message }, 'could not give the lease back; it runs out'),
    );
    await Promise.race([giving, sleep(clock, RELEASE_PATIENCE)]);
  }

  async #giveBack(): Promise<void> {
    const { clock, log, identity } = this.#options;
    await this.#attempting;
    if (!this.leads()) return;
    this.#until = Number.NEGATIVE_INFINITY;
    const lease = this.#mine ?? (await this.#read());
    this.#mine = undefined;
    if (lease?.spec?.holderIdentity !== identity) return;
    await this.#patch(specReleased(clock.wallTime()), lease.metadata.resourceVersion);
    log.info('gave the lease back');
  }

  #complain(error: Error | undefined): void {
    // 409: another was faster. What it wrote is read with the next try.
    if (error instanceof KubeError && error.status === 409) return;
    if (this.#said === error?.message) return;
    this.#said = error?.message;
    if (!error) return;
    const { log } = this.#options;
    const complaint = complaintOf(error);
    switch (complaint?.about) {
      case 'denied':
        log.error(
          { error: error.message },
          'the API server denies access to the lease; grant get, create and patch on leases (deploy/rbac)',
        );
        return;
      case 'unknown':
      case 'untrusted':
      case 'credentials':
        log.error({ error: error.message }, complaint.message);
        return;
      default:
        log.warn({ error: error.message }, 'cannot take or renew the lease; will try again');
    }
  }
}
