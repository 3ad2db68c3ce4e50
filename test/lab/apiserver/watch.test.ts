// What of watches hangs on time, sizes and history: the embedded API server's own (test/conformance has the rest).
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { RawClient, take } from './raw-client.ts';
import { startEmbeddedServer, type TestServer } from './running-server.ts';

let clock: VirtualClock;
let running: TestServer;
let raw: RawClient;
const ALL = '/api/v1/nodes';

beforeEach(async () => {
  clock = new VirtualClock();
  running = await startEmbeddedServer({ clock, history: 5 });
  raw = await RawClient.open(running.kubeconfig);
});

afterEach(() => running.close());

async function newest(): Promise<string> {
  return (await raw.get(ALL)).body.metadata.resourceVersion;
}

describe('a watch', () => {
  it('sends bookmarks from time to time, and a last one when its time is over', async () => {
    const from = await newest();
    const watch = await raw.watch(
      `${ALL}?watch=1&resourceVersion=${from}&allowWatchBookmarks=true&timeoutSeconds=15`,
    );
    await raw.post('/api/v1/namespaces', { metadata: { name: 'elsewhere' } });
    await clock.advance(10_000);
    const [mark] = await take(watch, 1);
    expect([mark?.type, mark?.object.metadata.resourceVersion]).toEqual(['BOOKMARK', await newest()]);
    await clock.advance(5_000);
    expect((await take(watch, 1))[0]?.type).toBe('BOOKMARK');
    expect((await watch.next()).done).toBe(true);
  });

  it('sends no bookmarks to those who did not ask', async () => {
    const watch = await raw.watch(`${ALL}?watch=1&timeoutSeconds=60`);
    await clock.advance(60_000);
    expect((await watch.next()).done).toBe(true);
  });

  describe('of a client that does not read', () => {
    const MAPS = '/api/v1/namespaces/default/configmaps';
    const big = 'x'.repeat(2_500_000);
    const addBig = (name: string) => raw.post(MAPS, { metadata: { name }, data: { big } });

    it('ends when its time is over, and what changes meanwhile goes to others', async () => {
      const watch = await raw.watch(`${MAPS}?watch=1&timeoutSeconds=60`);
      // 15 MB: more than the sockets hold, so that the end waits for the reader.
      for (let i = 0; i < 6; i++) await addBig(`n${i}`);
      await clock.advance(60_000);
      await addBig('late');
      const seen: string[] = [];
      for await (const { object } of watch) seen.push(object.metadata.name);
      expect(seen).toEqual(Array.from({ length: 6 }, (_, i) => `n${i}`));
    });

    it('is cut when too much waits for it', async () => {
      const watch = await raw.watch(`${MAPS}?watch=1`);
      // 60 MB: the limit, and more than the sockets on both sides hold beside.
      for (let i = 0; i < 24; i++) await addBig(`n${i}`);
      const drained = (async () => {
        for await (const _ of watch);
      })();
      await expect(drained).rejects.toThrow();
    });
  });

  it('goes by itself when many changes have come since', async () => {
    const from = await newest();
    // Twice the history is held at most.
    for (let i = 0; i <= 2 * 5; i++) await raw.post(ALL, { metadata: { name: `n${i}` } });
    const watch = await raw.watch(`${ALL}?watch=1&resourceVersion=${from}`);
    expect((await take(watch, 1))[0]?.object.code).toBe(410);
    await watch.return(undefined);
  });

  it('from a version that is yet to come is refused', async () => {
    const { status, body } = await raw.get(`${ALL}?watch=1&resourceVersion=999999`);
    expect([status, body.reason, body.details.causes[0].reason]).toEqual([
      504,
      'Timeout',
      'ResourceVersionTooLarge',
    ]);
  });

  it('from what is no version is refused', async () => {
    expect((await raw.get(`${ALL}?watch=1&resourceVersion=abc`)).status).toBe(400);
  });
});
