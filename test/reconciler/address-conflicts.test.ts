// Addresses that a host outside the cluster uses: out of use until an agent finds that nobody has them, and bounded.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import type { EventRecorder } from '../../src/kube/events.ts';
import { type KubeApi, KubeError } from '../../src/kube/kube-api.ts';
import type { KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { Store } from '../../src/kube/store.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { type Mac, macAt } from '../../src/net/mac.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { AddressConflicts } from '../../src/reconciler/address-conflicts.ts';

const RIVAL = macAt(Uint8Array.of(2, 0, 0, 0, 0, 9));
const FIRST = ip('192.0.2.1');

let stop: AbortController;
let clock: VirtualClock;
let services: Store<ServiceObject>;
let announcements: Store<KubeObject>;
let conflicts: AddressConflicts;
let changes: number;
let fails: number;
let calls: string[];
let told: string[];
/** What an agent sees of each address; undefined: nobody is there to look. */
let seen: (address: Ip) => readonly Mac[] | undefined;

beforeEach(() => {
  stop = new AbortController();
  clock = new VirtualClock();
  services = new Store();
  announcements = new Store();
  [changes, fails] = [0, 0];
  [calls, told] = [[], []];
  seen = () => [RIVAL];
  const api = {
    async delete(_: unknown, { name }: { name: string }) {
      calls.push(`delete ${name}`);
      if (fails-- > 0) throw new KubeError(500, 'InternalError', 'no');
      announcements.delete(name);
    },
    async patch(_: unknown, { name }: { name: string }, { status }: { status: object }) {
      calls.push(`patch ${name}`);
      const before = announcements.get(name) as { status?: object };
      const { node, since, ...rest } = { ...before.status, ...status } as Record<string, unknown>;
      expect([node, since]).toEqual([null, null]);
      announcements.set({ metadata: { name }, status: rest } as KubeObject);
    },
  };
  conflicts = new AddressConflicts({
    api: api as unknown as KubeApi, // it only patches and deletes
    events: {
      record: (
        { metadata }: KubeObject,
        { type, reason, note }: { type: string; reason: string; note: string },
      ) => told.push(`${metadata.name}: ${type} ${reason}: ${note}`),
    } as unknown as EventRecorder, // it only records
    services,
    announcements,
    clock,
    log: createLogger({ component: 'test', level: 'silent' }),
    look: async (address) => {
      calls.push(`look ${address}`);
      return seen(address);
    },
    onChange: () => changes++,
  });
});

afterEach(() => stop.abort());

function say(address: Ip, conflict: boolean, at = 0): void {
  const condition = (type: string, status: boolean) => ({
    type,
    status: status ? 'True' : 'False',
    reason: 'R',
    message: '',
    lastTransitionTime: new Date(at).toISOString(),
  });
  announcements.set({
    metadata: { name: address },
    status: {
      address,
      services: ['default/web'],
      node: 'node-1',
      conditions: [condition('Conflict', conflict), condition('Announced', !conflict)],
    },
  } as KubeObject);
}

function show(...addresses: Ip[]): void {
  services.set({
    metadata: { name: 'web', namespace: 'default' },
    spec: {},
    status: { loadBalancer: { ingress: addresses.map((each) => ({ ip: each })) } },
  });
}

/** Lets seconds pass; what was done meanwhile. */
async function pass(seconds: number): Promise<string[]> {
  for (let i = 0; i < seconds; i++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return calls.splice(0);
}

it('counts from the first look at what agents say, and no longer than they say so', () => {
  say(FIRST, true);
  conflicts.start(stop.signal);
  expect([...conflicts.outOfUse]).toEqual([FIRST]);
  say(FIRST, false);
  expect([...conflicts.outOfUse]).toEqual([]);
  expect(changes).toBe(2);
});

it('is looked for on the wire once no Service has it, and free when nobody answered three times in a row', async () => {
  conflicts.start(stop.signal);
  show(FIRST);
  say(FIRST, true);
  expect(await pass(60)).toEqual([]); // the node that has it looks itself
  show();
  expect((await pass(2)).toSorted()).toEqual([`look ${FIRST}`, `patch ${FIRST}`]);
  expect(await pass(2)).toEqual([`look ${FIRST}`]);
  seen = () => [];
  expect(await pass(4)).toEqual([`look ${FIRST}`, `look ${FIRST}`]);
  seen = () => [RIVAL];
  await pass(2);
  seen = () => [];
  fails = 1;
  const done = await pass(30);
  expect(done.filter((each) => each.startsWith('look'))).toHaveLength(4); // the removal that failed was tried again
  expect(done.at(-1)).toBe(`delete ${FIRST}`);
  expect([...conflicts.outOfUse]).toEqual([]);
});

it('stays out of use while no agent can look', async () => {
  conflicts.start(stop.signal);
  say(FIRST, true);
  seen = () => undefined;
  const done = await pass(600);
  expect(done).not.toContain(`delete ${FIRST}`);
  expect([...conflicts.outOfUse]).toEqual([FIRST]);
});

it('is one of 16 at most, the oldest conflicts first; the next one follows when one is over', () => {
  conflicts.start(stop.signal);
  const addresses = Array.from({ length: 20 }, (_, i) => ip(`192.0.2.${i + 1}`));
  for (const [i, address] of addresses.entries()) say(address, true, i * 1_000);
  expect([...conflicts.outOfUse]).toEqual(addresses.slice(0, 16));
  say(FIRST, false);
  expect([...conflicts.outOfUse].toSorted()).toEqual(addresses.slice(1, 17).toSorted());
});

it('is told to the Service that lost it, and to no other', () => {
  show();
  const entry = {
    kind: 'moved',
    service: 'default/web',
    before: [FIRST],
    after: [ip('192.0.2.2')],
    pools: ['lan'],
  } as const;
  conflicts.hear({ ...entry, cause: 'pools' });
  conflicts.hear({ ...entry, cause: 'conflict', service: 'default/other' });
  conflicts.hear({ ...entry, cause: 'conflict', after: [FIRST] });
  conflicts.hear({ ...entry, cause: 'conflict' });
  expect(told).toEqual([
    'web: Warning AddressReallocated: 192.0.2.1: a host outside the cluster uses it, so the Service gets another address',
  ]);
});

it('does nothing more after its end', async () => {
  conflicts.start(stop.signal);
  say(FIRST, true);
  stop.abort();
  expect(await pass(60)).toEqual([]);
});
