// The main thread's end of the membership thread.
import { Worker } from 'node:worker_threads';
import type { Ip } from '../net/address.ts';
import type { SharedDeadline } from '../sockets/answering-socket.ts';
import { Deadlines, monotonicNow } from './deadlines.ts';
import type { Held, NodeView, Seen } from './member-host.ts';
import type { Link, NodeState } from './message.ts';
import type { Roster } from './roster.ts';
import type { Keys } from './seal.ts';
import type { Figures, Order, Report } from './thread-messages.ts';
import type { Peer } from './udp.ts';

export interface MembershipThreadOptions {
  /** The node's name, or `witness/…`. */
  readonly id: string;
  /** UDP. */
  readonly port: number;
  /** Whether it takes part as a node; a witness only votes. */
  readonly holds: boolean;
  readonly keys: Keys;
  /** Who lives, or what others ask for, has changed, or something is held no more. */
  readonly onChange: () => void;
  /** More is held than before, and nothing is not. */
  readonly onGained: () => void;
  /** Which nodes had addresses right before us, and gave them up: told before those are held. */
  readonly onFormer: (former: ReadonlyMap<Ip, string>) => void;
  /** A member answered a probe; `epoch` is of its roster. */
  readonly onHeard: (id: string, epoch: number) => void;
  /** Another member asks what this node sees of an address on its links. */
  readonly onLook: (address: Ip) => Promise<Seen>;
  readonly onListening: (port: number) => void;
  readonly onProblem: (message: string) => void;
}

/** Milliseconds to wait for what another member sees: it takes up to 300 to find out. */
const LOOK_LASTS = 1_500;
/** Megabytes: a member needs few. */
const RESOURCES = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

export class MembershipThread {
  readonly #options: MembershipThreadOptions;
  readonly #worker: Worker;
  readonly #deadlines: Deadlines;
  /** Ahead of performance.now() is CLOCK_MONOTONIC by this much; a little more, so that rights end early. */
  readonly #ahead: number;
  #wanted = new Set<Ip>();
  #version = 0;
  #held = new Map<Ip, Held>();
  #nodes: ReadonlyMap<string, NodeView> = new Map();
  #epoch = 0;
  #hasQuorum = false;
  #contended: ReadonlySet<Ip> = new Set();
  readonly #asked = new Map<number, (figures: Figures) => void>();
  readonly #looks = new Map<number, (seen: Seen | undefined) => void>();
  #look = 0;

