// Whether another host has an address: what is asked when, and what becomes of claims, on a virtual clock.
import { beforeEach, describe, expect, it } from 'vitest';
import { AddressChecks, type Conflict, type ConflictPolicy } from '../../src/arp/address-checks.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import type { Mac } from '../../src/net/mac.ts';

const ADDRESS = ip('192.0.2.10');
const RIVAL: Conflict = { mac: '02:00:00:00:00:66' as Mac, interfaceName: 'eth0' }; // written as one

let clock: VirtualClock;
let asked: number[];
let defended: number[];
let told: [at: number, conflict: Conflict | undefined][];
let changes: [at: number, verdict: string][];

function make(policy: ConflictPolicy = 'withhold', answers: (address: Ip) => boolean = () => false) {
  const checks: AddressChecks = new AddressChecks({
    clock,
    random: () => 0.5,
    policy,
    ask: (address) => {
      asked.push(clock.now());
      if (answers(address)) checks.claim(address, RIVAL);
    },
    defend: () => void defended.push(clock.now()),
    onChange: (address) => void changes.push([clock.now(), checks.mayAnswer(address)]),
    onConflict: (_, conflict) => void told.push([clock.now(), conflict]),
  });
  return checks;
}

beforeEach(() => {
  clock = new VirtualClock();
  [asked, defended, told, changes] = [[], [], [], []];
});

describe('a check', () => {
  it('before the first use asks three times within 0.15 s, and on for as long as RFC 5227 does', async () => {
    const checks = make();
    expect(checks.mayAnswer(ADDRESS)).toBe('being checked');
    checks.begin(ADDRESS, 'first use');
    await clock.advance(20_000);
    expect(asked).toEqual([0, 51, 102, 153, 1654, 4155]);
    expect(changes).toEqual([[153, 'yes']]);
    expect(told).toEqual([]);
  });

  it('at a takeover asks once, and waits for 20 ms', async () => {
    const checks = make();
    checks.begin(ADDRESS, 'takeover');
    await clock.advance(20_000);
    expect(asked).toEqual([0]);
    expect(changes).toEqual([[21, 'yes']]);
  });

  it('of an address that is answered for stops no answer', async () => {
    const checks = make();
    checks.begin(ADDRESS, 'confirm');
    expect(checks.mayAnswer(ADDRESS)).toBe('yes');
    await clock.advance(20_000);
    expect([asked, changes, told]).toEqual([[0], [], []]);
  });

  it('of thousands at once does not swamp the link', async () => {
    const checks = make();
    for (let i = 0; i < 1_000; i++) checks.begin(ip(`10.0.${i >> 8}.${i & 255}`), 'takeover');
    expect(asked).toHaveLength(300);
    await clock.advance(60);
    expect(asked).toHaveLength(1_000);
    expect(changes).toHaveLength(1_000);
  });

  it.each(['first use', 'takeover'] as const)('finds a conflict within half a second (%s)', async (kind) => {
    const checks = make('withhold', () => true);
    checks.begin(ADDRESS, kind);
    await clock.advance(1_000);
    expect(told).toHaveLength(1);
    expect(told[0]?.[0]).toBeLessThan(500);
    expect(told[0]?.[1]).toEqual(RIVAL);
    expect(checks.mayAnswer(ADDRESS)).toBe('address conflict');
    expect(changes.map(([, verdict]) => verdict)).toEqual(['address conflict']);
    expect(defended).toEqual([]);
  });
});

describe('a claim to an address that is answered for', () => {
  const answering = async (policy: ConflictPolicy, upheld: () => boolean) => {
    const checks = make(policy, upheld);
    checks.begin(ADDRESS, 'first use');
    await clock.advance(20_000);
    asked.length = changes.length = 0;
    return checks;
  };

  it('that is not upheld is answered by an announcement, once in ten seconds, and changes nothing', async () => {
    const checks = await answering('withhold', () => false);
    const start = clock.now();
    for (let i = 0; i < 25; i++) {
      checks.claim(ADDRESS, RIVAL);
      await clock.advance(1_000);
    }
    expect(defended.map((at) => at - start)).toEqual([0, 10_000, 20_000]);
    expect(told).toEqual([]);
    expect(changes).toEqual([]);
    expect(asked).toHaveLength(25);
  });

  it('that is upheld is a conflict within half a second, until nobody upholds it', async () => {
    let upheld = false;
    const checks = await answering('withhold', () => upheld);
    const start = clock.now();
    upheld = true;
    checks.claim(ADDRESS, RIVAL);
    await clock.advance(500);
    expect(told).toMatchObject([[expect.any(Number), RIVAL]]);
    expect(changes.map(([, verdict]) => verdict)).toEqual(['address conflict']);
    await clock.advance(10_000);
    const looks = asked.filter((at) => at > start + 500).length;
    expect(looks).toBeGreaterThanOrEqual(4);
    upheld = false;
    await clock.advance(2_500);
    expect(told.at(-1)?.[1]).toBe(undefined);
    expect(changes.map(([, verdict]) => verdict)).toEqual(['address conflict', 'yes']);
    await clock.advance(60_000);
    expect(told).toHaveLength(2);
  });

  it('that is upheld leaves the address answered for where the operator keeps it', async () => {
    const checks = await answering('keep', () => true);
    checks.claim(ADDRESS, RIVAL);
    await clock.advance(30_000);
    expect(told).toHaveLength(1);
    expect(checks.mayAnswer(ADDRESS)).toBe('yes');
    expect(changes).toEqual([]);
    expect(defended.length).toBeGreaterThanOrEqual(3);
    checks.end(ADDRESS);
    expect(told.at(-1)?.[1]).toBe(undefined);
  });

  it('in the slow part of a first use is looked into at once', async () => {
    let upheld = false;
    const checks = make('withhold', () => upheld);
    checks.begin(ADDRESS, 'first use');
    await clock.advance(2_000);
    upheld = true;
    checks.claim(ADDRESS, RIVAL);
    await clock.advance(500);
    expect(told).toHaveLength(1);
  });

  it('means nothing once the address is not ours', async () => {
    const checks = await answering('withhold', () => false);
    checks.end(ADDRESS);
    checks.claim(ADDRESS, RIVAL);
    await clock.advance(60_000);
    expect([asked, told, defended]).toEqual([[], [], []]);
    checks.begin(ADDRESS, 'takeover');
    checks.close();
    await clock.advance(60_000);
    expect(asked).toHaveLength(1);
  });
});
