import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WatchEvent } from '../../src/kube/kube-api.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { NODES } from '../../src/kube/resources.ts';
import { MERGE, RawClient, take, type WatchLine } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const ALL = '/api/v1/nodes';

beforeEach(async () => {
  running = await startTestServer();
  raw = await RawClient.open(running.kubeconfig);
});

afterEach(() => running.close());

async function addNode(name: string, labels: Record<string, string> = {}): Promise<string> {
  return (await raw.post(ALL, { metadata: { name, labels } })).body.metadata.resourceVersion;
}

function names(events: readonly WatchLine[]): string[] {
  return events.map(({ type, object }) => `${type} ${object.metadata?.name ?? object.code}`);
}

async function newest(): Promise<string> {
  return (await raw.get(ALL)).body.metadata.resourceVersion;
}

describe('a watch', () => {
  it('from a list misses nothing and repeats nothing', async () => {
    await addNode('before');
    const from = await newest();
    await addNode('between');
    const watch = await raw.watch(`${ALL}?watch=true&resourceVersion=${from}`);
    expect(names(await take(watch, 1))).toEqual(['ADDED between']);
    await raw.patch(`${ALL}/before`, MERGE, { metadata: { labels: { a: 'b' } } });
    await raw.delete(`${ALL}/between`);
    expect(names(await take(watch, 2))).toEqual(['MODIFIED before', 'DELETED between']);
    await watch.return(undefined);
  });

  it.each(['', '&resourceVersion=0'])('with no version ("%s") starts with all objects', async (version) => {
    await addNode('a');
    await addNode('b');
    const watch = await raw.watch(`${ALL}?watch=1${version}`);
    expect(names(await take(watch, 2))).toEqual(['ADDED a', 'ADDED b']);
    await addNode('c');
    expect(names(await take(watch, 1))).toEqual(['ADDED c']);
    await watch.return(undefined);
  });

  it('with sendInitialEvents tells by a bookmark that all have come', async () => {
    await addNode('a');
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const watch = await raw.watch(`${ALL}?watch=1&${query}`);
    const [added, mark] = await take(watch, 2);
    expect(added?.object.metadata.name).toBe('a');
    expect(mark).toMatchObject({
      type: 'BOOKMARK',
      object: {
        kind: 'Node',
        apiVersion: 'v1',
        metadata: {
          resourceVersion: await newest(),
          annotations: { 'k8s.io/initial-events-end': 'true' },
        },
      },
    });
    await watch.return(undefined);
    expect((await raw.get(`${ALL}?watch=1&sendInitialEvents=true`)).status).toBe(422);
  });

  it('of one namespace or selector shows objects as they come into sight and leave it', async () => {
    await addNode('a', { zone: 'east' });
    await addNode('b', { zone: 'west' });
    const watch = await raw.watch(`${ALL}?watch=1&labelSelector=zone%3Deast`);
    await take(watch, 1);
    await raw.patch(`${ALL}/b`, MERGE, { metadata: { labels: { zone: 'east' } } });
    const { body } = await raw.patch(`${ALL}/a`, MERGE, { metadata: { labels: { zone: 'west' } } });
    await raw.patch(`${ALL}/a`, MERGE, { metadata: { labels: { other: 'x' } } });
    await raw.delete(`${ALL}/b`);
    const events = await take(watch, 3);
    expect(names(events)).toEqual(['ADDED b', 'DELETED a', 'DELETED b']);
    // As it was last seen, under the version of the change.
    expect(events[1]?.object.metadata).toMatchObject({
      labels: { zone: 'east' },
      resourceVersion: body.metadata.resourceVersion,
    });
    await watch.return(undefined);
  });

  it('as a table shows rows', async () => {
    await addNode('a');
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    const watch = await raw.watch(`${ALL}?watch=1`, { accept });
    const [event] = await take(watch, 1);
    expect(event?.object).toMatchObject({ kind: 'Table', rows: [{ cells: expect.arrayContaining(['a']) }] });
    await watch.return(undefined);
  });

  it('is cut when watches are dropped, and the next one goes on where it was', async () => {
    const from = await newest();
    const watch = await raw.watch(`${ALL}?watch=1&resourceVersion=${from}`);
    await addNode('a');
    const [event] = await take(watch, 1);
    const next = watch.next();
    running.server.dropWatches();
    await expect(next).rejects.toThrow();
    await addNode('b');
    const again = await raw.watch(`${ALL}?watch=1&resourceVersion=${event?.object.metadata.resourceVersion}`);
    expect(names(await take(again, 1))).toEqual(['ADDED b']);
    await again.return(undefined);
  });
});

describe('history that is gone', () => {
  it('ends a watch from before it with an ERROR of 410', async () => {
    const from = await newest();
    await addNode('a');
    await running.server.forgetHistory();
    const watch = await raw.watch(`${ALL}?watch=1&resourceVersion=${from}`);
    const [event] = await take(watch, 1);
    expect([event?.type, event?.object.kind, event?.object.code, event?.object.reason]).toEqual([
      'ERROR',
      'Status',
      410,
      'Expired',
    ]);
    expect((await watch.next()).done).toBe(true);
    const fresh = await raw.watch(`${ALL}?watch=1&resourceVersion=${await newest()}`);
    await addNode('b');
    expect(names(await take(fresh, 1))).toEqual(['ADDED b']);
    await fresh.return(undefined);
  });

  it('reaches the project’s own client as an error event', async () => {
    const from = await newest();
    await addNode('a');
    await running.server.forgetHistory();
    const events: WatchEvent<KubeObject>[] = [];
    const { signal } = new AbortController();
    for await (const event of running.api.watch(NODES, { resourceVersion: from, timeoutSeconds: 5, signal }))
      events.push(event);
    expect(events).toEqual([expect.objectContaining({ kind: 'error', code: 410 })]);
  });
});
