// What every WorkQueue must do, whatever it is made of: by the contract in src/queue/work-queue.ts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Random } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import type { WorkQueue } from '../../src/queue/work-queue.ts';

export type MakeQueue = (parts: { readonly clock: VirtualClock; readonly random: Random }) => WorkQueue;

const KEYS = ['shop/a', 'shop/b', 'shop/c'] as const;
const key = fc.constantFrom(...KEYS);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), key }) },
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

/** A queue whose runs begin and end as the test says. */
class Workplace {
  readonly clock = new VirtualClock();
  readonly queue: WorkQueue;
  /** Keys that run, oldest first. */
  readonly running: string[] = [];
  /** Every run that began, with the time of its beginning. */
  readonly runs: { readonly key: string; readonly at: number }[] = [];
  readonly #stop = new AbortController();

  constructor(make: MakeQueue, random: Random = () => 0.5) {
    this.queue = make({ clock: this.clock, random });
  }

  async take(): Promise<void> {
    this.queue.take(this.#stop.signal).then((taken) => {
      if (taken === undefined) return;
      this.running.push(taken);
      this.runs.push({ key: taken, at: this.clock.now() });
    });
    await this.clock.advance(0);
  }

  async done(one: string, outcome: Parameters<WorkQueue['done']>[1] = { kind: 'finished' }): Promise<void> {
    this.running.splice(this.running.indexOf(one), 1);
    this.queue.done(one, outcome);
    await this.clock.advance(0);
  }

  /** Finishes everything, runs what is left and what falls due, until nothing is. */
  async drain(): Promise<void> {
    await this.take();
    const { ready, delayed } = this.queue.depth();
    const idle = this.running.length === 0 && ready === 0;
    if (idle && delayed === 0) return;
    if (idle) await this.clock.advance(100);
    for (const one of [...this.running]) await this.done(one);
    await this.drain();
  }
}

