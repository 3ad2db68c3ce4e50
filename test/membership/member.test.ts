// Members among each other: leases, their end, handover, rosters, and what goes wrong with messages.
import { describe, expect, it } from 'vitest';
import { TIMING } from '../../src/membership/timing.ts';
import { ip } from '../../src/net/address.ts';
import { Members, rosterOf } from './members.ts';

const A = ip('192.0.2.200');
const B = ip('2001:db8::200');
const THREE = rosterOf(1, 'a', 'b', 'c');
/** A voter that starts waits for a lease; then a heartbeat may pass. */
const SETTLED = TIMING.lease + 2 * TIMING.heartbeat;

function three(): Members {
  const members = new Members(THREE, 'a', 'b', 'c');
  members.advance(SETTLED);
  return members;
}

describe('what a node can announce on', () => {
  it('is known to the others, at once where it loses a link, and not where it is more than a message carries', () => {
    const members = three();
    const link = (name: string) => ({ name, subnets: ['192.0.2.0/24', '2001:db8::/64'] });
    const seen = () => members.of('b').linksOf(members.now, 'a');
    members.send('a', members.of('a').setLinks(members.now, [link('eth0'), link('eth1')]));
    members.advance(2 * TIMING.heartbeat);
    expect(seen()).toEqual([link('eth0'), link('eth1')]);
    members.send('a', members.of('a').setLinks(members.now, [link('eth0')]));
    expect(seen()).toEqual([link('eth0')]);
    const many = Array.from({ length: 20 }, (_, i) => link(`eth${i}`));
    members.send('a', members.of('a').setLinks(members.now, many));
    expect(seen()).toBeUndefined();
    expect(members.of('b').states(members.now).get('a')).toBe('alive');
  });
});

describe('a lease', () => {
  it('is granted by no voter that has just started', () => {
    const members = new Members(THREE, 'a', 'b', 'c');
    members.want('a', A);
    members.advance(TIMING.lease - 10);
    expect(members.holders(A)).toEqual([]);
    members.advance(SETTLED);
    expect(members.holders(A)).toEqual(['a']);
  });

  it('is there at once where it is free, and lasts while heartbeats pass', () => {
    const members = three();
    members.want('a', A, B);
    expect(members.holders(A)).toEqual(['a']);
    members.want('b', A);
    for (let i = 0; i < 50; i++) {
      members.advance(100);
      expect([members.holders(A), members.holders(B)]).toEqual([['a'], ['a']]);
    }
  });

  it('is held with two of three voters, and not with one', () => {
    const members = three();
    members.want('a', A);
    members.passes = ({ from, to }) => from !== 'c' && to !== 'c';
    members.advance(2_000);
    expect(members.holders(A)).toEqual(['a']);
    members.passes = ({ from, to }) => from === to;
    members.advance(TIMING.lease);
    expect(members.holders(A)).toEqual([]);
    expect(members.of('a').hasQuorum(members.now)).toBe(false);
  });

  it('comes with the name of who gave it up, once and while that is news, and with none after a death', () => {
    const members = three();
    members.want('a', A, B);
    expect(members.of('a').takeFormer()).toEqual(new Map());
    members.want('b', A);
    members.want('a', B);
    members.advance(TIMING.heartbeat);
    expect(members.holders(A)).toEqual(['b']);
    expect(members.of('b').takeFormer()).toEqual(new Map([[A, 'a']]));
    expect(members.of('b').takeFormer()).toEqual(new Map());
    members.want('a');
    members.advance(5_000);
    members.want('b', A, B);
    expect(members.holders(B)).toEqual(['b']);
    members.members.delete('b');
    members.want('c', A);
    members.advance(1_000);
    expect(members.holders(A)).toEqual(['c']);
    for (const id of ['a', 'c']) expect(members.of(id).takeFormer()).toEqual(new Map());
  });

  it('of a message about former holders that is repeated later says nothing', () => {
    const members = three();
    members.want('a', A);
    members.want('b', A);
    members.want('a');
    members.advance(TIMING.heartbeat);
    const said = members.sent.filter(({ body }) => body.kind === 'former');
    expect(said.length).toBeGreaterThan(0);
    members.of('b').takeFormer();
    for (const each of said) members.deliver(each);
    expect(members.of('b').takeFormer()).toEqual(new Map());
  });

  it('goes to the one who waits as soon as the old one has ended, and before a second is over', () => {
    const members = three();
    members.want('a', A);
    members.want('b', A);
    members.advance(1_000);
    const died = members.now;
    members.members.delete('a');
    while (members.holders(A).length === 0 && members.now < died + 2_000) members.advance(5);
    expect(members.holders(A)).toEqual(['b']);
    // Known to be so on this clock: a lease, and not more than a few steps of it.
    expect(members.now - died).toBeLessThanOrEqual(TIMING.lease + 20);
  });

  it('that is given back is the next one’s at once', () => {
    const members = three();
    members.want('a', A);
    members.want('b', A);
    members.advance(1_000);
    members.want('a');
    expect(members.holders(A)).toEqual(['b']);
  });

  it('of a thousand addresses costs no more than one: each beat names what changed', () => {
    const members = three();
    const thousand = Array.from({ length: 1_000 }, (_, i) => ip(`10.0.${i >> 8}.${i & 255}`));
    members.want('a', ...thousand);
    members.advance(100);
    expect(thousand.filter((each) => members.holders(each).length !== 1)).toEqual([]);
    const from = members.sent.length;
    members.advance(1_000);
    const beats = members.sent.slice(from).filter(({ body }) => body.kind === 'beat');
    // Three members, two others each, ten times a second.
    expect(beats.length).toBeLessThanOrEqual(66);
    expect(beats.every(({ body }) => body.kind === 'beat' && body.changes.length === 0)).toBe(true);
    expect(thousand.filter((each) => members.holders(each)[0] !== 'a')).toEqual([]);
  });

  it('that two hold by halves is taken back, and then one has it', () => {
    const members = new Members(rosterOf(1, 'a', 'b', 'c', 'd'), 'a', 'b', 'c', 'd');
    members.advance(SETTLED);
    const sides = [new Set(['a', 'b']), new Set(['c', 'd'])];
    members.passes = ({ from, to }) => sides.some((side) => side.has(from) && side.has(to));
    members.want('a', A);
    members.want('c', A);
    members.advance(200);
    expect(members.holders(A)).toEqual([]);
    members.passes = () => true;
    members.advance(3_000);
    expect(members.holders(A).length).toBe(1);
  });

  it('does not stay blocked by a node that is heard and hears nothing', () => {
    const members = three();
    members.want('a', A);
    members.want('b', A);
    members.passes = ({ to }) => to !== 'a';
    members.advance(3 * TIMING.lease);
    expect(members.holders(A)).toEqual(['b']);
  });
});

