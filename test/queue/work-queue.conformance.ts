// What every WorkQueue must do, whatever it is made of: by the contract in src/queue/work-queue.ts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoff, PARK_AFTER, type WorkOutcome } from '../../src/queue/work-queue.ts';
import { type MakeQueue, Workplace } from './workplace.ts';

const KEYS = ['shop/a', 'shop/b', 'shop/c'] as const;
const key = fc.constantFrom(...KEYS);
const priority = fc.constantFrom('change' as const, 'resync' as const);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), key, priority }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('take' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('finish' as const), pick: fc.nat(9) }) },
);
const timedStep = fc.oneof(
  step,
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('later' as const),
      key,
      priority,
      after: fc.integer({ min: 1, max: 50 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('retry' as const),
      pick: fc.nat(9),
      after: fc.option(fc.nat(30), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), duration: fc.nat(40) }) },
);

/** The plainest queue that does what the contract says of order, without time. */
class Model {
  readonly #ready = { change: [] as string[], resync: [] as string[] };
  readonly #again = new Map<string, 'change' | 'resync'>();
  readonly running: string[] = [];
  readonly runs: string[] = [];
  takers = 0;

  add(one: string, asked: 'change' | 'resync'): void {
    const { change, resync } = this.#ready;
    if (this.running.includes(one)) {
      if (this.#again.get(one) !== 'change') this.#again.set(one, asked);
    } else if (!change.includes(one) && !(asked === 'resync' && resync.includes(one))) {
      if (resync.includes(one)) resync.splice(resync.indexOf(one), 1);
      this.#ready[asked].push(one);
    }
    this.hand();
  }

  finish(one: string): void {
    this.running.splice(this.running.indexOf(one), 1);
    const again = this.#again.get(one);
    this.#again.delete(one);
    if (again) this.add(one, again);
  }

  hand(): void {
    for (; this.takers > 0; this.takers--) {
      const next = this.#ready.change.shift() ?? this.#ready.resync.shift();
      if (next === undefined) return;
      this.running.push(next);
      this.runs.push(next);
    }
  }

  counts(): { ready: number; running: number } {
    const { change, resync } = this.#ready;
    return { ready: change.length + resync.length + this.#again.size, running: this.running.length };
  }
}

/** `histories`: how many random ones are tried. */
export function describeWorkQueue(name: string, make: MakeQueue, histories: number): void {
  describe(`${name} as a work queue`, () => {
    it('hands out keys oldest first, changes before second looks, each once however often it was added, again if it was added while it ran', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          await using place = await Workplace.open(make);
          const model = new Model();
          for (const one of steps) {
            if (one.kind === 'add') {
              model.add(one.key, one.priority);
              await place.add(one.key, { priority: one.priority });
            } else if (one.kind === 'take') {
              model.takers++;
              model.hand();
              await place.take();
            } else {
              const ended = model.running[one.pick % Math.max(1, model.running.length)];
              if (ended === undefined) continue;
              model.finish(ended);
              await place.done(place.running.find((lease) => lease.key === ended));
            }
            await place.reach(model.runs.length);
            expect(place.runs.map((run) => run.key)).toEqual(model.runs);
            await place.holds(model.counts());
          }
        }),
        { numRuns: histories },
      );
    }, 120_000);

