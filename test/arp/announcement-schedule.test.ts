// When addresses are told to the link unasked, on a virtual clock.
import { describe, expect, it } from 'vitest';
import { AnnouncementSchedule } from '../../src/arp/announcement-schedule.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { fromBigInt, type Ip, ip } from '../../src/net/address.ts';

const A = ip('192.0.2.1');
const B = ip('192.0.2.2');

function start(random = 0.5) {
  const clock = new VirtualClock();
  const told: [number, Ip][] = [];
  const schedule = new AnnouncementSchedule({
    clock,
    random: () => random,
    announce: (address) => told.push([clock.now(), address]),
  });
  const times = (address: Ip) => told.filter(([, each]) => each === address).map(([time]) => time);
  return { clock, schedule, told, times };
}

describe('an announcement', () => {
  it('is made at once, four times more within seconds, and then every 150 s or so', async () => {
    const { clock, schedule, times } = start();
    schedule.start([A]);
    expect(times(A)).toEqual([0]);
    await clock.advance(500_000);
    expect(times(A)).toEqual([0, 1100, 2200, 3300, 4400, 154_400, 304_400, 454_400]);
    schedule.close();
  });

  it.each([
    [0, 112_500],
    [0.75, 168_750],
  ])('is refreshed after a time that chance varies by a quarter (chance %d)', async (chance, after) => {
    const { clock, schedule, times } = start(chance);
    schedule.start([A]);
    await clock.advance(4_400 + after);
    expect(times(A).slice(4)).toEqual([4_400, 4_400 + after]);
    schedule.close();
  });

  it('starts over when it is started again, and leaves the others as they are', async () => {
    const { clock, schedule, times } = start();
    schedule.start([A, B]);
    await clock.advance(60_000);
    schedule.start([A]);
    await clock.advance(60_000);
    expect(times(A).slice(5)).toEqual([60_000, 61_100, 62_200, 63_300, 64_400]);
    expect(times(B)).toEqual([0, 1100, 2200, 3300, 4400]);
    schedule.close();
  });

  it('is not made for an address that was stopped', async () => {
    const { clock, schedule, times } = start();
    schedule.start([A, B]);
    await clock.advance(1_500);
    schedule.stop(A);
    await clock.advance(10_000);
    expect(times(A)).toEqual([0, 1100]);
    expect(times(B)).toEqual([0, 1100, 2200, 3300, 4400]);
    schedule.close();
  });

  it('is made for thousands in small portions, so that every round of each comes', async () => {
    const { clock, schedule, told } = start();
    const many = Array.from({ length: 2_500 }, (_, i) => fromBigInt('IPv4', 0x0a00_0000n + BigInt(i)));
    schedule.start(many);
    expect(told).toHaveLength(100);
    await clock.advance(6_000);
    const portions = Map.groupBy(told, ([time]) => time);
    expect(Math.max(...[...portions.values()].map(({ length }) => length))).toBe(100);
    const rounds = Map.groupBy(told, ([, address]) => address);
    expect(rounds.size).toBe(many.length);
    for (const [[first] = [], ...rest] of rounds.values()) {
      expect(first).toBeLessThanOrEqual(250);
      expect(rest).toHaveLength(4);
    }
    schedule.close();
  });

  it('is never made after the end', async () => {
    const { clock, schedule, told } = start();
    schedule.start([A]);
    schedule.close();
    await clock.advance(1_000_000);
    expect(told).toHaveLength(1);
  });
});
