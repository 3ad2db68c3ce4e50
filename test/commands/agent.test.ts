// An agent whose machine cannot do what it needs, as a real process.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

let server: TestServer;
let folder: string;
beforeAll(async () => {
  server = await startTestServer({ crds: true });
  folder = mkdtempSync(join(tmpdir(), 'fairlead-agent-'));
  for (const tool of ['sh', 'dirname', 'readlink']) symlinkSync(`/usr/bin/${tool}`, join(folder, tool));
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

it('without nft ends with status 1 and one line that names the package', async () => {
  const { status, stderr } = await agent({ PATH: folder });
  expect(stderr).toMatch(/^fairlead: the agent cannot start: .*install the package nftables.*\n$/);
  expect(status).toBe(1);
});

it('without CAP_NET_ADMIN and CAP_NET_RAW ends with status 1 and names what is missing', async () => {
  const { status, stderr } = await agent({}, [
    'setpriv',
    '--bounding-set',
    '-net_admin,-net_raw',
    '--inh-caps',
    '-all',
  ]);
  expect(stderr).toMatch(/^fairlead: the agent cannot start: .*(CAP_NET_ADMIN|not permitted).*\n$/s);
  expect(status).toBe(1);
});

function agent(
  environment: Record<string, string>,
  before: readonly string[] = [],
): Promise<{ status: number | null; stderr: string }> {
  const words = [FAIRLEAD, 'agent', '--kubeconfig', server.kubeconfig, '--node-name', 'here'];
  const [command = '', ...args] = [...before, ...words];
  return new Promise((resolve) => {
    const child = execFile(command, args, { env: { ...process.env, ...environment } }, (_, __, stderr) =>
      resolve({ status: child.exitCode, stderr }),
    );
  });
}
