// `fairlead queue` as a user calls it, against the pages that a controller serves.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { queuePages } from '../../src/commands/queue-pages.ts';
import { serveHttp } from '../../src/observe/http-server.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { MemoryQueue } from '../../src/queue/memory-queue.ts';
import { PARK_AFTER } from '../../src/queue/work-queue.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

function fairlead(...words: readonly string[]): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn(FAIRLEAD, words);
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (err += data));
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, out, err })));
}

let queue: MemoryQueue;
let controller: string;
beforeEach(async () => {
  queue = new MemoryQueue({ clock: systemClock, random: Math.random });
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const port = await serveHttp({
    address: '127.0.0.1:0',
    flag: '--metrics-bind-address',
    registry: new Registry(),
    health: () => ({ healthy: true, detail: {} }),
    pages: queuePages(() => new Set([queue])),
    clock: systemClock,
    log: createLogger({ component: 'test', level: 'silent' }),
    signal: stop.signal,
  });
  controller = `127.0.0.1:${port}`;
});

async function park(key: string): Promise<void> {
  queue.add(key, { account: 'one' });
  for (let i = 1; i <= PARK_AFTER; i++) {
    const lease = await queue.take(new AbortController().signal);
    if (lease) queue.done(lease, { kind: 'retry', after: 0, error: `fault ${i}` });
  }
}

it('shows what waits, runs and is parked, by account', async () => {
  await park('shop/web');
  queue.add('shop/a');
  queue.add('shop/b', { after: 60_000 });
  const { status, out } = await fairlead('queue', '--controller', controller);
  expect(status).toBe(0);
  expect(out.replace(/\d\.\d s/, 'N s')).toBe(`account  ready  delayed  running  parked
(none)   1      1        0        0
one      0      0        0        1
all      1      1        0        1

the oldest has been ready for N s

parked    last error
shop/web  fault ${PARK_AFTER}
`);
  const json = await fairlead('queue', '--json', '--controller', controller);
  expect(JSON.parse(json.out)).toMatchObject({ ready: 1, parkedKeys: [{ key: 'shop/web' }] });
});

it('lets a parked Service run again, and says so of one that is not parked', async () => {
  await park('shop/web');
  expect(await fairlead('queue', '--controller', controller, 'release', 'shop/web')).toEqual({
    status: 0,
    out: 'released shop/web\n',
    err: '',
  });
  expect(await queue.view()).toMatchObject({ ready: 1, parked: 0 });
  const again = await fairlead('queue', '--controller', controller, 'release', 'shop/web');
  expect([again.status, again.err]).toEqual([1, 'fairlead: no "shop/web" is parked\n']);
});

it('releases nothing by a mere look at the page', async () => {
  await park('shop/web');
  const { status } = await fetch(`http://${controller}/queue/release?key=shop/web`);
  expect(status).toBe(405);
  expect(
    (
      await queuePages(() => new Set([queue]))['/queue']?.({
        method: 'GET',
        query: new URLSearchParams(),
        local: false,
      })
    )?.status,
  ).toBe(403);
  expect(await queue.view()).toMatchObject({ parked: 1 });
});

it('says of a controller that waits to lead that another one works', async () => {
  const [page] = Object.values(queuePages(() => new Set()));
  expect(await page?.({ method: 'GET', query: new URLSearchParams(), local: true })).toEqual({
    status: 503,
    body: { error: 'this controller waits to lead: ask the one that does' },
  });
});

it('says what is wrong when no controller answers', async () => {
  const nobody = createServer();
  await once(nobody.listen(0, '127.0.0.1'), 'listening');
  const { port } = nobody.address() as AddressInfo; // a TCP server that listens has one
  await once(nobody.close(), 'close');
  const { status, err } = await fairlead('queue', '--controller', `127.0.0.1:${port}`);
  expect(status).toBe(1);
  expect(err).toBe(
    `fairlead: --controller "127.0.0.1:${port}" does not answer: connect ECONNREFUSED 127.0.0.1:${port}; ` +
      'give the address of its metrics, or forward it here by kubectl port-forward\n',
  );
});
