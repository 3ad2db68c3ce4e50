// What this node says of addresses in objects: of those that it answers for, and of those that nobody may announce.
import type { Conflict } from '../arp/address-checks.ts';
import type { AnnouncedAddress } from '../arp/announced-addresses.ts';
import { HAD_IT } from '../arp/election.ts';
import type { Elections } from '../arp/ownership.ts';
import type { WireVerdict } from '../arp/wire-checks.ts';
import { systemClock } from '../clock/clock.ts';
import { tellingDenials } from '../kube/denials.ts';
import type { Ip } from '../net/address.ts';
import type { Announced } from '../status/announcement.ts';
import { AnnouncementWriter } from '../status/announcement-writer.ts';
import type { Process } from './processes.ts';

export interface AnnouncementSources {
  readonly nodeName: string;
  /** Whether it is answered for in a conflict. */
  readonly keeps: boolean;
  readonly holds: (address: Ip) => boolean;
  /** Whether this node is the one to speak of what nobody may announce. */
  readonly speaksForNobodys: () => boolean;
  readonly interfacesOf: (address: Ip) => readonly string[];
}

export class Announcements {
  readonly #sources: AnnouncementSources;
  readonly #writer: AnnouncementWriter;
  readonly #since = new Map<Ip, Date>();
  /** Why each of our addresses came to us: from before it was ours. */
  readonly #reasons = new Map<Ip, string>();
  readonly #conflicts = new Map<Ip, Conflict>();
  readonly #verdicts = new Map<Ip, WireVerdict>();

  constructor({ api, log }: Process, sources: AnnouncementSources) {
    this.#sources = sources;
    const { holds, speaksForNobodys } = sources;
    this.#writer = new AnnouncementWriter({
      api: tellingDenials(api, log),
      clock: systemClock,
      log,
      speaksFor: ({ address, node }) => (node === undefined ? speaksForNobodys() : holds(address)),
    });
  }

  setVerdict(address: Ip, verdict: WireVerdict): void {
    this.#verdicts.set(address, verdict);
  }

  setConflict(address: Ip, conflict: Conflict | undefined): void {
    if (conflict) this.#conflicts.set(address, conflict);
    else this.#conflicts.delete(address);
  }

  /** `announced`: what this node answers for now. */
  tell(
    announced: Iterable<Ip>,
    { own, nobodys }: Elections,
    wanted: ReadonlyMap<Ip, AnnouncedAddress>,
  ): void {
    const { nodeName, keeps, interfacesOf, speaksForNobodys } = this.#sources;
    const now = new Set(announced);
    const all: Announced[] = [];
    for (const address of this.#reasons.keys()) if (!own.has(address)) this.#reasons.delete(address);
    for (const [address, { reason }] of own)
      if (reason !== HAD_IT || !this.#reasons.has(address)) this.#reasons.set(address, reason);
    for (const address of this.#since.keys()) if (!now.has(address)) this.#since.delete(address);
    for (const address of this.#verdicts.keys()) if (!now.has(address)) this.#verdicts.delete(address);
    const say = (address: Ip, elections: Elections['own'], more: Pick<Announced, 'node' | 'since'>) => {
      const election = elections.get(address);
      const known = wanted.get(address);
      if (!election || !known) return;
      const { reason, standbys, losers } = election;
      all.push({
        address,
        services: [...known.services].sort(),
        pool: known.pool.name,
        interfaces: more.node === undefined ? [] : interfacesOf(address),
        reason: this.#reasons.get(address) ?? reason,
        standbys,
        losers,
        conflict: this.#conflicts.get(address),
        keeps,
        verdict: this.#verdicts.get(address),
        ...more,
      });
    };
    for (const address of now) {
      const since = this.#since.get(address) ?? systemClock.wallTime();
      this.#since.set(address, since);
      say(address, own, { node: nodeName, since });
    }
    if (speaksForNobodys())
      for (const address of nobodys.keys()) say(address, nobodys, { node: undefined, since: undefined });
    this.#writer.tell(all);
  }

  close(): void {
    this.#writer.close();
  }
}
