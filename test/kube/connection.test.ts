import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectKube } from '../../src/kube/connection.ts';
import type { KubeError, WatchEvent } from '../../src/kube/kube-api.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { NODES, SERVICES } from '../../src/kube/resources.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { describeKubeApi } from './kube-api.conformance.ts';
import { type Answer, json, startScriptedServer } from './scripted-server.ts';

describe('a connection to the embedded API server', () => {
  let running: TestServer;
  beforeAll(async () => {
    running = await startTestServer();
  });
  afterAll(() => running.close());
  describeKubeApi(() => running.api);
});

/** Short, for servers that are known to hang. */
const LIMITS = { answer: 300, watchGrace: 100 };
const EMPTY = { metadata: { resourceVersion: '7' }, items: [] };

async function connectTo(answer: Answer) {
  const server = await startScriptedServer(answer);
  return { server, api: await connectKube(server.kubeconfig, LIMITS) };
}

async function watchOf(answer: Answer, timeoutSeconds = 30) {
  const { api } = await connectTo(answer);
  const events: WatchEvent<KubeObject>[] = [];
  const { signal } = new AbortController();
  try {
    for await (const event of api.watch(NODES, { resourceVersion: '1', timeoutSeconds, signal }))
      events.push(event);
    return { events };
  } catch (error) {
    return { events, error: error as KubeError };
  }
}

const added = (name: string) => `${JSON.stringify({ type: 'ADDED', object: { metadata: { name } } })}\n`;

describe('a connection that may not write', () => {
  it('reads, and sends no write', async () => {
    const server = await startScriptedServer((_, response) => json(response, EMPTY));
    let mayWrite = true;
    const api = await connectKube(server.kubeconfig, LIMITS, () => mayWrite);
    const write = () =>
      api.patch(SERVICES, { name: 'web', namespace: 'shop' }, {}, { type: 'merge', fieldManager: 'f' });
    await write();
    mayWrite = false;
    await api.list(SERVICES, {});
    await expect(write()).rejects.toMatchObject({ status: 0, reason: 'NotLeading' });
    await expect(api.delete(SERVICES, { name: 'web', namespace: 'shop' })).rejects.toThrow('leads no more');
    expect(server.requests.map((request) => request.split(' ')[0])).toEqual(['PATCH', 'GET']);
  });
});

describe('a connection', () => {
  it('asks for what the protocol names', async () => {
    const { server, api } = await connectTo((_, response) => json(response, EMPTY));
    await api.list(SERVICES, { limit: 500, continue: 'a/b=' });
    const name = { name: 'web', namespace: 'shop' };
    await api.patch(
      SERVICES,
      name,
      {},
      { type: 'apply', subresource: 'status', fieldManager: 'f', force: true },
    );
    expect(server.requests).toEqual([
      'GET /api/v1/services?limit=500&continue=a%2Fb%3D',
      'PATCH /api/v1/namespaces/shop/services/web/status?fieldManager=f&force=true',
    ]);
  });

  it('keeps a connection for the next request, and leaves nothing behind on it', async () => {
    const warnings: unknown[] = [];
    const listen = (warning: unknown) => warnings.push(warning);
    process.on('warning', listen);
    const { server, api } = await connectTo((_, response) => json(response, EMPTY));
    for (let i = 0; i < 20; i++) await api.list(NODES, {});
    process.off('warning', listen);
    expect(server.connections()).toBe(1);
    expect(warnings).toEqual([]);
  });

  it('asks again on another connection when the server had closed the one from the pool', async () => {
    const sockets = new Set<Socket>();
    const { server, api } = await connectTo((request, response) => {
      // The second request on a connection meets its end, as it does when both sides act at the same time.
      if (sockets.has(request.socket)) return void request.socket.destroy();
      sockets.add(request.socket);
      json(response, EMPTY);
    });
    await api.list(NODES, {});
    await api.list(NODES, {});
    expect(server.requests.length).toBe(3);
    expect(server.connections()).toBe(2);
  });

  it('gives up on a server that accepts and never answers', async () => {
    const { api } = await connectTo(() => {});
    await expect(api.list(NODES, {})).rejects.toMatchObject({ status: 0, reason: 'Timeout' });
  });

  it('gives up on an answer that stalls half-way', async () => {
    const { api } = await connectTo((_, response) => response.write('{"items":['));
    await expect(api.list(NODES, {})).rejects.toMatchObject({ status: 0, reason: 'Timeout' });
  });

  it('waits for a slow answer for as long as it comes on', async () => {
    const pieces = JSON.stringify(EMPTY).match(/.{1,12}/g) ?? [];
    const { api } = await connectTo((_, response) => {
      const left = [...pieces];
      const timer = setInterval(() => {
        const piece = left.shift();
        if (piece !== undefined) return void response.write(piece);
        clearInterval(timer);
        response.end();
      }, LIMITS.answer / 4);
    });
    expect(await api.list(NODES, {})).toEqual({ items: [], resourceVersion: '7' });
  });

  it('drops idle connections with the one that gave no answer, so that the next try is made on a new one', async () => {
    let hang = false;
    const held: (() => void)[] = [];
    const { server, api } = await connectTo((_, response) => {
      if (!hang) held.push(() => json(response, EMPTY));
      if (held.length === 3) for (const release of held.splice(0)) release();
    });
    await Promise.all([1, 2, 3].map(() => api.list(NODES, {})));
    expect(server.connections()).toBe(3);
    hang = true;
    await expect(api.list(NODES, {})).rejects.toMatchObject({ reason: 'Timeout' });
    await expect(api.list(NODES, {})).rejects.toMatchObject({ reason: 'Timeout' });
    expect(server.connections()).toBe(4);
  });

  it.each([
    ['text', 'half a li'],
    ['nothing', ''],
    ['null', 'null'],
    ['no list', '{"kind":"Status"}'],
  ])('refuses %s in place of a list', async (_, body) => {
    const { api } = await connectTo((_, response) => response.end(body));
    await expect(api.list(NODES, {})).rejects.toMatchObject({ name: 'KubeError', status: 0 });
  });

  it('refuses an answer that a broken connection cut short', async () => {
    const { api } = await connectTo((_, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('{"metadata":', () => response.destroy());
    });
    await expect(api.list(NODES, {})).rejects.toMatchObject({
      name: 'KubeError',
      status: 0,
      reason: 'ECONNRESET',
    });
  });

  it('reports what a server or a proxy refuses, and how long it asks to wait', async () => {
    const status = { kind: 'Status', reason: 'TooManyRequests', message: 'slow down' };
    const { api } = await connectTo((_, response) => json(response, status, 429, { 'retry-after': '7' }));
    await expect(api.list(NODES, {})).rejects.toMatchObject({
      status: 429,
      reason: 'TooManyRequests',
      message: 'GET /api/v1/nodes: slow down',
      retryAfter: 7000,
    });
    const proxy = await connectTo((_, response) => response.writeHead(502).end('<h1>Bad Gateway</h1>'));
    await expect(proxy.api.list(NODES, {})).rejects.toMatchObject({
      status: 502,
      message: 'GET /api/v1/nodes: <h1>Bad Gateway</h1>',
      retryAfter: undefined,
    });
  });

  it('stops at once when it is told to', async () => {
    const stop = new AbortController();
    const { api } = await connectTo(() => stop.abort());
    await expect(api.list(NODES, { signal: stop.signal })).rejects.toMatchObject({ reason: 'ABORT_ERR' });
  });
});

