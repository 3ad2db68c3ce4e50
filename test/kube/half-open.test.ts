// A host that vanishes behind a silent watch: no FIN, no RST, no answer. On the real kernel's TCP.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectKube } from '../../src/kube/connection.ts';
import { NODES } from '../../src/kube/resources.ts';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { writeKubeconfig } from './scripted-server.ts';

const HOST = 'half-open';
/** Sends the headers and one bookmark of a watch, and then nothing. */
const SILENT_SERVER = `
require('node:http').createServer((request, response) => {
  response.write('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"2"}}}\\n');
}).listen(6443, '198.51.100.2', () => console.log('ready'));`;

let server: ChildProcess;
beforeAll(async () => {
  ipBatch([
    `netns add ${HOST}`,
    `link add half-open0 type veth peer name eth0 netns ${HOST}`,
    'addr add 198.51.100.1/24 dev half-open0',
    'link set half-open0 up',
  ]);
  inNamespace(HOST, 'ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up');
  server = spawn('ip', ['netns', 'exec', HOST, process.execPath, '-e', SILENT_SERVER]);
  if (server.stdout) await once(server.stdout, 'data');
});
afterAll(async () => {
  server.kill();
  ipBatch(['link del half-open0']);
  removeNamespaces(HOST);
});

it('is noticed by TCP long before the watch is over', { timeout: 90_000 }, async () => {
  const api = await connectKube(writeKubeconfig({ server: 'http://198.51.100.2:6443' }));
  const { signal } = new AbortController();
  const watch = api.watch(NODES, { resourceVersion: '1', timeoutSeconds: 3_600, signal });
  const seen: string[] = [];
  const broken = (async () => {
    for await (const { kind } of watch) {
      seen.push(kind);
      inNamespace(
        HOST,
        "nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }'",
      );
    }
  })();
  // Not `Silent`, which is the end of the watch's own time.
  await expect(broken).rejects.toMatchObject({ status: 0, reason: 'ECONNRESET' });
  expect(seen).toEqual(['bookmark']);
});
