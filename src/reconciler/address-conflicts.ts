// Addresses that a host outside the cluster uses, as agents say in Announcements: with --on-conflict reallocate their
// Services get others, and nobody gets these until another agent finds on the wire that nobody has them.
import type { Clock, Timer } from '../clock/clock.ts';
import type { JournalEntry } from '../ipam/journal.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { KubeObject, ServiceObject } from '../kube/objects.ts';
import { ANNOUNCEMENTS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import { type Ip, parseIp } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import type { Logger } from '../observe/logger.ts';
import { type AnnouncementObject, outOfUsePatch } from '../status/announcement.ts';
import { reallocatedEvent } from '../status/conflict-event.ts';
import { FIELD_MANAGER } from './service-writer.ts';

/**
 * Addresses that are out of use at a time. A host that claims every address is to empty no pool: what it claims
 * beyond these is withheld by the agents, and stays with its Service.
 */
const MOST_OUT_OF_USE = 16;
/** Milliseconds between two looks whether anybody still has an address. */
const LOOK_EVERY = 2_000;
/** Looks in a row, by different agents where there are several, that must find nobody. */
const LOOKS = 3;

/** The MACs that an agent sees answer for an address; undefined: none could be asked, or is on its link. */
type Look = (address: Ip) => Promise<readonly Mac[] | undefined>;

interface AddressConflictsOptions {
  readonly api: KubeApi;
  readonly services: Store<ServiceObject>;
  readonly announcements: Store<KubeObject>;
  readonly look: Look;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Other addresses are out of use now. */
  readonly onChange: () => void;
}

export class AddressConflicts {
  readonly #options: AddressConflictsOptions;
  /** What is said of each, and how many looks in a row have found nobody. */
  #outOfUse = new Map<Ip, { readonly said: AnnouncementObject; silent: number }>();

  constructor(options: AddressConflictsOptions) {
    this.#options = options;
  }

  /** Addresses that no Service is to have, or get. */
  get outOfUse(): ReadonlySet<Ip> {
    return new Set(this.#outOfUse.keys());
  }

  /** Follows the Announcements until `signal` aborts; those that are there count at once. */
  start(signal: AbortSignal): void {
    this.#read();
    const unsubscribe = this.#options.announcements.subscribe(() => this.#read());
    let timer: Timer | undefined;
    const lookLater = () => {
      if (!signal.aborted) timer = this.#options.clock.setTimer(LOOK_EVERY, () => void look());
    };
    const look = async () => {
      for (const address of this.#outOfUse.keys())
        if (!signal.aborted && this.#isFree(address)) await this.#look(address);
      lookLater();
    };
    lookLater();
    signal.addEventListener('abort', () => {
      unsubscribe();
      timer?.cancel();
    });
  }

  /** Tells the Service that lost an address in this way. */
  hear({ cause, service: key, before, after }: JournalEntry): void {
    const service = this.#options.services.get(key);
    const lost = before.filter((address) => !after.includes(address));
    if (cause !== 'conflict' || !service || lost.length === 0) return;
    this.#options.events.record({ ...service, apiVersion: 'v1', kind: 'Service' }, reallocatedEvent(lost));
  }

  #read(): void {
    const { announcements, log, onChange } = this.#options;
    const said = new Map<Ip, AnnouncementObject>();
    for (const object of announcements.values()) {
      const announcement = object as AnnouncementObject; // its schema holds it
      const address = parseIp(announcement.status?.address ?? '');
      if (address.kind === 'parsed' && isConflict(announcement)) said.set(address.value, announcement);
    }
    const before = this.#outOfUse;
    const known = [...said].filter(([address]) => before.has(address));
    const fresh = [...said].filter(([address]) => !before.has(address)).sort(([, a], [, b]) => byTime(a, b));
    const kept = [...known, ...fresh.slice(0, Math.max(0, MOST_OUT_OF_USE - known.length))];
    this.#outOfUse = new Map(
      kept.map(([address, each]) => [address, { said: each, silent: before.get(address)?.silent ?? 0 }]),
    );
    const taken = [...this.#outOfUse.keys()].filter((address) => !before.has(address));
    const given = [...before.keys()].filter((address) => !this.#outOfUse.has(address));
    for (const address of taken) log.warn({ address }, 'out of use: a host outside the cluster has it');
    for (const address of given) log.info({ address }, 'of use again: no other host has it');
    if (taken.length + given.length > 0) onChange();
  }

  /** Whether no Service shows it: where one does, the node that has it is who looks. */
  #isFree(address: Ip): boolean {
    for (const { status } of this.#options.services.values())
      if (status?.loadBalancer?.ingress?.some(({ ip }) => ip === address)) return false;
    return true;
  }

  async #look(address: Ip): Promise<void> {
    const { api, clock, log, look } = this.#options;
    const said = this.#outOfUse.get(address)?.said;
    if (!said) return;
    const { name } = said.metadata;
    try {
      const patch = outOfUsePatch(said, clock.wallTime());
      if (patch)
        await api.patch(ANNOUNCEMENTS, { name }, patch, { type: 'merge', fieldManager: FIELD_MANAGER });
      const macs = await look(address);
      const known = this.#outOfUse.get(address);
      if (!macs || !known) return;
      known.silent = macs.length > 0 ? 0 : known.silent + 1;
      // With it goes the only word of a conflict. The next owner asks the link, too, before it answers.
      if (known.silent >= LOOKS) await api.delete(ANNOUNCEMENTS, { name });
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return; // the watch is about to tell
      log.warn({ address, error: (error as Error).message }, 'cannot look after a conflict; will try again');
    }
  }
}

function isConflict({ status }: AnnouncementObject): boolean {
  return status.conditions?.some((each) => each.type === 'Conflict' && each.status === 'True') ?? false;
}

function byTime(a: AnnouncementObject, b: AnnouncementObject): number {
  const [first, second] = [a, b].map(
    ({ metadata, status }) =>
      `${status.conditions.find(({ type }) => type === 'Conflict')?.lastTransitionTime} ${metadata.name}`,
  );
  return (first ?? '') < (second ?? '') ? -1 : 1;
}
