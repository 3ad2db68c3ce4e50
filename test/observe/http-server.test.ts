import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Registry } from 'prom-client';
import { expect, it, onTestFinished } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { serveHttp } from '../../src/observe/http-server.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';

/** Serves on the address until the test ends. */
function serve(address: string, healthy = true) {
  const clock = new VirtualClock();
  const logs: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void logs.push(JSON.parse(line)) };
  const registry = new Registry();
  new Counter({ name: 'tests_total', help: 'Tests', registers: [registry] }).inc();
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const port = serveHttp({
    address,
    flag: '--metrics-bind-address',
    registry,
    health: () => ({ healthy, detail: { synced: healthy } }),
    clock,
    log: createLogger({ component: 'test', level: 'info', destination }),
    signal: stop.signal,
  });
  return { port, logs, clock, stop };
}

it.each(['127.0.0.1', '[::1]'])(
  'serves metrics and health on %s, on any free port, and says which',
  async (host) => {
    const { port, logs } = serve(`${host}:0`);
    const base = `http://${host}:${await port}`;
    const metrics = await fetch(`${base}/metrics`);
    expect(metrics.headers.get('content-type')).toContain('text/plain');
    expect(await metrics.text()).toContain('tests_total 1');
    for (const path of ['/healthz', '/livez', '/readyz?verbose']) {
      const health = await fetch(base + path);
      expect([health.status, await health.json()]).toEqual([200, { healthy: true, synced: true }]);
    }
    expect((await fetch(`${base}/other`)).status).toBe(404);
    expect(logs).toEqual([
      expect.objectContaining({
        flag: '--metrics-bind-address',
        address: host.replace(/[[\]]/g, ''),
        port: await port,
      }),
    ]);
  },
);

it('serves on all addresses when only a port is given', async () => {
  const { port } = serve(':0');
  expect((await fetch(`http://127.0.0.1:${await port}/livez`)).status).toBe(200);
});

it('answers 503 and says why while the process is not healthy', async () => {
  const { port } = serve('127.0.0.1:0', false);
  const health = await fetch(`http://127.0.0.1:${await port}/healthz`);
  expect([health.status, await health.json()]).toEqual([503, { healthy: false, synced: false }]);
});

it('says once that its port is in use, tries again, and serves when it is free', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port: taken } = other.address() as AddressInfo;
  const { port, logs, clock } = serve(`127.0.0.1:${taken}`);
  while (logs.length === 0) await clock.advance(0);
  for (let i = 0; i < 5; i++) await clock.advance(5_000);
  expect(logs).toEqual([
    expect.objectContaining({
      level: 40,
      flag: '--metrics-bind-address',
      error: expect.stringContaining('EADDRINUSE'),
    }),
  ]);
  await new Promise((resolve) => other.close(resolve));
  while (logs.length === 1) await clock.advance(5_000);
  expect(await port).toBe(taken);
  expect((await fetch(`http://127.0.0.1:${taken}/healthz`)).status).toBe(200);
});

it('stops serving, and stops trying, when it is told to', async () => {
  const { port, stop } = serve('127.0.0.1:0');
  const bound = await port;
  const waiting = serve(`127.0.0.1:${bound}`);
  while (waiting.logs.length === 0) await waiting.clock.advance(0);
  waiting.stop.abort();
  expect(await waiting.port).toBeUndefined();
  stop.abort();
  await expect(fetch(`http://127.0.0.1:${bound}/healthz`)).rejects.toThrow();
});

it('has the figures of the process itself', async () => {
  expect(await createRegistry().metrics()).toContain('process_resident_memory_bytes');
});