  constructor(options: MembershipThreadOptions) {
    this.#options = options;
    const { id, port, holds, keys } = options;
    const memory = Deadlines.share();
    this.#deadlines = new Deadlines(memory);
    const now = performance.now();
    this.#ahead = monotonicNow() - now;
    this.#worker = new Worker(new URL('./member-worker.ts', import.meta.url), {
      workerData: { id, port, holds, keys, memory },
      resourceLimits: RESOURCES,
    });
    this.#worker.on('message', (report: Report) => this.#take(report));
    this.#worker.on('error', (error) => {
      // A bug. Without heartbeats this node holds nothing; whoever supervises the process starts it anew.
      throw error;
    });
  }

  /** What a majority of the voters says of each node that takes part. */
  get nodes(): ReadonlyMap<string, NodeView> {
    return this.#nodes;
  }

  stateOf(node: string): NodeState | undefined {
    return this.#nodes.get(node)?.state;
  }

  /** Of the roster that is followed; 0: none. */
  get epoch(): number {
    return this.#epoch;
  }

  get hasQuorum(): boolean {
    return this.#hasQuorum;
  }

  /** After `leave`: which of our addresses others ask for. */
  get contended(): ReadonlySet<Ip> {
    return this.#contended;
  }

  /** Until when the address is ours, in milliseconds of performance.now(); in the past where it is not. */
  until(address: Ip): number {
    const held = this.#held.get(address);
    return held === undefined ? Number.NEGATIVE_INFINITY : this.#deadlines.get(held.slot) - this.#ahead;
  }

  /** Where that is found, for threads that look by themselves, and the number of the grant. */
  lease(address: Ip): { readonly deadline: SharedDeadline; readonly grant: number } | undefined {
    const held = this.#held.get(address);
    return held && { deadline: { cells: this.#deadlines.cells, index: held.slot }, grant: held.grant };
  }

  holds(address: Ip): boolean {
    return this.until(address) > performance.now();
  }

  setKeys(keys: Keys): void {
    this.#order({ kind: 'keys', keys });
  }

  setRoster(roster: Roster): void {
    this.#order({ kind: 'roster', roster });
  }

  /** From now on exactly these are claimed. What is not among them must no longer be answered for: others may have it at once. */
  want(addresses: ReadonlySet<Ip>): void {
    if (addresses.size === this.#wanted.size && this.#wanted.isSubsetOf(addresses)) return;
    this.#wanted = new Set(addresses);
    for (const address of this.#held.keys()) if (!addresses.has(address)) this.#held.delete(address);
    this.#order({ kind: 'want', version: ++this.#version, addresses: [...addresses] });
  }

  /** Says that this node is about to stop, or cannot announce anything; or that it can again. */
  leave(leaving = true): void {
    this.#order({ kind: 'leave', leaving });
  }

  /** On what this node can announce, from now on. */
  setLinks(links: readonly Link[]): void {
    this.#order({ kind: 'links', links });
  }

  probe(peers: readonly (Peer & { readonly id: string })[]): void {
    this.#order({ kind: 'probe', peers });
  }

  /** What another member sees of the address on its links; undefined: it did not say in time. */
  async look(to: string, address: Ip): Promise<Seen | undefined> {
    const id = ++this.#look;
    const { promise, resolve } = Promise.withResolvers<Seen | undefined>();
    this.#looks.set(id, resolve);
    this.#order({ kind: 'look', id, to, address });
    const timer = setTimeout(() => resolve(undefined), LOOK_LASTS);
    const seen = await promise;
    clearTimeout(timer);
    this.#looks.delete(id);
    return seen;
  }

  figures(): Promise<Figures> {
    const { promise, resolve } = Promise.withResolvers<Figures>();
    const id = this.#asked.size === 0 ? 1 : Math.max(...this.#asked.keys()) + 1;
    this.#asked.set(id, resolve);
    this.#order({ kind: 'figures', id });
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Whether all that was held still is. */
  #takeHeld(held: Map<Ip, Held>): boolean {
    const before = this.#held;
    this.#held = held;
    return [...before.keys()].every((address) => held.has(address));
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #take(report: Report): void {
    const { onChange, onGained, onHeard, onListening, onProblem } = this.#options;
    switch (report.kind) {
      case 'listening':
        onListening(report.port);
        return;
      case 'problem':
        onProblem(report.message);
        return;
      case 'held':
        // Of an earlier wish: places may have been given to others since.
        if (report.version !== this.#version) return;
        if (this.#takeHeld(new Map(report.held.map((held) => [held.address, held])))) onGained();
        else onChange();
        return;
      case 'contended':
        this.#contended = new Set(report.addresses);
        onChange();
        return;
      case 'former':
        this.#options.onFormer(report.former);
        return;
      case 'states':
        this.#nodes = new Map(report.states.map((each) => [each.name, each]));
        this.#hasQuorum = report.hasQuorum;
        onChange();
        return;
      case 'adopted':
        this.#epoch = report.epoch;
        return;
      case 'look':
        void this.#options
          .onLook(report.address)
          .then((seen) => this.#order({ kind: 'seen', nonce: report.nonce, seen }));
        return;
      case 'seen':
        this.#looks.get(report.id)?.(report.seen);
        return;
      case 'heard':
        onHeard(report.id, report.epoch);
        return;
      case 'figures':
        this.#asked.get(report.id)?.(report.figures);
        this.#asked.delete(report.id);
    }
  }
}
