// Leader election on a virtual clock, against a Lease that conflicts, fails and is slow as an API server's may be.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock, Timer } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { LEASE_TIMES } from '../../src/commands/leader-options.ts';
import { LeaderElection, type LeaseTimes, type Term } from '../../src/kube/leader-election.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { LeaseApi } from './lease-api.ts';

const TIMES: LeaseTimes = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 };

/** A process's view of the clock: while it is stopped its timers do not run, and time goes on. */
class StoppableClock implements Clock {
  readonly #clock: VirtualClock;
  #late: (() => void)[] | undefined;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  wallTime(): Date {
    return this.#clock.wallTime();
  }

  setTimer(delay: number, callback: () => void): Timer {
    let cancelled = false;
    const run = () => {
      if (!cancelled) callback();
    };
    const timer = this.#clock.setTimer(delay, () => (this.#late ? this.#late.push(run) : run()));
    return {
      cancel() {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  stop(): void {
    this.#late ??= [];
  }

  resume(): void {
    const late = this.#late ?? [];
    this.#late = undefined;
    for (const run of late) run();
  }
}

class Candidate {
  readonly clock: StoppableClock;
  readonly api: LeaseApi;
  readonly stop = new AbortController();
  readonly terms: Term[] = [];
  readonly logged: { readonly msg: string; readonly error?: string }[] = [];
  readonly run: Promise<void>;

  constructor(
    clock: VirtualClock,
    lease: LeaseApi,
    identity: string,
    fault?: LeaseApi['fault'],
    times: LeaseTimes = TIMES,
  ) {
    this.clock = new StoppableClock(clock);
    this.api = lease.seenBy();
    this.api.fault = fault;
    const election = new LeaderElection({
      api: this.api,
      lease: { name: 'fairlead-controller', namespace: 'kube-system' },
      identity,
      times,
      clock: this.clock,
      random: () => 0.5,
      log: createLogger({
        component: 'test',
        level: 'warn',
        destination: { write: (line) => this.logged.push(JSON.parse(line)) },
      }),
    });
    this.run = election.run(this.stop.signal, async (term) => {
      this.terms.push(term);
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
    });
  }

  mayWrite(): boolean {
    return this.terms.some((term) => term.mayWrite());
  }
}

let clock: VirtualClock;
let lease: LeaseApi;
let candidates: Candidate[];

beforeEach(() => {
  clock = new VirtualClock();
  lease = new LeaseApi(clock);
  candidates = [];
});

afterEach(async () => {
  for (const { stop, clock: own, api } of candidates) {
    api.fault = undefined;
    own.resume();
    stop.abort();
  }
  await clock.advance(60_000);
  await Promise.all(candidates.map(({ run }) => run));
});

function join(identity: string, fault?: LeaseApi['fault'], times = TIMES): Candidate {
  const candidate = new Candidate(clock, lease, identity, fault, times);
  candidates.push(candidate);
  return candidate;
}

describe('the first candidate', () => {
  it('leads at once, renews, and the second waits without a write', async () => {
    const a = join('a');
    await clock.advance(0);
    const b = join('b');
    await clock.advance(600_000);
    expect([a.mayWrite(), b.mayWrite()]).toEqual([true, false]);
    expect(a.terms).toHaveLength(1);
    expect(b.api.writes).toBe(0);
    expect(lease.object?.spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 0 });
    // One write a retry period, and no read before it.
    expect(a.api.reads).toBe(1);
    expect(a.api.writes).toBe(301);
  });

  it('gives the lease back when it is asked to stop, after its work has ended', async () => {
    const a = join('a');
    await clock.advance(0);
    const b = join('b');
    await clock.advance(5_000);
    a.stop.abort();
    await clock.advance(TIMES.retryPeriod * 1.2);
    expect([a.mayWrite(), b.mayWrite()]).toEqual([false, true]);
    expect(lease.object?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it('that dies is followed when its lease runs out, not before', async () => {
    const a = join('a');
    await clock.advance(0);
    const b = join('b');
    await clock.advance(5_000);
    a.clock.stop();
    await clock.advance(TIMES.leaseDuration - TIMES.retryPeriod);
    expect(b.mayWrite()).toBe(false);
    await clock.advance(2 * TIMES.retryPeriod * 1.2);
    expect(b.mayWrite()).toBe(true);
  });
});

describe('a leader of an installation with the default times', () => {
  it.each(Array.from({ length: 20 }, (_, i) => 5_000 + i * 37))(
    'that dies %d ms after the start is followed within five seconds',
    async (age) => {
      const a = join('a', undefined, LEASE_TIMES);
      await clock.advance(123);
      const b = join('b', undefined, LEASE_TIMES);
      await clock.advance(age);
      a.clock.stop();
      const died = clock.now();
      while (!b.mayWrite() && clock.now() - died < 10_000) {
        expect(a.mayWrite() && b.mayWrite()).toBe(false);
        await clock.advance(10);
      }
      expect(a.mayWrite()).toBe(false);
      // The rest of the second is for the new leader's lists.
      expect(clock.now() - died).toBeLessThanOrEqual(4_600);
    },
  );
});

describe('a leader', () => {
  it('that was stopped for any time wakes up without the right to write', async () => {
    const a = join('a');
    await clock.advance(0);
    const b = join('b');
    await clock.advance(1_000);
    a.clock.stop();
    await clock.advance(60_000);
    expect(b.mayWrite()).toBe(true);
    expect(a.mayWrite()).toBe(false);
    a.clock.resume();
    expect(a.mayWrite()).toBe(false);
    await clock.advance(60_000);
    expect([a.mayWrite(), b.mayWrite()]).toEqual([false, true]);
    expect(a.logged.map(({ msg }) => msg)).toEqual(['could not renew the lease in time; leading no more']);
  });

  it.each(['refuse', 'hang', 'lose the answer'] as const)(
    'whose API server begins to %s stops in time, says so once, and leads again when that is over',
    async (fault) => {
      const a = join('a');
      await clock.advance(1_000);
      const renewed = lease.lastWrite;
      a.api.fault = fault;
      await clock.advance(renewed + TIMES.renewDeadline - clock.now() - 1);
      expect(a.mayWrite()).toBe(true);
      await clock.advance(TIMES.leaseDuration);
      if (fault !== 'lose the answer') expect(a.mayWrite()).toBe(false);
      a.api.fault = undefined;
      await clock.advance(60_000);
      expect(a.mayWrite()).toBe(true);
      const said = a.logged.filter(({ error }) => error !== undefined);
      expect(said).toHaveLength(1);
    },
  );

  it('whose lease another wrote over stops as soon as it sees that', async () => {
    const a = join('a');
    await clock.advance(0);
    lease.write({ holderIdentity: 'thief', leaseDurationSeconds: 15 });
    await clock.advance(2 * TIMES.retryPeriod);
    expect(a.mayWrite()).toBe(false);
  });

  it('that may not write the lease names verb and resource once', async () => {
    const a = join('a', 'deny');
    await clock.advance(60_000);
    expect(a.logged.map(({ msg }) => msg)).toEqual([
      'the API server denies access to the lease; grant get, create and patch on leases (deploy/rbac)',
    ]);
    expect(a.logged[0]?.error).toBe('cannot get resource "leases" in API group "coordination.k8s.io"');
    expect(a.terms).toEqual([]);
  });
});

type Step =
  | { readonly kind: 'pass'; readonly time: number }
  | { readonly kind: 'stop' | 'resume' | 'leave'; readonly who: number }
  | { readonly kind: 'fault'; readonly who: number; readonly fault: LeaseApi['fault'] };

const who = fc.nat(2);
const STEP: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('pass' as const), time: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ kind: fc.constantFrom('stop' as const, 'resume' as const, 'leave' as const), who }),
  fc.record({
    kind: fc.constant('fault' as const),
    who,
    fault: fc.constantFrom(undefined, 'refuse' as const, 'hang' as const, 'lose the answer' as const),
  }),
);

describe('of three candidates', () => {
  it('never two may write, whatever stops, hangs, fails or leaves; and one leads when all is well', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 30 }), async (steps) => {
        clock = new VirtualClock();
        lease = new LeaseApi(clock);
        const group = ['a', 'b', 'c'].map((name) => new Candidate(clock, lease, name));
        const check = () => expect(group.filter((each) => each.mayWrite()).length).toBeLessThanOrEqual(1);
        for (const step of steps) {
          const one = group['who' in step ? step.who : 0];
          if (step.kind === 'stop') one?.clock.stop();
          else if (step.kind === 'resume') one?.clock.resume();
          else if (step.kind === 'leave') one?.stop.abort();
          else if (step.kind === 'fault') Object.assign(one?.api ?? {}, { fault: step.fault });
          else if (step.kind === 'pass')
            for (let passed = 0; passed < step.time; passed += 250) {
              await clock.advance(250);
              check();
            }
          check();
        }
        for (const each of group) {
          each.api.fault = undefined;
          each.clock.resume();
          check();
        }
        await clock.advance(120_000);
        check();
        const left = group.filter((each) => !each.stop.signal.aborted);
        if (left.length > 0) expect(left.some((each) => each.mayWrite())).toBe(true);
        for (const each of group) each.stop.abort();
        await clock.advance(60_000);
        await Promise.all(group.map((each) => each.run));
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