    it('never runs a key twice at a time, runs none too early, and loses none, with delays and retries', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(timedStep, { maxLength: 60 }), async (steps) => {
          await using place = await Workplace.open(make);
          /** Since the last run of a key began: when it was asked for at the earliest. */
          const due = new Map<string, number>();
          const ask = (one: string, at: number) => due.set(one, Math.min(at, due.get(one) ?? at));
          let seen = 0;
          const check = () => {
            expect(new Set(place.running.map((lease) => lease.key)).size).toBe(place.running.length);
            for (const { key: one, at } of place.runs.slice(seen)) {
              expect(due.get(one), `${one} runs unasked`).toBeDefined();
              expect(at).toBeGreaterThanOrEqual(due.get(one) ?? Infinity);
              due.delete(one);
            }
            seen = place.runs.length;
          };
          for (const one of steps) {
            check();
            const now = place.now();
            if (one.kind === 'add') {
              ask(one.key, now);
              await place.add(one.key, { priority: one.priority });
            } else if (one.kind === 'later') {
              ask(one.key, now + one.after);
              await place.add(one.key, { priority: one.priority, after: one.after });
            } else if (one.kind === 'take') await place.take();
            else if (one.kind === 'wait') await place.pass(one.duration);
            else {
              const picked = place.running[one.pick % Math.max(1, place.running.length)];
              if (!picked) continue;
              if (one.kind === 'finish') await place.done(picked);
              else {
                const after = one.after === undefined ? {} : { after: one.after };
                ask(picked.key, now + (one.after ?? 0));
                await place.done(picked, { kind: 'retry', ...after });
              }
            }
          }
          check();
          await place.drain();
          check();
          expect([...due.keys()]).toEqual([]);
        }),
        { numRuns: histories },
      );
    }, 120_000);

    it('runs a delayed key on time, and of several adds the earliest counts', async () => {
      await using place = await Workplace.open(make);
      await place.take();
      const began = place.now();
      await place.add('shop/a', { after: 600 });
      await place.add('shop/a', { after: 300 });
      await place.add('shop/a', { after: 500 });
      await place.holds({ delayed: 1 });
      await place.pass(300);
      await place.reach(1);
      const at = (place.runs[0]?.at ?? 0) - began;
      expect(at).toBeGreaterThanOrEqual(300);
      if (place.exact) expect(at).toBe(300);
      await place.done(place.running[0]);
      await place.take();
      await place.pass(400);
      expect(place.runs).toHaveLength(1);
    });

    it('runs a key at once that is added while it is delayed', async () => {
      await using place = await Workplace.open(make);
      await place.take();
      await place.add('shop/a', { after: 3_600_000 });
      await place.holds({ delayed: 1 });
      await place.add('shop/a');
      await place.reach(1);
      await place.done(place.running[0]);
      await place.holds({});
    });

    it('runs a key again when the run that finished said so, as a second look, or sooner if it changes', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      await place.takeAll(1);
      await place.done(place.running[0], { kind: 'finished', again: 300 });
      await place.holds({ delayed: 1 });
      await place.pass(300);
      await place.holds({ ready: 1 });
      await place.add('shop/b');
      expect(await place.takeAll(2)).toEqual(['shop/b', 'shop/a']);
      await place.add('shop/a');
      await place.done(place.running[1], { kind: 'finished', again: 3_600_000 });
      await place.done(place.running[0], { kind: 'finished', again: 3_600_000 });
      await place.holds({ ready: 1, delayed: 1 });
    });

    it('lets what was delayed wait behind what waits already, and a lane with nothing before it take its turn', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/late', { account: 'one', after: 100 });
      await place.add('other/late', { account: 'one', after: 100 });
      for (let i = 0; i < 5; i++) await place.add(`shop/s${i}`, { account: 'one' });
      await place.holds({ ready: 5, delayed: 2 });
      await place.pass(150);
      await place.holds({ ready: 7 });
      const order = await place.takeAll(7);
      expect(order.filter((one) => one.startsWith('shop'))).toEqual([
        ...Array.from({ length: 5 }, (_, i) => `shop/s${i}`),
        'shop/late',
      ]);
      expect(order.indexOf('other/late')).toBeLessThan(3);
    });

    it('does not run a version again that finished, as long as it knows of that', async () => {
      await using place = await Workplace.open(make);
      const finish = async (version: string) => {
        await place.takeAll(1);
        await place.done(place.running[0], { kind: 'finished', version, again: 3_600_000 });
      };
      await place.add('shop/a', { unlessFinished: 'one' });
      await finish('one');
      await place.add('shop/a', { unlessFinished: 'one' });
      await place.holds({ delayed: 1 });
      await place.add('shop/a', { unlessFinished: 'two' });
      await finish('two');
      await place.add('shop/a', { unlessFinished: 'two' });
      await place.holds({ delayed: 1 });
      // What is asked for without a condition is.
      place.queue.add('shop/a');
      await place.add('shop/a', { unlessFinished: 'two' });
      await place.takeAll(1);
      await place.done(place.running[0], { kind: 'finished', version: 'two' });
      await place.holds({});
      await place.add('shop/a', { unlessFinished: 'two' });
      await place.holds({ ready: 1 });
    });

    it('runs again for a version that was finished before a run that failed, at once', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      await place.takeAll(1);
      await place.done(place.running[0], { kind: 'finished', version: 'one', again: 3_600_000 });
      await place.add('shop/a', { unlessFinished: 'two' });
      await place.takeAll(1);
      await place.done(place.running[0], { kind: 'retry', after: 3_600_000 });
      await place.holds({ delayed: 1 });
      await place.add('shop/a', { unlessFinished: 'one' });
      await place.holds({ ready: 1 });
    });

    it('does not run again for a version that was asked for during the run that finished it', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      await place.takeAll(1);
      await place.add('shop/a', { unlessFinished: 'one' });
      await place.add('shop/a', { unlessFinished: 'one' });
      await place.done(place.running[0], { kind: 'finished', version: 'one', again: 3_600_000 });
      await place.holds({ delayed: 1 });
      for (const asks of [
        [{ unlessFinished: 'two' }],
        [{ unlessFinished: 'one' }, {}],
        [{}, { unlessFinished: 'one' }],
      ]) {
        await place.add('shop/a');
        await place.takeAll(1);
        for (const ask of asks) await place.add('shop/a', ask);
        await place.done(place.running[0], { kind: 'finished', version: 'one', again: 3_600_000 });
        await place.holds({ ready: 1 });
        await place.takeAll(1);
        await place.done(place.running[0], { kind: 'finished', version: 'one', again: 3_600_000 });
        await place.holds({ delayed: 1 });
      }
    });

    it('says that a run is to be a thorough one, until one has finished', async () => {
      await using place = await Workplace.open(make);
      const next = async () => {
        await place.takeAll(1);
        return place.running[0]?.thorough;
      };
      const end = (outcome?: WorkOutcome) => place.done(place.running[0], outcome);
      await place.add('shop/a', { thorough: true });
      await place.add('shop/a');
      expect(await next()).toBe(true);
      await end({ kind: 'retry', after: 0 });
      expect(await next()).toBe(true);
      await place.add('shop/a');
      await end({ kind: 'retry', after: 0 });
      expect(await next()).toBe(true);
      await place.add('shop/a', { unlessFinished: 'one' });
      await end({ kind: 'finished', version: 'two' });
      expect(await next()).toBe(false);
      await place.add('shop/a', { thorough: true, unlessFinished: 'one' });
      await place.add('shop/a', { unlessFinished: 'one' });
      await end({ kind: 'finished', version: 'one' });
      expect(await next()).toBe(true);
      await end({ kind: 'finished', again: 200, thorough: true });
      await place.holds({ delayed: 1 });
      await place.pass(200);
      expect(await next()).toBe(true);
      // What comes before a thorough run that has its time takes its place.
      await end({ kind: 'finished', again: 3_600_000, thorough: true });
      await place.add('shop/a');
      expect(await next()).toBe(false);
    });

    it('waits longer for each retry in a row, and starts over after a run that finished', async () => {
      await using place = await Workplace.open(make);
      const waits: number[] = [];
      const fail = async () => {
        const from = place.now();
        const before = place.runs.length;
        await place.done(place.running[0], { kind: 'retry' });
        await place.take();
        await place.pass(backoff(waits.length, 0.5));
        await place.reach(before + 1);
        waits.push((place.runs.at(-1)?.at ?? 0) - from);
      };
      await place.add('shop/a');
      await place.take();
      await place.reach(1);
      for (let i = 0; i < 6; i++) await fail();
      for (const [i, wait] of waits.entries()) expect(wait).toBeGreaterThanOrEqual(backoff(i, 0.5) - 1);
      await place.done(place.running[0]);
      await place.add('shop/a');
      await place.take();
      await place.reach(8);
      await fail();
      if (place.exact) expect(waits.at(-1)).toBe(waits[0]);
    });

    it('lets the lanes of accounts and namespaces take turns, so that none waits for all of another', async () => {
      await using place = await Workplace.open(make);
      for (let i = 0; i < 6; i++) await place.add(`many/s${i}`, { account: 'one' });
      for (let i = 0; i < 3; i++) await place.add(`few/s${i}`, { account: 'one' });
      for (let i = 0; i < 2; i++) await place.add(`many/t${i}`, { account: 'two' });
      const order = await place.takeAll(11);
      expect(order.map((one) => one.replace(/\d/, ''))).toEqual(
        ['many/s', 'few/s', 'many/t', 'many/s', 'few/s', 'many/t', 'many/s', 'few/s'].concat(
          Array.from({ length: 3 }, () => 'many/s'),
        ),
      );
      const { accounts } = await place.queue.view();
      expect(accounts).toMatchObject({ one: { running: 9 }, two: { running: 2 } });
    });

    it('gives each run of a key a greater token, and the right to write for it until it ends', async () => {
      await using place = await Workplace.open(make);
      let token = 0;
      for (let i = 1; i <= 5; i++) {
        await place.add('shop/a');
        await place.add('shop/b');
        await place.takeAll(2);
        for (const lease of [...place.running]) {
          expect(lease.held()).toBe(true);
          expect(lease.token).toBeGreaterThan(token);
        }
        token = Math.max(...place.running.map((lease) => lease.token));
        const [first] = place.running;
        for (const lease of [...place.running]) await place.done(lease);
        expect(first?.held()).toBe(false);
      }
    });

    it('takes no notice of the end of a run that has ended already', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      await place.takeAll(1);
      const [first] = place.running;
      if (!first) throw new Error('nothing runs');
      await place.done(first);
      await place.add('shop/a');
      await place.takeAll(1);
      place.queue.done(first, { kind: 'retry', after: 3_600_000 });
      await place.holds({ running: 1 });
    });

    it('parks a key that fails too often by its own fault, shows it with its last error, and runs it again when it changes or is released', async () => {
      await using place = await Workplace.open(make);
      const failUntilParked = async () => {
        for (let i = 1; i <= PARK_AFTER; i++) {
          await place.takeAll(1);
          await place.done(place.running[0], { kind: 'retry', after: 0, error: `fault ${i}` });
        }
        await place.holds({ parked: 1 });
      };
      await place.add('shop/a', { account: 'one' });
      await failUntilParked();
      const { parkedKeys, accounts } = await place.queue.view();
      expect(parkedKeys).toEqual([{ key: 'shop/a', account: 'one', error: `fault ${PARK_AFTER}` }]);
      expect(accounts).toEqual({ one: { ready: 0, delayed: 0, running: 0, parked: 1 } });

      await place.add('shop/a', { priority: 'resync' });
      await place.holds({ parked: 1 });
      await place.add('shop/a');
      await place.holds({ ready: 1 });
      await failUntilParked();

      expect(await place.queue.release('shop/b')).toBe(false);
      expect(await place.queue.release('shop/a')).toBe(true);
      expect(await place.queue.release('shop/a')).toBe(false);
      await place.takeAll(1);
      await place.done(place.running[0]);
      await place.holds({});
    });

    it('does not park a key that changed while it failed, nor one that fails by no fault of its own', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      for (let i = 1; i <= PARK_AFTER; i++) {
        await place.takeAll(1);
        if (i === PARK_AFTER) await place.add('shop/a');
        await place.done(place.running[0], { kind: 'retry', after: 0, error: 'a fault' });
      }
      await place.holds({ ready: 1 });
      for (let i = 1; i <= PARK_AFTER; i++) {
        await place.takeAll(1);
        await place.done(place.running[0], { kind: 'retry', after: 0 });
      }
      await place.holds({ ready: 1 });
    });

    it('tells how long a key has waited', async () => {
      await using place = await Workplace.open(make);
      await place.add('shop/a');
      await place.pass(50);
      const { oldest } = await place.queue.view();
      await place.takeAll(1);
      const waited = place.running[0]?.waited ?? 0;
      for (const age of [oldest, waited]) expect(age).toBeGreaterThanOrEqual(49);
      if (place.exact) expect([oldest, waited]).toEqual([50, 50]);
    });

    it('ends a take that is aborted without taking a key along', async () => {
      await using place = await Workplace.open(make);
      const stop = new AbortController();
      const taken = place.queue.take(stop.signal);
      stop.abort();
      expect(await taken).toBeUndefined();
      expect(await place.queue.take(stop.signal)).toBeUndefined();
      await place.add('shop/a');
      await place.holds({ ready: 1 });
      expect(await place.takeAll(1)).toEqual(['shop/a']);
    });
  });
}
