// An HTTP server whose answers a test writes by hand, for faults that a sound API server does not show.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface ScriptedServer {
  readonly url: string;
  readonly kubeconfig: string;
  /** Method and URL of each request, as they came. */
  readonly requests: readonly string[];
  /** TCP connections that were ever made. */
  readonly connections: () => number;
}

/** Answers every request with `answer`; closed, with all its connections, when the test ends. */
export async function startScriptedServer(answer: Answer): Promise<ScriptedServer> {
  const requests: string[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, kubeconfig: writeKubeconfig({ server: url }), requests, connections: () => connections };
}

/** A kubeconfig file with one context of this cluster and user; removed when the test ends. */
export function writeKubeconfig(
  cluster: object,
  user: object = {},
  files: Record<string, string> = {},
): string {
  return writeFiles({
    ...files,
    kubeconfig: JSON.stringify({
      clusters: [{ name: 'lan', cluster }],
      users: [{ name: 'me', user }],
      contexts: [{ name: 'home', context: { cluster: 'lan', user: 'me' } }],
      'current-context': 'home',
    }),
  });
}

/** Writes the files into a folder of their own and returns the path of the one called `kubeconfig`. */
export function writeFiles(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubeconfig-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o755 });
  return join(folder, 'kubeconfig');
}

export function json(response: ServerResponse, body: unknown, code = 200, headers: object = {}): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
