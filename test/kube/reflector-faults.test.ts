// The reflector over real sockets, against a real server that is restarted, cut and made to forget.
import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { connectKube } from '../../src/kube/connection.ts';
import { IP_ADDRESS_POOLS, NAMESPACES, NODES } from '../../src/kube/resources.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { follow } from './following.ts';
import { json, startScriptedServer } from './scripted-server.ts';

/** Runs fifty times as fast as the system's, so that pauses between tries do not make the tests slow. */
const fastClock: Clock = {
  now: () => performance.now() * 50,
  wallTime: () => new Date(),
  setTimer(delay, callback) {
    const timeout = setTimeout(callback, delay / 50);
    return { cancel: () => clearTimeout(timeout) };
  },
};

let running: TestServer;
beforeAll(async () => {
  running = await startTestServer();
});
afterAll(() => running.close());

const node = (name: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
const create = (name: string) => running.api.create(NODES, node(name));
const remove = (name: string) => running.api.delete(NODES, { name });
const label = (name: string, value: string) =>
  running.api.patch(
    NODES,
    { name },
    { metadata: { labels: { value } } },
    { type: 'merge', fieldManager: 'test' },
  );

async function serverState(): Promise<Map<string, string | undefined>> {
  const { items } = await running.api.list(NODES, {});
  return new Map(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
}

describe('a reflector', () => {
  it.each([
    { what: 'its server restarts on the same port', restart: true, forget: false },
    { what: 'its watch is dropped', restart: false, forget: false },
    { what: 'its watch is dropped and the server forgets the past', restart: false, forget: true },
  ])('tells once what came, changed and went while $what', async ({ restart, forget }) => {
    // Time stands still, and the reflector's pause before its next try with it, while the server changes.
    const clock = new VirtualClock();
    for (const name of ['kept', 'changed', 'deleted']) await create(name);
    const { synced, told, until, logs, stop } = follow(running.api, NODES, clock);
    await synced;
    await label('kept', 'once');
    await until(() => told.length === 4);
    if (restart) await running.server.stop();
    running.server.dropWatches();
    await until(() => logs.length > 0);
    if (restart) await running.server.start();
    const changed = await label('changed', 'x');
    await remove('deleted');
    const added = await create('added');
    const last = await create('z');
    if (forget) running.server.forgetHistory();
    expect(told.length).toBe(4);
    while (!told.includes(`z@${last.metadata.resourceVersion}`)) await clock.advance(100);
    const news = [
      `changed@${changed.metadata.resourceVersion}`,
      'deleted gone',
      `added@${added.metadata.resourceVersion}`,
      `z@${last.metadata.resourceVersion}`,
    ];
    expect(told.slice(4).toSorted()).toEqual(news.toSorted());
    await stop();
    for (const name of ['kept', 'changed', 'added', 'z']) await remove(name);
  });

  it('waits for a kind that is not installed, and follows it once it is', async () => {
    const bare = await startTestServer();
    const { synced, until, logs } = follow(bare.api, IP_ADDRESS_POOLS, fastClock);
    await until(() => logs.some(({ msg }) => msg.includes('not installed')));
    await bare.api.create(
      {
        group: 'apiextensions.k8s.io',
        version: 'v1',
        plural: 'customresourcedefinitions',
        kind: 'CustomResourceDefinition',
        namespaced: false,
      },
      definition,
    );
    await synced;
    await bare.close();
  });

  it('ends with the store equal to the server and the listeners equal to the store, after any faults', async () => {
    const name = fc.nat(4).map((n) => `random-${n}`);
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), name }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), name }) },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constantFrom('drop' as const, 'forget' as const, 'restart' as const),
        }),
      },
    );
    const perform = async (one: typeof step extends fc.Arbitrary<infer S> ? S : never, value: string) => {
      switch (one.kind) {
        case 'put':
          return (await serverState()).has(one.name) ? label(one.name, value) : create(one.name);
        case 'delete':
          return (await serverState()).has(one.name) ? remove(one.name) : undefined;
        case 'drop':
          return running.server.dropWatches();
        case 'forget':
          running.server.forgetHistory();
          return running.server.dropWatches();
        case 'restart':
          await running.server.stop();
          await running.server.start();
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 15 }), async (steps) => {
        const { synced, store, told, until, stop } = follow(running.api, NODES, fastClock);
        await synced;
        for (const [i, one] of steps.entries()) await perform(one, String(i));
        const expected = await serverState();
        const held = () =>
          new Map([...store.values()].map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
        const same = () =>
          expected.size === store.size &&
          [...held()].every(([key, version]) => expected.get(key) === version);
        await until(same);
        await stop();
        expect(heard(told)).toEqual(expected);
      }),
      { numRuns: 15 },
    );
  });
});

/** What a listener knows that goes by what it is told; fails where it is told what it knows. */
function heard(told: readonly string[]): Map<string, string | undefined> {
  const known = new Map<string, string | undefined>();
  for (const line of told) {
    const [key = '', version] = line.split(/@| /);
    if (version === 'gone') expect(known.delete(key)).toBe(true);
    else {
      expect(known.get(key)).not.toBe(version);
      known.set(key, version);
    }
  }
  return known;
}

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'ipaddresspools.fairlead.dev' },
  spec: {
    group: 'fairlead.dev',
    scope: 'Cluster',
    names: {
      plural: 'ipaddresspools',
      singular: 'ipaddresspool',
      kind: 'IPAddressPool',
      listKind: 'IPAddressPoolList',
    },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

describe('a reflector whose server hangs', () => {
  const LIMITS = { answer: 200, watchGrace: 0 };
  const list = {
    metadata: { resourceVersion: '7' },
    items: [{ metadata: { name: 'a', resourceVersion: '3' } }],
  };
  const event = (name: string) =>
    `${JSON.stringify({ type: 'ADDED', object: { metadata: { name, resourceVersion: '8' } } })}\n`;

  it('gives up on a list without an answer and asks again', async () => {
    let asked = 0;
    const server = await startScriptedServer((request, response) => {
      if (request.url?.includes('watch=true')) return;
      if (++asked > 1) json(response, list);
    });
    const { synced, told, logs } = follow(await connectKube(server.kubeconfig, LIMITS), NODES, fastClock);
    await synced;
    expect(told).toEqual(['a@3']);
    expect(logs[0]).toMatchObject({
      msg: 'the API server does not answer; will try again',
      error: expect.stringContaining('no answer within'),
    });
  });

  it('holds nothing up for other kinds meanwhile', async () => {
    const server = await startScriptedServer((request, response) => {
      if (request.url?.startsWith('/api/v1/nodes')) return;
      if (!request.url?.includes('watch=true')) json(response, list);
    });
    const api = await connectKube(server.kubeconfig);
    const hung = follow(api, NODES);
    await follow(api, NAMESPACES).synced;
    expect(hung.told).toEqual([]);
  });

  it('takes up a watch that stopped half-way in an event, and loses nothing', async () => {
    let watches = 0;
    const server = await startScriptedServer((request, response: ServerResponse) => {
      if (!request.url?.includes('watch=true')) return json(response, list);
      if (++watches === 1)
        response.write(event('whole') + event('half').slice(0, 30), () => response.destroy());
      else response.write(event('half'));
    });
    const { until, told } = follow(await connectKube(server.kubeconfig), NODES, fastClock);
    await until(() => told.includes('half@8'));
    expect(told).toEqual(['a@3', 'whole@8', 'half@8']);
    expect(server.requests.at(-1)).toContain('resourceVersion=8');
    expect(server.requests.filter((request) => !request.includes('watch=true')).length).toBe(1);
  });
});
