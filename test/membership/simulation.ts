// A deterministic world for the real state machines: clocks of different rates, a network that loses, repeats,
// reorders and parts, processes that pause, die, stop and return, and rosters that change. One seed, one history.
import { groupsOf } from '../../src/membership/groups.ts';
import { Member } from '../../src/membership/member.ts';
import { decodeMessage, encodeMessage, type Message } from '../../src/membership/message.ts';
import { majorityOf, type Roster, type Voter } from '../../src/membership/roster.ts';
import { TIMING } from '../../src/membership/timing.ts';
import type { Outgoing } from '../../src/membership/voter.ts';
import { type Ip, ip } from '../../src/net/address.ts';

const ADDRESSES = ['192.0.2.200', '192.0.2.201', '2001:db8::1'].map(ip);
/** Milliseconds: faults happen this long, then all is mended, and this long later every address must be held. */
const FAULTS_LAST = 3_000;
const MENDED_LASTS = 4_000;

export interface Outcome {
  readonly seed: number;
  /** What must never be, or must be and was not; undefined: all was well. */
  readonly problem: string | undefined;
  /** What happened, told for people who look for the cause. */
  readonly history: readonly string[];
  /** How often an address changed hands, and messages were heard. */
  readonly gains: number;
  readonly messages: number;
}