describe('a watch', () => {
  it('reads events however they are cut into pieces', async () => {
    const text = Buffer.from(added('ä') + added('b') + added('c'));
    const { events } = await watchOf((_, response) => {
      const send = (from: number) => {
        if (from >= text.length) return void response.end();
        response.write(text.subarray(from, from + 5), () => setImmediate(send, from + 5));
      };
      send(0);
    });
    expect(events.map((event) => ('object' in event ? event.object.metadata.name : event.kind))).toEqual([
      'ä',
      'b',
      'c',
    ]);
  });

  it('reads bookmarks and errors', async () => {
    const { events } = await watchOf((_, response) => {
      response.write('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"}}}\n');
      response.end('{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}\n');
    });
    expect(events).toEqual([
      { kind: 'bookmark', resourceVersion: '12' },
      { kind: 'error', code: 410, message: 'too old' },
    ]);
  });

  it.each([
    ['a line that is no JSON', '{"type":\n', 'SyntaxError'],
    ['an event of a new type', '{"type":"RENAMED","object":{"metadata":{"name":"a"}}}\n', 'UnknownEvent'],
    ['an event without an object', '{"type":"BOOKMARK"}\n', 'TypeError'],
  ])('breaks at %s, after what came before it', async (_, line, reason) => {
    const { events, error } = await watchOf((_, response) => response.end(added('a') + line));
    expect(events.length).toBe(1);
    expect(error).toMatchObject({ name: 'KubeError', status: 0, reason });
  });

  it('leaves out an event that a broken connection cut short', async () => {
    const { events, error } = await watchOf((_, response) => {
      response.write(added('a') + added('b').slice(0, 20), () => response.destroy());
    });
    expect(events.length).toBe(1);
    expect(error).toMatchObject({ status: 0, reason: 'ECONNRESET' });
  });

  it('that goes silent without an end is given up soon after its time', async () => {
    const { events, error } = await watchOf((_, response) => response.write(added('a')), 0.1);
    expect(events.length).toBe(1);
    expect(error).toMatchObject({ status: 0, reason: 'Silent' });
  });

  it('ends its request when nobody listens any more', async () => {
    const closed = Promise.withResolvers<void>();
    const { api } = await connectTo((_, response) => {
      response.once('close', closed.resolve);
      response.write(added('a'));
    });
    const { signal } = new AbortController();
    for await (const _ of api.watch(NODES, { resourceVersion: '1', timeoutSeconds: 30, signal })) break;
    await closed.promise;
  });
});