export function describeWorkQueue(name: string, make: MakeQueue): void {
  describe(`${name} as a work queue`, () => {
    it('hands out keys oldest first, each once however often it was added, again if it was added while it ran', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          const place = new Workplace(make);
          const ready: string[] = [];
          const running = new Set<string>();
          const again = new Set<string>();
          const expected: string[] = [];
          let takers = 0;
          const hand = () => {
            for (; takers > 0 && ready.length > 0; takers--) {
              const next = ready.shift() ?? '';
              running.add(next);
              expected.push(next);
            }
          };
          for (const one of steps) {
            if (one.kind === 'add') {
              place.queue.add(one.key);
              if (running.has(one.key)) again.add(one.key);
              else if (!ready.includes(one.key)) ready.push(one.key);
            } else if (one.kind === 'take') {
              takers++;
              await place.take();
            } else {
              const ended = [...running][one.pick % Math.max(1, running.size)];
              if (ended === undefined) continue;
              running.delete(ended);
              if (again.delete(ended)) ready.push(ended);
              await place.done(ended);
            }
            hand();
            await place.clock.advance(0);
            expect(place.runs.map((run) => run.key)).toEqual(expected);
            expect(place.queue.depth()).toEqual({
              ready: ready.length + again.size,
              delayed: 0,
              running: running.size,
            });
          }
        }),
      );
    });

    it('never runs a key twice at a time, runs none too early, and loses none, with delays and retries', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(timedStep, { maxLength: 60 }), async (steps) => {
          const place = new Workplace(make);
          /** Since the last run of a key began: when it was asked for at the earliest. */
          const due = new Map<string, number>();
          const ask = (one: string, at: number) => due.set(one, Math.min(at, due.get(one) ?? at));
          let seen = 0;
          const check = () => {
            expect(new Set(place.running).size).toBe(place.running.length);
            for (const { key: one, at } of place.runs.slice(seen)) {
              expect(due.get(one), `${one} runs unasked`).toBeDefined();
              expect(at).toBeGreaterThanOrEqual(due.get(one) ?? Infinity);
              due.delete(one);
            }
            seen = place.runs.length;
          };
          for (const one of steps) {
            const now = place.clock.now();
            const picked =
              'pick' in one ? place.running[one.pick % Math.max(1, place.running.length)] : undefined;
            if (one.kind === 'add') {
              place.queue.add(one.key);
              ask(one.key, now);
            } else if (one.kind === 'later') {
              place.queue.add(one.key, { after: one.after });
              ask(one.key, now + one.after);
            } else if (one.kind === 'take') await place.take();
            else if (one.kind === 'wait') await place.clock.advance(one.duration);
            else if (picked !== undefined && one.kind === 'finish') await place.done(picked);
            else if (picked !== undefined && one.kind === 'retry') {
              ask(picked, now + (one.after ?? 0));
              await place.done(picked, {
                kind: 'retry',
                ...(one.after === undefined ? {} : { after: one.after }),
              });
            }
            await place.clock.advance(0);
            check();
          }
          await place.drain();
          check();
          expect([...due.keys()]).toEqual([]);
        }),
      );
    });

    it('runs a delayed key on time, and of several adds the earliest counts', async () => {
      const place = new Workplace(make);
      await place.take();
      place.queue.add('shop/a', { after: 100 });
      place.queue.add('shop/a', { after: 40 });
      place.queue.add('shop/a', { after: 70 });
      expect(place.queue.depth()).toEqual({ ready: 0, delayed: 1, running: 0 });
      await place.clock.advance(39);
      expect(place.runs).toEqual([]);
      await place.clock.advance(1);
      expect(place.runs).toEqual([{ key: 'shop/a', at: 40 }]);
      await place.done('shop/a');
      await place.take();
      await place.clock.advance(1000);
      expect(place.runs).toHaveLength(1);
    });

    it('runs a key at once that is added while it is delayed', async () => {
      const place = new Workplace(make);
      await place.take();
      place.queue.add('shop/a', { after: 100 });
      await place.clock.advance(10);
      place.queue.add('shop/a');
      await place.clock.advance(0);
      expect(place.runs).toEqual([{ key: 'shop/a', at: 10 }]);
      await place.done('shop/a');
      await place.take();
      await place.clock.advance(1000);
      expect(place.runs).toHaveLength(1);
    });

    it('waits longer for each retry in a row, at most a minute, and starts over after a run that finished', async () => {
      const place = new Workplace(make);
      const waits: number[] = [];
      const fail = async () => {
        const from = place.clock.now();
        await place.done('shop/a', { kind: 'retry' });
        await place.take();
        await place.clock.advance(60_000);
        waits.push((place.runs.at(-1)?.at ?? 0) - from);
      };
      place.queue.add('shop/a');
      await place.take();
      for (let i = 0; i < 20; i++) await fail();
      expect(waits).toEqual([...waits].sort((a, b) => a - b));
      expect(new Set(waits.slice(0, 10)).size).toBe(10);
      expect(waits.at(-1)).toBeGreaterThan(10_000);
      await place.done('shop/a');
      place.queue.add('shop/a');
      await place.take();
      await fail();
      expect(waits.at(-1)).toBe(waits[0]);
    });

    it('spreads the retries of many keys', async () => {
      let i = 0;
      const place = new Workplace(make, () => (i++ % 10) / 10);
      const keys = Array.from({ length: 10 }, (_, n) => `shop/s${n}`);
      for (const one of keys) {
        place.queue.add(one);
        await place.take();
      }
      for (const one of keys) await place.done(one, { kind: 'retry' });
      for (const _ of keys) await place.take();
      await place.clock.advance(60_000);
      expect(new Set(place.runs.slice(10).map(({ at }) => at)).size).toBe(10);
    });

    it('ends a take that is aborted without taking a key along', async () => {
      const { clock, queue } = new Workplace(make);
      const stop = new AbortController();
      const taken = queue.take(stop.signal);
      stop.abort();
      expect(await taken).toBeUndefined();
      expect(await queue.take(stop.signal)).toBeUndefined();
      queue.add('shop/a');
      await clock.advance(0);
      expect(queue.depth()).toEqual({ ready: 1, delayed: 0, running: 0 });
      expect(await queue.take(new AbortController().signal)).toBe('shop/a');
    });
  });
}
