import { expect, it } from 'vitest';
import { sleep } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';

it('runs timers in order of time, then of creation, and only when time reaches them', async () => {
  const clock = new VirtualClock();
  const ran: string[] = [];
  clock.setTimer(20, () => ran.push('late'));
  clock.setTimer(10, () => ran.push('first'));
  clock.setTimer(10, () => ran.push('second'));
  await clock.advance(9);
  expect(ran).toEqual([]);
  await clock.advance(1);
  expect(ran).toEqual(['first', 'second']);
  await clock.advance(100);
  expect(ran).toEqual(['first', 'second', 'late']);
  expect(clock.now()).toBe(110);
});

it('runs a timer that a timer set, in the same advance', async () => {
  const clock = new VirtualClock();
  const ran: number[] = [];
  const tick = () => {
    ran.push(clock.now());
    if (ran.length < 3) clock.setTimer(5, tick);
  };
  clock.setTimer(5, tick);
  await clock.advance(100);
  expect(ran).toEqual([5, 10, 15]);
});

it('does not run a cancelled timer', async () => {
  const clock = new VirtualClock();
  let ran = false;
  clock.setTimer(1, () => (ran = true)).cancel();
  await clock.advance(10);
  expect(ran).toBe(false);
});

it('wakes a sleeper on time, or at once when its signal aborts', async () => {
  const clock = new VirtualClock();
  const woken: string[] = [];
  const stop = new AbortController();
  const patient = sleep(clock, 50).then(() => woken.push('patient'));
  const aborted = sleep(clock, 500, stop.signal).then(() => woken.push('aborted'));
  await clock.advance(50);
  expect(woken).toEqual(['patient']);
  stop.abort();
  await Promise.all([patient, aborted]);
  expect(woken).toEqual(['patient', 'aborted']);
  await sleep(clock, 500, stop.signal);
});
