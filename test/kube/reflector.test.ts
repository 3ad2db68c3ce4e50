// Timing and judgement, on a virtual clock and a KubeApi that answers as each test says.
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import {
  type KubeApi,
  KubeError,
  type ListOptions,
  type WatchEvent,
  type WatchOptions,
} from '../../src/kube/kube-api.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { IP_ADDRESS_POOLS, NODES } from '../../src/kube/resources.ts';
import { follow } from './following.ts';

type Events = AsyncIterable<WatchEvent<KubeObject>>;

interface Script {
  list?: (options: ListOptions) => { items: KubeObject[]; resourceVersion: string; continue?: string };
  watch?: (options: WatchOptions) => Events;
}

function object(name: string, resourceVersion: string, uid = name): KubeObject {
  return { metadata: { name, uid, resourceVersion } };
}

/** A watch that yields these and then ends, breaks, or stays open. */
async function* events(
  signal: AbortSignal,
  list: readonly WatchEvent<KubeObject>[],
  end: 'end' | 'open' | KubeError,
): AsyncGenerator<WatchEvent<KubeObject>> {
  yield* list;
  if (end instanceof Error) throw end;
  if (end === 'end') return;
  await new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(new KubeError(0, 'ABORT_ERR', ''))),
  );
}

/** Counts calls; a verb without a script lists nothing, or watches in silence. */
function scripted(script: Script) {
  const calls = { lists: [] as ListOptions[], watches: [] as WatchOptions[] };
  const api = {
    async list(_: unknown, options: ListOptions) {
      calls.lists.push(options);
      return script.list?.(options) ?? { items: [], resourceVersion: '1' };
    },
    watch(_: unknown, options: WatchOptions) {
      calls.watches.push(options);
      return script.watch?.(options) ?? events(options.signal, [], 'open');
    },
  };
  return { api: api as unknown as KubeApi, calls, script }; // a reflector calls no other verb
}

const gone = new KubeError(410, 'Expired', 'too old resource version');
const unreachable = new KubeError(0, 'ECONNREFUSED', 'connect ECONNREFUSED');

it('lists all pages, then watches from the version of the list', async () => {
  const { api, calls } = scripted({
    list: ({ continue: page }) =>
      page === undefined
        ? { items: [object('a', '3')], resourceVersion: '9', continue: 'more' }
        : { items: [object('b', '4')], resourceVersion: '9' },
  });
  const clock = new VirtualClock();
  const { synced, told } = follow(api, NODES, clock);
  await synced;
  await clock.advance(0);
  expect(told).toEqual(['a@3', 'b@4']);
  expect(calls.lists.map(({ continue: page, limit }) => [page, limit])).toEqual([
    [undefined, 500],
    ['more', 500],
  ]);
  expect(calls.watches.map(({ resourceVersion }) => resourceVersion)).toEqual(['9']);
  expect(calls.watches[0]?.timeoutSeconds).toBe(45);
});

it('goes on from the last event or bookmark after a break, and lists nothing again', async () => {
  const clock = new VirtualClock();
  const { api, calls, script } = scripted({});
  script.watch = ({ signal, resourceVersion }) =>
    resourceVersion === '1'
      ? events(
          signal,
          [
            { kind: 'added', object: object('a', '5') },
            { kind: 'bookmark', resourceVersion: '8' },
          ],
          unreachable,
        )
      : events(signal, [], 'open');
  const { told } = follow(api, NODES, clock);
  await clock.advance(1_000);
  expect(told).toEqual(['a@5']);
  expect(calls.watches.map(({ resourceVersion }) => resourceVersion)).toEqual(['1', '8']);
  expect(calls.lists.length).toBe(1);
});

