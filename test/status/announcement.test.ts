// What an Announcement says of an address.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ip, ip } from '../../src/net/address.ts';
import { type Announced, announcementName, announcementOf } from '../../src/status/announcement.ts';

const WEB: Announced = {
  address: ip('192.0.2.10'),
  services: ['default/web'],
  pool: 'lan',
  node: 'a',
  since: new Date('2026-01-02T03:04:05.678Z'),
  interfaces: ['eth0'],
  reason: 'it ranks first for this address',
  standbys: ['c'],
  losers: new Map([
    ['b', 'the node is not Ready'],
    ['c', '"a" ranks before it for this address'],
  ]),
  conflict: undefined,
  keeps: false,
  verdict: undefined,
};
const NOW = new Date('2026-01-02T03:04:06.789Z');
const LATER = new Date('2026-01-02T03:05:00Z');

/** `type status reason` of each condition. */
function said(changes: Partial<Announced>): string[] {
  const { conditions } = announcementOf({ ...WEB, ...changes }, undefined, NOW).status;
  return conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`);
}

describe('the name of an announcement', () => {
  it.each([
    ['192.0.2.10', '192.0.2.10'],
    ['2001:db8::1', '2001-db8--1'],
    ['2001:db8::', '2001-db8--0'],
    ['::1', '0--1'],
  ])('of %s is %s', (address, name) => {
    expect(announcementName(ip(address))).toBe(name);
  });

  it('is one that the API server takes, and another for each address', () => {
    const names = new Map<string, Ip>();
    const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => ip(text));
    fc.assert(
      fc.property(address, (each) => {
        const name = announcementName(each);
        // DNS-1123 subdomain: apimachinery's validation
        expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
        expect(names.get(name) ?? each).toBe(each);
        names.set(name, each);
      }),
    );
  });
});

describe('an announcement', () => {
  it('names the node, since when, where and why, who would follow, and why the others do not', () => {
    expect(announcementOf(WEB, undefined, NOW)).toMatchObject({
      kind: 'Announcement',
      metadata: { name: '192.0.2.10' },
      status: {
        address: '192.0.2.10',
        services: ['default/web'],
        pool: 'lan',
        node: 'a',
        since: '2026-01-02T03:04:05Z',
        interfaces: ['eth0'],
        reason: 'it ranks first for this address',
        standbys: [{ node: 'c', reason: '"a" ranks before it for this address' }],
        excluded: [{ node: 'b', reason: 'the node is not Ready' }],
      },
    });
  });

  it('says in conditions whether it is announced, and whether another host has the address', () => {
    const conflict = { mac: '02:00:00:00:00:99', interfaceName: 'eth0' };
    expect(said({})).toEqual([
      'Announced True Announced',
      'Conflict False NoConflict',
      'Verified Unknown NotLooked',
    ]);
    expect(said({ conflict, verdict: 'verified' })).toEqual([
      'Announced False AddressConflict',
      'Conflict True AddressConflict',
      'Verified Unknown NotLooked',
    ]);
    expect(said({ conflict, keeps: true, verdict: 'other host' })).toEqual([
      'Announced True Announced',
      'Conflict True AddressConflict',
      'Verified False AnotherHostAnswers',
    ]);
    expect(said({ verdict: 'verified' })).toContain('Verified True Seen');
    expect(said({ verdict: 'not seen' })).toContain('Verified False NotSeen');
    expect(said({ verdict: 'no witness' })).toContain('Verified Unknown NoWitness');
    expect(said({ interfaces: [] })).toContain('Announced False NoInterface');
    expect(said({ node: undefined })).toContain('Announced False NoEligibleNode');
    const { conditions } = announcementOf({ ...WEB, conflict }, undefined, NOW).status;
    expect(conditions[1]?.message).toMatch(
      /^192\.0\.2\.10 is in use by another host, 02:00:00:00:00:99, heard on eth0\. Take/,
    );
  });

  it('keeps the time of a condition that says what it said', () => {
    const before = announcementOf(WEB, undefined, NOW);
    const times = (changes: Partial<Announced>) =>
      announcementOf({ ...WEB, ...changes }, before, LATER).status.conditions.map(
        ({ lastTransitionTime }) => lastTransitionTime,
      );
    const [now, later] = ['2026-01-02T03:04:06Z', '2026-01-02T03:05:00Z'];
    expect(times({ interfaces: ['eth1'] })).toEqual([now, now, now]);
    expect(times({ interfaces: [] })).toEqual([later, now, now]);
  });

  it('names no more than a hundred nodes of each sort', () => {
    const nodes = Array.from({ length: 300 }, (_, i) => `n${i}`);
    const losers = new Map(nodes.map((node) => [node, 'because']));
    const { status } = announcementOf({ ...WEB, losers, standbys: nodes.slice(0, 150) }, undefined, NOW);
    expect([status.standbys.length, status.excluded.length]).toEqual([100, 100]);
    expect(status.standbys[0]?.node).toBe('n0');
  });
});
