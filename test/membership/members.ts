// Members of the protocol in one test, on one clock: what they say arrives at once, unless the test holds it back.
import { Member } from '../../src/membership/member.ts';
import type { Message } from '../../src/membership/message.ts';
import type { Roster } from '../../src/membership/roster.ts';
import { TIMING } from '../../src/membership/timing.ts';
import type { Outgoing } from '../../src/membership/voter.ts';
import { type Ip, ip } from '../../src/net/address.ts';

export function rosterOf(epoch: number, ...ids: string[]): Roster {
  return { epoch, voters: ids.map((id) => ({ id, host: ip('192.0.2.1'), port: 9121 })) };
}

export class Members {
  now = 0;
  readonly members = new Map<string, Member>();
  /** Everything that was ever sent, oldest first. */
  readonly sent: Message[] = [];
  /** The same by what leaves together, for one member. */
  readonly together: Message[][] = [];
  /** False: lost. */
  passes: (message: Message) => boolean = () => true;
  replays = 0;
  #random = 1n;

  constructor(roster: Roster, ...ids: string[]) {
    for (const id of ids) this.start(id, roster);
  }

  start(id: string, roster?: Roster): Member {
    const member = new Member({
      id,
      holds: true,
      timing: TIMING,
      now: this.now,
      random: () => 0.5,
      random64: () => this.#random++,
      onReplay: () => this.replays++,
    });
    this.members.set(id, member);
    if (roster) this.send(id, member.setRoster(this.now, roster));
    return member;
  }

  of(id: string): Member {
    const member = this.members.get(id);
    if (!member) throw new Error(`there is no ${id}`);
    return member;
  }

  want(id: string, ...addresses: Ip[]): void {
    this.send(id, this.of(id).want(this.now, new Set(addresses)));
  }

  holders(address: Ip): string[] {
    return [...this.members].filter(([, member]) => member.until(address) > this.now).map(([id]) => id);
  }

  send(from: string, out: readonly Outgoing[]): void {
    const { epoch } = this.of(from);
    for (const [to, bodies] of Map.groupBy(out, (each) => each.to))
      this.together.push(bodies.map(({ body }) => ({ from, to, epoch, body })));
    for (const { to, body } of out) {
      const message: Message = { from, to, epoch: this.of(from).epoch, body };
      this.sent.push(message);
      if (this.passes(message)) this.deliver(message);
    }
  }

  deliver(message: Message): void {
    const member = this.members.get(message.to);
    if (member) this.send(message.to, member.receive(this.now, message));
  }

  /** Lets time pass, in steps of 5 ms. */
  advance(duration: number): void {
    for (const end = this.now + duration; this.now < end; ) {
      this.now += 5;
      for (const [id, member] of this.members) {
        if (this.now >= member.wakeAt()) this.send(id, member.wake(this.now));
      }
    }
  }
}