it.each([
  [
    'an error event',
    (signal: AbortSignal) => events(signal, [{ kind: 'error', code: 410, message: 'too old' }], 'end'),
  ],
  ['an answer 410', (signal: AbortSignal) => events(signal, [], gone)],
  [
    'a version from another history (504)',
    (signal: AbortSignal) => events(signal, [], new KubeError(504, 'Timeout', 'Too large')),
  ],
])('lists again after %s, and tells only the difference', async (_, broken) => {
  const clock = new VirtualClock();
  const { api, calls, script } = scripted({});
  script.list = () =>
    calls.lists.length === 1
      ? { items: [object('kept', '1'), object('changed', '2'), object('deleted', '3')], resourceVersion: '3' }
      : { items: [object('kept', '1'), object('changed', '5'), object('new', '6')], resourceVersion: '7' };
  script.watch = ({ signal }) => (calls.watches.length === 1 ? broken(signal) : events(signal, [], 'open'));
  const { told } = follow(api, NODES, clock);
  await clock.advance(1_000);
  expect(told).toEqual(['kept@1', 'changed@2', 'deleted@3', 'deleted gone', 'changed@5', 'new@6']);
  expect(calls.watches.map(({ resourceVersion }) => resourceVersion)).toEqual(['3', '7']);
});

it('starts the list over when a page has expired, and tells nothing of the half that it had', async () => {
  const clock = new VirtualClock();
  const { api, calls, script } = scripted({});
  script.list = ({ continue: page }) => {
    if (page === 'old') throw gone;
    return calls.lists.length === 1
      ? { items: [object('half', '1')], resourceVersion: '1', continue: 'old' }
      : { items: [object('whole', '2')], resourceVersion: '2' };
  };
  const { told, logs } = follow(api, NODES, clock);
  await clock.advance(1_000);
  expect(told).toEqual(['whole@2']);
  expect(logs).toEqual([]);
});

it('tells duplicates once, and takes versions as they come: they are opaque', async () => {
  const { api } = scripted({
    watch: ({ signal }) =>
      events(
        signal,
        [
          { kind: 'added', object: object('a', '20') },
          { kind: 'added', object: object('a', '20') },
          { kind: 'modified', object: object('b', '11') },
          { kind: 'deleted', object: object('a', '12') },
          { kind: 'deleted', object: object('a', '12') },
          { kind: 'added', object: object('a', '13', 'another') },
        ],
        'open',
      ),
  });
  const clock = new VirtualClock();
  const { told, store } = follow(api, NODES, clock);
  await clock.advance(1_000);
  expect(told).toEqual(['a@20', 'b@11', 'a gone', 'a@13']);
  expect(store.get('a')?.metadata.uid).toBe('another');
});

it.each([
  ['ends at once', [], 'end' as const],
  ['ends after its first event', [{ kind: 'bookmark' as const, resourceVersion: '2' }], 'end' as const],
  ['is told 410 each time', [], gone],
  ['breaks at once', [], unreachable],
])('asks with growing pauses when a watch %s, up to one in five seconds', async (_, list, end) => {
  const clock = new VirtualClock();
  const { api, calls } = scripted({ watch: ({ signal }) => events(signal, list, end) });
  follow(api, NODES, clock);
  await clock.advance(60_000);
  expect(calls.watches.length).toBeGreaterThan(60_000 / 5_000);
  expect(calls.watches.length).toBeLessThan(30);
  expect(calls.lists.length).toBeLessThanOrEqual(calls.watches.length);
});

it('tries again within a tenth of a second after a watch that had worked', async () => {
  const clock = new VirtualClock();
  const { api, calls, script } = scripted({});
  const cut: (() => void)[] = [];
  script.watch = async function* ({ signal }) {
    await new Promise<void>((resolve) => {
      cut.push(resolve);
      signal.addEventListener('abort', () => resolve());
    });
    yield { kind: 'bookmark', resourceVersion: '2' };
    throw unreachable;
  };
  follow(api, NODES, clock);
  for (let watches = 1; watches < 20; watches++) {
    await clock.advance(30_000);
    expect(calls.watches.length).toBe(watches);
    cut.at(-1)?.();
    await clock.advance(100);
  }
  expect(calls.lists.length).toBe(1);
});

it.each([
  ['waits as long as the server asks', 7_000, 7_000],
  ['waits half a minute where the server asks for a day', 86_400_000, 30_000],
])('%s', async (_, retryAfter, pause) => {
  const clock = new VirtualClock();
  const { api, calls } = scripted({
    list: () => {
      throw new KubeError(429, 'TooManyRequests', 'slow down', retryAfter);
    },
  });
  follow(api, NODES, clock);
  await clock.advance(pause - 1);
  expect(calls.lists.length).toBe(1);
  await clock.advance(1);
  expect(calls.lists.length).toBe(2);
});

