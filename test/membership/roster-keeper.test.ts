// Who votes: how the first roster comes about, and how it follows the nodes, one change at a time.
import { describe, expect, it } from 'vitest';
import { majorityOf, type Roster, type Voter } from '../../src/membership/roster.ts';
import { type Heard, RosterKeeper } from '../../src/membership/roster-keeper.ts';
import { ip } from '../../src/net/address.ts';

const WITNESS = voter('witness/one');

function voter(id: string, host = '192.0.2.1'): Voter {
  return { id, host: ip(host), port: 9121 };
}

/** A controller's view of agents, of which it hears every 100 ms while they run. */
class Watched {
  now = 0;
  roster: Roster | undefined;
  readonly published: Roster[] = [];
  readonly running = new Set<string>();
  readonly heard = new Map<string, Heard>();
  /** Agents that have not heard of rosters after this epoch. */
  readonly deaf = new Map<string, number>();
  keeper = new RosterKeeper(0);
  witness = WITNESS;

  run(duration: number): void {
    for (const end = this.now + duration; this.now < end; this.now += 100) {
      for (const id of this.running) {
        const epoch = Math.min(this.roster?.epoch ?? 0, this.deaf.get(id) ?? Number.POSITIVE_INFINITY);
        this.heard.set(id, { at: this.now, epoch, voter: voter(id) });
      }
      const epoch = this.roster?.epoch ?? 0;
      const next = this.keeper.next(this.now, this.roster, this.heard, { voter: this.witness, epoch });
      if (!next) continue;
      this.published.push(next);
      this.roster = next;
    }
  }

  get voters(): string[] {
    return (this.roster?.voters ?? []).map(({ id }) => id).sort();
  }
}

function watched(...agents: string[]): Watched {
  const all = new Watched();
  for (const id of agents) all.running.add(id);
  all.run(5_000);
  return all;
}

describe('the first roster', () => {
  it.each([
    [['a'], ['a']],
    [
      ['a', 'b'],
      ['a', 'b', 'witness/one'],
    ],
    [
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ],
    [
      ['a', 'b', 'c', 'd'],
      ['a', 'b', 'c'],
    ],
    [
      ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'],
      ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
    ],
  ])('for %j is %j', (agents, voters) => {
    const { roster, voters: named } = watched(...agents);
    expect([roster?.epoch, named]).toEqual([1, voters]);
  });

  it('waits for agents, and for no more of them', () => {
    const all = watched();
    expect(all.roster).toBeUndefined();
    all.running.add('a');
    all.run(1_500);
    all.running.add('b');
    all.run(1_500);
    expect(all.roster).toBeUndefined();
    all.run(1_000);
    expect(all.voters).toEqual(['a', 'b', 'witness/one']);
  });

  it('after one was deleted comes after every epoch that is remembered', () => {
    const all = watched('a');
    all.heard.set('b', { at: all.now, epoch: 41, voter: voter('b') });
    all.roster = undefined;
    all.run(3_000);
    expect(all.published.at(-1)?.epoch).toBe(42);
  });
});

describe('a roster', () => {
  it('is left alone while nothing changes, and over restarts', () => {
    const all = watched('a', 'b', 'c');
    all.running.delete('b');
    all.run(30_000);
    all.running.add('b');
    all.run(30_000);
    expect(all.published.length).toBe(1);
  });

  it('loses who is gone and gains who is there, by one voter at a time', () => {
    const all = watched('a', 'b', 'c', 'd');
    all.running.delete('b');
    all.run(70_000);
    expect(all.voters).toEqual(['a', 'c', 'd']);
    all.running.add('e').add('f');
    all.run(10_000);
    expect(all.voters).toEqual(['a', 'c', 'd', 'e', 'f']);
    all.running.delete('f');
    all.running.delete('e');
    all.running.delete('d');
    all.run(200_000);
    // Two of five: they cannot carry a change, and none is made.
    expect(all.published.length).toBeGreaterThan(4);
    for (const [i, { epoch, voters }] of all.published.entries()) {
      const before = all.published[i - 1];
      if (!before) continue;
      expect(epoch).toBe(before.epoch + 1);
      const ids = (roster: readonly Voter[]) => new Set(roster.map(({ id }) => id));
      expect(ids(voters).symmetricDifference(ids(before.voters)).size).toBe(1);
    }
  });

  it('takes a witness in for the third node, and lets it go for one', () => {
    const all = watched('a', 'b');
    all.running.add('c');
    all.run(10_000);
    expect(all.voters).toEqual(['a', 'b', 'c']);
    all.running.delete('c');
    all.run(80_000);
    expect(all.voters).toEqual(['a', 'b', 'witness/one']);
    all.running.delete('b');
    all.run(80_000);
    expect(all.voters).toEqual(['a']);
  });

  it('replaces the witness of a controller that is gone', () => {
    const all = watched('a', 'b');
    all.keeper = new RosterKeeper(all.now);
    all.witness = voter('witness/two');
    all.run(5_000);
    expect(all.voters).toEqual(['a', 'b', 'witness/two']);
  });

  it('does not follow before a majority has adopted its predecessor, and two leases have passed', () => {
    const all = watched('a', 'b', 'c');
    for (const id of ['a', 'b']) all.deaf.set(id, 0);
    all.heard.clear();
    all.keeper = new RosterKeeper(all.now);
    all.running.add('d').add('e');
    all.run(30_000);
    expect(all.published.length).toBe(1);
    all.deaf.delete('a');
    const since = all.now;
    while (all.published.length === 1 && all.now < since + 10_000) all.run(100);
    expect(all.now - since).toBeGreaterThanOrEqual(800);
    expect(majorityOf(all.published[1] as Roster)).toBe(3);
  });

  it('follows a voter to another address', () => {
    const all = watched('a');
    all.running.delete('a');
    all.heard.set('a', { at: all.now, epoch: 1, voter: voter('a', '192.0.2.7') });
    all.run(2_000);
    expect(all.roster).toEqual({ epoch: 2, voters: [voter('a', '192.0.2.7')] });
  });

  it('is not shrunk by a controller that has just started and heard of nobody', () => {
    const all = watched('a', 'b', 'c');
    all.keeper = new RosterKeeper(all.now);
    all.heard.clear();
    all.running.delete('c');
    all.run(30_000);
    expect(all.published.length).toBe(1);
  });
});