describe('the word on who lives', () => {
  it('is a majority’s: alive, dead after a few heartbeats, alive again', () => {
    const members = three();
    const seen = () => members.of('b').states(members.now).get('a');
    expect(seen()).toBe('alive');
    members.passes = ({ from, to }) => from !== 'a' && to !== 'a';
    members.advance(TIMING.deadAfter + 10);
    expect(seen()).toBe('dead');
    members.passes = () => true;
    members.advance(2_000);
    expect(seen()).toBe('alive');
  });

  it('says nothing of nodes that never took part, and nothing at all without a majority', () => {
    const members = three();
    expect(members.of('a').states(members.now).has('d')).toBe(false);
    members.passes = () => false;
    members.advance(2_000);
    expect(members.of('a').states(members.now).size).toBe(0);
  });
});

describe('a clean stop', () => {
  it('keeps what nobody asks for, hears what others ask for, and claims nothing new', () => {
    const members = three();
    members.want('a', A, B);
    members.send('a', members.of('a').leave(members.now));
    expect(members.of('b').states(members.now).get('a')).toBe('leaving');
    members.advance(500);
    expect(members.holders(A)).toEqual(['a']);
    members.want('b', A);
    expect([...members.of('a').contended]).toEqual([A]);
    members.want('a', B);
    expect(members.holders(A)).toEqual(['b']);
    expect(members.holders(B)).toEqual(['a']);
    expect(members.of('a').contended.size).toBe(0);
    members.want('a', A, B);
    members.want('b');
    members.advance(1_000);
    expect(members.holders(A)).toEqual([]);
  });
});

describe('a member that is of no use for a while', () => {
  it('is left out by others, claims nothing, and claims again when it is back', () => {
    const members = three();
    members.want('a', A);
    members.send('a', members.of('a').leave(members.now));
    members.want('a');
    members.want('b', A);
    expect(members.holders(A)).toEqual(['b']);
    members.want('a', B);
    members.advance(500);
    expect(members.holders(B)).toEqual([]);
    members.want('a');
    members.send('a', members.of('a').leave(members.now, false));
    members.advance(200);
    expect(members.of('b').states(members.now).get('a')).toBe('alive');
    members.want('a', B);
    members.advance(500);
    expect(members.holders(B)).toEqual(['a']);
  });
});