interface SimulatedNode {
  readonly id: string;
  readonly offset: number;
  readonly rate: number;
  member: Member | undefined;
  paused: boolean;
  /** What waits in its socket while it is paused. */
  readonly inbox: Message[];
  /** Whether it reaches the API server. */
  reachesApi: boolean;
  leaving: boolean;
  readonly held: Set<Ip>;
  /** What its process would look at as one, of that many grants of that member. */
  grouped: { readonly member: Member; readonly grants: number; readonly groups: readonly Ip[][] } | undefined;
  wakeEvent: number;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Runs one history. */
export function simulate(seed: number): Outcome {
  return new Simulation(seed).run();
}

class Simulation {
  readonly #seed: number;
  readonly #random: () => number;
  readonly #history: string[] = [];
  readonly #events: Event[] = [];
  readonly #nodes = new Map<string, SimulatedNode>();
  readonly #cut = new Set<string>();
  /** Whether messages become bytes on their way, as they do on a real one: slower, so only in some histories. */
  readonly #throughBytes: boolean;
  #now = 0;
  #order = 0;
  #problem: string | undefined;
  #loss = 0;
  #repeats = 0;
  #late = 0;
  #calm = false;
  #gains = 0;
  #messages = 0;
  /** As the API server has it. */
  #roster: Roster;
  readonly #adopted = new Set<string>();
  #adoptedAt: number | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = randomOf(seed);
    this.#throughBytes = seed % 8 === 0;
    const count = 3 + this.#below(4);
    const ids = Array.from({ length: count }, (_, i) => `node-${i + 1}`);
    this.#roster = { epoch: 1, voters: ids.slice(0, 1 + this.#below(count)).map(voterOf) };
    for (const id of ids) {
      this.#nodes.set(id, {
        id,
        offset: this.#random() * 1e6,
        rate: 0.99 + this.#random() * 0.02,
        member: undefined,
        paused: false,
        inbox: [],
        reachesApi: true,
        leaving: false,
        held: new Set(),
        grouped: undefined,
        wakeEvent: 0,
      });
    }
  }

  run(): Outcome {
    for (const node of this.#nodes.values()) {
      this.#at(this.#random() * 500, () => this.#start(node));
      this.#at(this.#random() * 100, () => this.#elect(node));
    }
    this.#at(0, () => this.#publish());
    const faults = 4 + this.#below(16);
    for (let i = 0; i < faults; i++)
      this.#at(600 + this.#random() * (FAULTS_LAST - 600), () => this.#fault());
    this.#at(FAULTS_LAST, () => this.#mend());
    const end = FAULTS_LAST + MENDED_LASTS;
    for (let next = this.#pop(); next && next.at <= end && !this.#problem; next = this.#pop()) {
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
    if (!this.#problem) this.#expectHeld();
    return {
      seed: this.#seed,
      problem: this.#problem,
      history: this.#history,
      gains: this.#gains,
      messages: this.#messages,
    };
  }

  #expectHeld(): void {
    for (const address of ADDRESSES) {
      const holders = [...this.#nodes.values()].filter((node) => this.#holds(node, address));
      if (holders.length !== 1) this.#problem ??= `${address} has ${holders.length} holders at the end`;
    }
  }

  #clock({ offset, rate }: SimulatedNode): number {
    return offset + this.#now * rate;
  }

  #holds(node: SimulatedNode, address: Ip): boolean {
    return node.member !== undefined && node.member.until(address) > this.#clock(node);
  }

  /** All of a group are held until one time, for as long as the process takes it for one. */
  #checkGroups(node: SimulatedNode): void {
    const { member, grouped } = node;
    if (!member) return;
    if (grouped?.member !== member || grouped.grants !== member.grants) {
      node.grouped = { member, grants: member.grants, groups: groupsOf(member, ADDRESSES) };
      return;
    }
    for (const group of grouped.groups)
      if (new Set(group.map((address) => member.until(address))).size > 1)
        this.#problem ??= `at ${this.#now.toFixed(3)} ${node.id} takes ${group.join(', ')} for held until one time`;
  }

  /** A paused process counts: it may go on at any moment. */
  #check(node: SimulatedNode): void {
    this.#checkGroups(node);
    for (const address of ADDRESSES) {
      if (!this.#holds(node, address)) {
        node.held.delete(address);
        continue;
      }
      if (!node.held.has(address)) {
        node.held.add(address);
        this.#gains++;
        this.#tell(`${node.id} gains ${address}`);
      }
      for (const other of this.#nodes.values()) {
        if (other !== node && this.#holds(other, address))
          this.#problem ??= `at ${this.#now.toFixed(3)} both ${node.id} and ${other.id} may answer for ${address}`;
      }
    }
  }

  #start(node: SimulatedNode): void {
    this.#tell(`${node.id} starts`);
    node.paused = false;
    node.leaving = false;
    node.inbox.length = 0;
    node.held.clear();
    node.member = new Member({
      id: node.id,
      holds: true,
      timing: TIMING,
      now: this.#clock(node),
      random: this.#random,
      random64: () => (BigInt(this.#below(2 ** 32)) << 32n) | BigInt(this.#below(2 ** 32)),
      onReplay: () => {},
    });
    this.#act(node, () => []);
    this.#hearApi(node);
  }

  /** The API server's word comes when it comes. */
  #hearApi(node: SimulatedNode): void {
    const { member } = node;
    this.#at(1 + this.#random() * 50, () => {
      if (!member || member !== node.member || !node.reachesApi || node.paused) return;
      const roster = this.#roster;
      this.#act(node, (now) => member.setRoster(now, roster));
    });
  }

  #act(node: SimulatedNode, step: (now: number) => Outgoing[]): void {
    const { member } = node;
    if (!member) return;
    for (const each of step(this.#clock(node))) this.#send(node, each);
    this.#check(node);
    if (node.leaving && member.contended.size > 0) {
      const kept = new Set([...member.wanted].filter((address) => !member.contended.has(address)));
      for (const each of member.want(this.#clock(node), kept)) this.#send(node, each);
      this.#check(node);
    }
    this.#scheduleWake(node);
    if (member.epoch === this.#roster.epoch) this.#adopted.add(node.id);
  }

  #scheduleWake(node: SimulatedNode): void {
    const wake = ++node.wakeEvent;
    const at = node.member?.wakeAt() ?? Number.POSITIVE_INFINITY;
    if (at === Number.POSITIVE_INFINITY) return;
    // Timers are late, now and then by much.
    const late = this.#calm || this.#random() < 0.98 ? this.#random() * 2 : this.#random() * 100;
    this.#at(Math.max(0, (at - this.#clock(node)) / node.rate) + late, () => {
      if (wake !== node.wakeEvent || node.paused || !node.member) return;
      const { member } = node;
      this.#act(node, (now) => member.wake(now));
    });
  }

  #send(node: SimulatedNode, { to, body }: Outgoing): void {
    let message: Message = { from: node.id, to, epoch: node.member?.epoch ?? 0, body };
    if (this.#throughBytes) {
      const decoded = decodeMessage(encodeMessage(message));
      if (!decoded) throw new Error(`seed ${this.#seed}: a ${body.kind} that cannot be read`);
      message = decoded;
    }
    const copies = this.#random() < this.#repeats ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.#random() < this.#loss) continue;
      const delay = this.#random() < this.#late ? this.#random() * 900 : 0.1 + this.#random() * 2;
      this.#at(delay, () => this.#deliver(message));
    }
  }

  #deliver(message: Message): void {
    const node = this.#nodes.get(message.to);
    if (!node?.member || this.#cut.has(`${message.from}>${message.to}`)) return;
    if (node.paused) {
      if (node.inbox.length < 200) node.inbox.push(message);
      return;
    }
    this.#messages++;
    const { member } = node;
    this.#act(node, (now) => member.receive(now, message));
  }

  /** As agents do it: each takes what it should have by what it knows, and sometimes what it should not. */
  #elect(node: SimulatedNode): void {
    this.#at((this.#calm ? 20 : 20 + this.#random() * 200) / node.rate, () => this.#elect(node));
    const { member } = node;
    if (!member || node.paused || node.leaving) return;
    const now = this.#clock(node);
    const alive = [...member.states(now)].filter(([, state]) => state === 'alive').map(([id]) => id);
    alive.sort();
    const wanted = new Set(member.wanted);
    for (const [i, address] of ADDRESSES.entries()) {
      const elected = alive[(i * 7) % Math.max(1, alive.length)] === node.id;
      const keeps = alive.includes(node.id) && member.until(address) > now;
      const errs = !this.#calm && this.#random() < 0.1;
      if (elected || keeps || errs) wanted.add(address);
      else wanted.delete(address);
      if (!this.#calm && this.#random() < 0.01) wanted.delete(address);
    }
    this.#act(node, (at) => member.want(at, wanted));
  }

  /** Publishes a roster that differs by one voter, once the present one has been adopted by a majority, and two leases ago. */
  #publish(): void {
    this.#at(50, () => this.#publish());
    const { epoch, voters } = this.#roster;
    const adopted = voters.filter(({ id }) => this.#adopted.has(id)).length;
    if (adopted < majorityOf(this.#roster)) return;
    this.#adoptedAt ??= this.#now;
    if (this.#now < this.#adoptedAt + 2 * TIMING.lease || this.#calm || this.#random() < 0.8) return;
    const others = [...this.#nodes.keys()].filter((each) => !voters.some(({ id }) => id === each));
    const gone = voters[this.#below(voters.length)];
    const added = others[this.#below(others.length)];
    const adds = added !== undefined && (voters.length === 1 || this.#random() < 0.5);
    const changed = adds ? [...voters, voterOf(added)] : voters.filter((each) => each !== gone);
    if (changed.length === 0) return;
    this.#roster = { epoch: epoch + 1, voters: changed };
    this.#adopted.clear();
    this.#adoptedAt = undefined;
    this.#tell(`roster ${epoch + 1}: ${changed.map(({ id }) => id).join(' ')}`);
    for (const node of this.#nodes.values()) this.#hearApi(node);
  }

  #fault(): void {
    const nodes = [...this.#nodes.values()];
    const node = nodes[this.#below(nodes.length)];
    if (!node) return;
    const faults = [
      () => this.#pause(node),
      () => this.#pause(node),
      () => this.#crash(node),
      () => this.#stop(node),
      () => this.#partition(nodes),
      () => this.#isolate(node),
      () => this.#cutOneWay(nodes, node),
      () => this.#apiAway(node),
      () => {
        this.#loss = this.#random() * 0.4;
        this.#repeats = this.#random() * 0.3;
        this.#late = this.#random() * 0.1;
        this.#tell(
          `loss ${this.#loss.toFixed(2)}, repeats ${this.#repeats.toFixed(2)}, late ${this.#late.toFixed(2)}`,
        );
      },
      () => this.#heal(),
    ];
    faults[this.#below(faults.length)]?.();
  }

  #pause(node: SimulatedNode): void {
    const duration = 10 * 10 ** (this.#random() * 2.3);
    this.#tell(`${node.id} is paused for ${duration.toFixed(0)}`);
    node.paused = true;
    const { member } = node;
    this.#at(duration, () => this.#resume(node, member));
  }

  #resume(node: SimulatedNode, member: Member | undefined): void {
    if (!node.paused || node.member !== member) return;
    node.paused = false;
    this.#tell(`${node.id} goes on`);
    for (const message of node.inbox.splice(0)) this.#deliver(message);
    this.#scheduleWake(node);
    this.#hearApi(node);
  }

  #crash(node: SimulatedNode): void {
    if (!node.member) return;
    this.#tell(`${node.id} dies`);
    node.member = undefined;
    this.#at(5 + this.#random() * 1_500, () => node.member ?? this.#start(node));
  }

  #stop(node: SimulatedNode): void {
    const { member } = node;
    if (!member || node.paused) return;
    this.#tell(`${node.id} leaves`);
    node.leaving = true;
    this.#act(node, (now) => member.leave(now));
    this.#at(100 + this.#random() * 900, () => node.member === member && this.#crash(node));
  }

  #partition(nodes: readonly SimulatedNode[]): void {
    const side = new Set(nodes.filter(() => this.#random() < 0.5));
    this.#tell(`parted: ${[...side].map(({ id }) => id).join(' ')}`);
    for (const a of nodes)
      for (const b of nodes) if (side.has(a) !== side.has(b)) this.#cut.add(`${a.id}>${b.id}`);
    this.#at(this.#random() * 1_500, () => this.#heal());
  }

  #isolate(node: SimulatedNode): void {
    this.#tell(`${node.id} is cut off`);
    for (const { id } of this.#nodes.values()) {
      this.#cut.add(`${id}>${node.id}`);
      this.#cut.add(`${node.id}>${id}`);
    }
    node.reachesApi = false;
  }

  #cutOneWay(nodes: readonly SimulatedNode[], node: SimulatedNode): void {
    for (const { id } of nodes) if (this.#random() < 0.7) this.#cut.add(`${node.id}>${id}`);
    this.#tell(`${node.id} is not heard by ${[...this.#cut].join(' ')}`);
  }

  #apiAway(node: SimulatedNode): void {
    this.#tell(`${node.id} does not reach the API server`);
    node.reachesApi = false;
  }

  #heal(): void {
    this.#cut.clear();
    for (const node of this.#nodes.values()) {
      node.reachesApi = true;
      this.#hearApi(node);
    }
    this.#tell('healed');
  }

  #mend(): void {
    this.#calm = true;
    this.#loss = 0;
    this.#repeats = 0;
    this.#late = 0;
    this.#heal();
    for (const node of this.#nodes.values()) {
      if (node.paused) this.#resume(node, node.member);
      if (!node.member) this.#start(node);
    }
    this.#tell('everything is mended');
  }

  #tell(what: string): void {
    this.#history.push(`${this.#now.toFixed(3).padStart(9)} ${what}`);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #at(delay: number, run: () => void): void {
    push(this.#events, { at: this.#now + delay, order: this.#order++, run });
  }

  #pop(): Event | undefined {
    return pop(this.#events);
  }
}

function voterOf(id: string): Voter {
  return { id, host: ip('192.0.2.1'), port: 9121 };
}

/** mulberry32: small, and the same everywhere. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A binary heap, the earliest first. */
function push(heap: Event[], event: Event): void {
  let i = heap.push(event) - 1;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const above = heap[parent];
    if (!above || !isBefore(event, above)) break;
    heap[i] = above;
    i = parent;
  }
  heap[i] = event;
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!first || !last || first === last) return first;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    const [left, right] = [heap[child], heap[child + 1]];
    if (!left) break;
    if (right && isBefore(right, left)) child++;
    const next = heap[child];
    if (!next || !isBefore(next, last)) break;
    heap[i] = next;
    i = child;
  }
  heap[i] = last;
  return first;
}
