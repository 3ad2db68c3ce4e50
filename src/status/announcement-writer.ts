// Writes what this node says of addresses: when it changes, and at no other time.
import type { Clock, Timer } from '../clock/clock.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { ANNOUNCEMENTS } from '../kube/resources.ts';
import type { Ip } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import { type Announced, type AnnouncementObject, announcementOf } from './announcement.ts';

/** Milliseconds in which changes of what others may do are gathered: a node that goes changes it for every address. */
const GATHER = 3_000;
/** Milliseconds until a write that failed is tried again. */
const RETRY = 5_000;
/** Written at the same time. */
const AT_ONCE = 4;
const FIELD_MANAGER = 'fairlead-agent';

export interface AnnouncementWriterOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly log: Logger;
  /** Asked right before each write: whether this node still speaks for the address. */
  readonly speaksFor: (announced: Announced) => boolean;
}

interface Written {
  readonly print: string;
  readonly object: AnnouncementObject;
}

export class AnnouncementWriter {
  readonly #options: AnnouncementWriterOptions;
  /** What was last told of each, and what of that has been written. */
  readonly #told = new Map<
    Ip,
    { readonly announced: Announced; readonly core: string; readonly print: string }
  >();
  readonly #written = new Map<Ip, Written>();
  /** To be written, at once or with the others. */
  readonly #due = new Set<Ip>();
  readonly #later = new Set<Ip>();
  #gathering: Timer | undefined;
  #retrying: Timer | undefined;
  #writers = 0;
  #failed = false;
  #closed = false;

  constructor(options: AnnouncementWriterOptions) {
    this.#options = options;
  }

  /** All that this node has to say. Of what is not among it, another one speaks, or the controller removes it. */
  tell(all: Iterable<Announced>): void {
    const seen = new Set<Ip>();
    for (const announced of all) {
      const { address } = announced;
      seen.add(address);
      const before = this.#told.get(address);
      if (before && saysTheSame(before.announced, announced)) continue;
      const core = coreOf(announced);
      const { reason, standbys, losers, verdict } = announced;
      const print = JSON.stringify([core, reason, standbys, [...losers], verdict]);
      if (before?.print === print) continue;
      this.#told.set(address, { announced, core, print });
      if (before?.core === core) this.#later.add(address);
      else this.#due.add(address);
    }
    for (const address of this.#told.keys()) if (!seen.has(address)) this.#forget(address);
    if (this.#later.size > 0)
      this.#gathering ??= this.#options.clock.setTimer(GATHER, () => {
        this.#gathering = undefined;
        for (const address of this.#later) this.#due.add(address);
        this.#later.clear();
        this.#start();
      });
    if (!this.#retrying) this.#start();
  }

  close(): void {
    this.#closed = true;
    this.#gathering?.cancel();
    this.#retrying?.cancel();
    this.#due.clear();
  }

  #forget(address: Ip): void {
    this.#told.delete(address);
    this.#written.delete(address);
    this.#due.delete(address);
    this.#later.delete(address);
  }

  #start(): void {
    while (this.#writers < AT_ONCE && this.#writers < this.#due.size) void this.#write();
  }

  async #write(): Promise<void> {
    const { api, clock, speaksFor } = this.#options;
    this.#writers++;
    for (const address of this.#due) {
      this.#due.delete(address);
      const told = this.#told.get(address);
      if (!told || !speaksFor(told.announced)) continue;
      const before = this.#written.get(address);
      if (before?.print === told.print) continue;
      const object = announcementOf(told.announced, before?.object, clock.wallTime());
      try {
        const options = { type: 'apply', fieldManager: FIELD_MANAGER, force: true } as const;
        await api.patch(ANNOUNCEMENTS, { name: object.metadata.name }, object, options);
        this.#failed = false;
        if (this.#told.has(address)) this.#written.set(address, { print: told.print, object });
      } catch (error) {
        if (this.#told.has(address)) this.#due.add(address);
        this.#complain(error as Error); // KubeError
        break;
      }
    }
    this.#writers--;
  }

  #complain({ message }: Error): void {
    const { clock, log } = this.#options;
    if (!this.#failed) log.warn({ error: message }, 'cannot tell who announces an address; will try again');
    this.#failed = true;
    if (this.#closed) return;
    this.#retrying ??= clock.setTimer(RETRY, () => {
      this.#retrying = undefined;
      this.#start();
    });
  }
}

/** Told of a thousand addresses where one has changed: a print of each would cost more than everything else. */
function saysTheSame(a: Announced, b: Announced): boolean {
  const { services, standbys, interfaces, losers, since, ...rest } = a;
  const same = (one: readonly string[], other: readonly string[]) =>
    one.length === other.length && one.every((text, i) => text === other[i]);
  return (
    Object.entries(rest).every(([name, value]) => b[name as keyof typeof rest] === value) &&
    since?.getTime() === b.since?.getTime() &&
    same(services, b.services) &&
    same(standbys, b.standbys) &&
    same(interfaces, b.interfaces) &&
    same([...losers].flat(), [...b.losers].flat())
  );
}

/** What people wait for: that all is well with it can wait. */
function coreOf(announced: Announced): string {
  const { services, pool, node, since, interfaces, conflict, keeps, verdict } = announced;
  const isWrong = verdict === 'other host' || verdict === 'not seen';
  return JSON.stringify([services, pool, node, since, interfaces, conflict, keeps, isWrong]);
}
