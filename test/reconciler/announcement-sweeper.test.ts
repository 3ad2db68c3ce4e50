// Announcements go with their addresses.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type KubeApi, KubeError } from '../../src/kube/kube-api.ts';
import type { KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { sweepAnnouncements } from '../../src/reconciler/announcement-sweeper.ts';

let stop: AbortController;
let clock: VirtualClock;
let services: Store<ServiceObject>;
let announcements: Store<KubeObject>;
let fails: number;
let calls: string[];

beforeEach(() => {
  stop = new AbortController();
  clock = new VirtualClock();
  services = new Store();
  announcements = new Store();
  fails = 0;
  calls = [];
  const api = {
    async delete(_: unknown, { name }: { name: string }) {
      calls.push(name);
      if (fails-- > 0) throw new KubeError(500, 'InternalError', 'no');
      announcements.delete(name);
    },
  };
  const log = createLogger({ component: 'test', level: 'silent' });
  // it only deletes
  sweepAnnouncements({ api: api as unknown as KubeApi, services, announcements, clock, log }, stop.signal);
});

afterEach(() => stop.abort());

function show(name: string, ...addresses: string[]): void {
  services.set({
    metadata: { name, namespace: 'default' },
    spec: {},
    status: { loadBalancer: { ingress: addresses.map((ip) => ({ ip })) } },
  });
}

/** Lets seconds pass. */
async function pass(seconds: number): Promise<string[]> {
  for (let i = 0; i < seconds; i++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return calls.splice(0);
}

it('stays while a Service shows the address, and is removed when none has for a while', async () => {
  show('web', '192.0.2.1', '2001:db8::1');
  for (const name of ['192.0.2.1', '2001-db8--1']) announcements.set({ metadata: { name } });
  expect(await pass(60)).toEqual([]);
  show('web', '2001:db8::1');
  expect(await pass(3)).toEqual([]);
  expect(await pass(20)).toEqual(['192.0.2.1']);
  services.delete('default/web');
  expect(await pass(20)).toEqual(['2001-db8--1']);
});

it('is not removed where this process only hears late of the Service that has it', async () => {
  announcements.set({ metadata: { name: '192.0.2.1' } });
  await pass(3);
  show('web', '192.0.2.1');
  expect(await pass(60)).toEqual([]);
});

it('is tried again where it cannot be removed', async () => {
  fails = 1;
  announcements.set({ metadata: { name: '192.0.2.1' } });
  expect(await pass(30)).toEqual(['192.0.2.1', '192.0.2.1']);
  expect(announcements.size).toBe(0);
});
