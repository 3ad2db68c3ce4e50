import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { load } from 'js-yaml';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RawClient } from './raw-client.ts';
import { startEmbeddedServer, type TestServer } from './running-server.ts';

let running: TestServer;

beforeEach(async () => {
  running = await startEmbeddedServer();
});

afterEach(() => running.close());

function place(): { host: string; port: number } {
  const { hostname, port } = new URL(running.server.url);
  return { host: hostname, port: Number(port) };
}

it('stops while a client is still shaking hands', async () => {
  const socket = connect(place());
  await once(socket, 'connect');
  const closed = once(socket, 'close');
  await running.server.stop();
  await closed;
});

it('stops while a watch is open, and the watch breaks', async () => {
  const raw = await RawClient.open(running.kubeconfig);
  const watch = await raw.watch('/api/v1/nodes?watch=1');
  const next = watch.next();
  await running.server.stop();
  await expect(next).rejects.toThrow();
});

it('goes on when a client leaves within its request', async () => {
  const config = load(readFileSync(running.kubeconfig, 'utf8')) as { users: [{ user: { token: string } }] }; // the server's own
  const socket = connectTls({ ...place(), rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const lines = [
    'POST /api/v1/nodes HTTP/1.1',
    'host: lab',
    `authorization: Bearer ${config.users[0].user.token}`,
    'content-length: 100',
    'expect: 100-continue',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  // The server has begun to read.
  await once(socket, 'data');
  socket.write('{"metadata"');
  const closed = once(socket, 'close');
  socket.destroy();
  await closed;
  const raw = await RawClient.open(running.kubeconfig);
  expect((await raw.get('/api/v1/nodes')).body.items).toEqual([]);
});

it('says which address is taken', async () => {
  const { port } = place();
  await expect(startEmbeddedServer({ port })).rejects.toThrow(
    `EADDRINUSE: address already in use 127.0.0.1:${port}`,
  );
});