it('waits for a kind that is not installed, says so once, and follows it once it is there', async () => {
  const clock = new VirtualClock();
  let installed = false;
  const { api } = scripted({
    list: () => {
      if (!installed)
        throw new KubeError(404, 'NotFound', 'the server could not find the requested resource');
      return { items: [object('pool', '4')], resourceVersion: '4' };
    },
  });
  const { told, logs, settled } = follow(api, IP_ADDRESS_POOLS, clock);
  await clock.advance(120_000);
  await settled; // there is nothing of a kind that is not there
  expect(logs.map(({ level, resource, msg }) => [level, resource, msg])).toEqual([
    [40, 'ipaddresspools.fairlead.dev', expect.stringContaining('apply deploy/crds')],
  ]);
  installed = true;
  await clock.advance(5_000);
  expect(told).toEqual(['pool@4']);
  expect(logs.at(-1)?.msg).toBe('the API server answers again');
});

it('lists again after a kind went away, for it may return with other objects', async () => {
  const clock = new VirtualClock();
  const { api, calls, script } = scripted({});
  script.list = () => ({ items: [object(`pool-${calls.lists.length}`, '4')], resourceVersion: '4' });
  script.watch = ({ signal }) =>
    events(signal, [], calls.watches.length === 1 ? new KubeError(404, 'NotFound', 'not found') : 'open');
  const { store } = follow(api, IP_ADDRESS_POOLS, clock);
  await clock.advance(1_000);
  expect([...store.values()].map(({ metadata }) => metadata.name)).toEqual(['pool-2']);
});

it.each([
  [new KubeError(401, 'Unauthorized', 'Unauthorized'), 50, 'check the token or certificate'],
  [new KubeError(403, 'Forbidden', 'nodes is forbidden: User "x"'), 50, 'grant list and watch'],
  [new KubeError(500, 'InternalError', 'etcd is down'), 40, 'answers with an error'],
  [
    new KubeError(0, 'SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate'),
    50,
    'check certificate-authority',
  ],
  [new KubeError(0, 'ERR_TLS_CERT_ALTNAME_INVALID', 'not in the list'), 50, 'check certificate-authority'],
  [new KubeError(0, 'Credentials', 'spawn aws ENOENT'), 50, 'credentials for the API server cannot be read'],
  [unreachable, 40, 'does not answer'],
])('says once what is wrong and what mends it: %s', async (error, level, mend) => {
  const clock = new VirtualClock();
  let broken = true;
  const { api } = scripted({
    list: () => {
      if (broken) throw error;
      return { items: [], resourceVersion: '1' };
    },
  });
  const { logs, registry } = follow(api, NODES, clock);
  await clock.advance(60_000);
  expect(logs).toEqual([
    expect.objectContaining({
      level,
      resource: 'nodes',
      error: error.message,
      msg: expect.stringContaining(mend),
    }),
  ]);
  broken = false;
  await clock.advance(5_000);
  expect(logs.map(({ msg }) => msg).slice(1)).toEqual(['the API server answers again']);
  const metrics = await registry.metrics();
  expect(metrics).toMatch(
    new RegExp(`fairlead_kube_errors_total{resource="nodes",status="${error.status}"} \\d+`),
  );
});

it('holds no managedFields, which nobody reads', async () => {
  const heavy = { metadata: { name: 'a', resourceVersion: '1', managedFields: [{ manager: 'kubectl' }] } };
  const { api } = scripted({ list: () => ({ items: [heavy], resourceVersion: '1' }) });
  const { synced, store } = follow(api, NODES, new VirtualClock());
  await synced;
  expect(store.get('a')?.metadata).toEqual({ name: 'a', resourceVersion: '1' });
});

it('ends when it is told to, in a pause and in a watch', async () => {
  const clock = new VirtualClock();
  const watching = follow(scripted({}).api, NODES, clock);
  const pausing = follow(
    scripted({
      list: () => {
        throw unreachable;
      },
    }).api,
    NODES,
    clock,
  );
  await clock.advance(10);
  await watching.stop();
  await pausing.stop();
});