describe('a member that stopped in good order', () => {
  it('is not called dead, however long it is silent, and is alive when it comes back', () => {
    const members = three();
    const seen = () => members.of('b').states(members.now).get('a');
    members.send('a', members.of('a').leave(members.now));
    members.passes = ({ from, to }) => from !== 'a' && to !== 'a';
    members.advance(3_000);
    expect(seen()).toBe('leaving');
    members.start('a', rosterOf(1, 'a', 'b', 'c'));
    members.passes = () => true;
    members.advance(3_000);
    expect(seen()).toBe('alive');
  });
});

describe('messages', () => {
  it('that come again change nothing', () => {
    const members = three();
    members.want('a', A);
    members.advance(300);
    members.want('a');
    members.want('b', A);
    members.advance(300);
    const old = [...members.sent];
    for (const message of old) members.deliver(message);
    members.advance(300);
    expect(members.holders(A)).toEqual(['b']);
    expect(members.replays).toBeGreaterThan(0);
  });

  it('of a former life of a voter, or from nobody it knows, are refused', () => {
    const members = three();
    members.want('a', A);
    const old = members.sent.filter(({ from, to }) => from === 'a' && to === 'b');
    members.start('b', THREE);
    members.passes = ({ from, to }) => from !== 'a' || to !== 'b';
    members.advance(SETTLED);
    members.want('c', B);
    const before = members.sent.length;
    for (const message of old) members.deliver(message);
    const answers = members.sent.slice(before).filter(({ from, to }) => from === 'b' && to === 'a');
    expect(answers.some(({ body }) => body.kind === 'ack')).toBe(false);
    expect(answers.some(({ body }) => body.kind === 'refuse')).toBe(true);
  });

  it('of two processes under one name give neither what the other still has', () => {
    const members = three();
    members.want('a', A);
    const first = members.of('a');
    members.members.delete('a');
    const bound = first.until(A);
    members.start('a', THREE);
    members.want('a', A);
    members.want('c', A);
    while (members.now < bound) {
      expect(members.holders(A)).toEqual([]);
      members.advance(5);
    }
    members.advance(1_000);
    expect(members.holders(A).length).toBe(1);
  });
});

describe('a roster', () => {
  it('is passed on to who has an older one, and leases go on', () => {
    const members = three();
    members.start('d', THREE);
    members.want('a', A);
    members.advance(500);
    const four = rosterOf(2, 'a', 'b', 'c', 'd');
    members.send('b', members.of('b').setRoster(members.now, four));
    for (let i = 0; i < 20; i++) {
      members.advance(50);
      expect(members.holders(A)).toEqual(['a']);
    }
    expect([...members.members.values()].map(({ epoch }) => epoch)).toEqual([2, 2, 2, 2]);
  });

  it('is taken from a peer only by who has had one from the API server', () => {
    const members = three();
    const fresh = members.start('d');
    fresh.receive(members.now, { from: 'a', to: 'd', epoch: 1, body: { kind: 'roster', roster: THREE } });
    expect(fresh.roster).toBeUndefined();
  });

  it('of a lower epoch is no news', () => {
    const members = three();
    members.send('a', members.of('a').setRoster(members.now, rosterOf(3, 'a')));
    members.send('a', members.of('a').setRoster(members.now, rosterOf(2, 'b')));
    expect(members.of('a').roster).toEqual(rosterOf(3, 'a'));
  });

  it('that asks for fewer grants gives nobody what it is taking back', () => {
    const members = new Members(rosterOf(1, 'a', 'b'), 'a', 'b', 'c', 'd');
    members.advance(SETTLED);
    const parted = ({ from, to }: { from: string; to: string }) => from === to || ![from, to].includes('b');
    members.passes = parted;
    members.want('c', A);
    members.advance(200);
    // It has a's grant alone, and takes it back after a while; but a does not hear of it yet.
    members.passes = (message) => parted(message) && (message.from !== 'c' || message.to !== 'a');
    members.want('c', A, B);
    members.advance(TIMING.patience - 200 + TIMING.heartbeat);
    for (const id of ['a', 'c', 'd'])
      members.send(id, members.of(id).setRoster(members.now, rosterOf(2, 'a')));
    expect(members.holders(A)).toEqual([]);
    members.passes = () => true;
    members.want('d', A);
    for (let i = 0; i < 200; i++) {
      members.advance(5);
      expect(members.holders(A).length).toBeLessThanOrEqual(1);
    }
  });

  it('of one voter makes it its own majority', () => {
    const members = new Members(rosterOf(1, 'a'), 'a');
    members.want('a', A);
    members.advance(SETTLED);
    expect(members.holders(A)).toEqual(['a']);
  });
});
