// The whole controller process behind a server whose answers are often wrong: each request fails some times before
// it gets through.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { expect, it } from 'vitest';
import { loadCredentials } from '../../src/kube/credentials.ts';
import { addressesOf, Cluster } from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { startScriptedServer } from '../kube/scripted-server.ts';
import { IS_REAL, startTestServer } from '../lab/apiserver/running-server.ts';

/** Spoils an answer that is on its way, or answers itself. */
type Fault = (response: ServerResponse, forward: () => Promise<IncomingMessage>) => Promise<void> | void;

const status = (code: number, headers: Record<string, string> = {}): Fault => {
  return (response) => {
    const body = { kind: 'Status', apiVersion: 'v1', status: 'Failure', message: 'out of order', code };
    response.writeHead(code, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
};

/** Half of the first piece that comes, and then the connection breaks. */
const truncated: Fault = async (response, forward) => {
  const answer = await forward();
  response.writeHead(answer.statusCode ?? 0, answer.headers);
  // A watch without news has none when the server ends.
  const [piece = ''] = await answer
    .take(1)
    .toArray()
    .catch(() => []);
  answer.destroy();
  response.write(String(piece).slice(0, String(piece).length / 2), () => response.destroy());
};

/** A whole answer, with the headers of one, that is no JSON. */
const garbled: Fault = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"kind":"Status","metad');
};

const slow: Fault = async (response, forward) => {
  await new Promise((resolve) => setTimeout(resolve, 300));
  pass(await forward(), response);
};

function pass(answer: IncomingMessage, response: ServerResponse): void {
  response.writeHead(answer.statusCode ?? 0, answer.headers);
  response.flushHeaders();
  answer.pipe(response);
  answer.once('error', () => response.destroy());
  response.once('close', () => answer.destroy());
}

const twice = (fault: Fault) => [fault, fault];
const busy = status(429, { 'retry-after': '1' });
const ONE_BY_ONE: readonly [string, readonly Fault[]][] = [
  ['429 with a time to wait', twice(busy)],
  ['500', twice(status(500))],
  ['503', twice(status(503))],
  ['bodies that break off', twice(truncated)],
  ['bodies that are no JSON', twice(garbled)],
  ['answers that are late', twice(slow)],
];

// The faults are the same before either server, and the real one takes its time.
it.each<[string, readonly Fault[]]>([
  ...(IS_REAL ? [] : ONE_BY_ONE),
  ['one after the other of these', [slow, truncated, status(503), busy]],
])(
  'gives a Service its address, and takes it back, through %s',
  async (_, faults) => {
    const test = await startTestServer({ crds: true });
    const credentials = await loadCredentials(await test.accountKubeconfig('controller'));
    const failed = new Map<string, number>();
    const forwarded = async (request: IncomingMessage) => {
      const options = await credentials.requestOptions();
      const headers = { ...request.headers, ...options.headers };
      const answer = Promise.withResolvers<IncomingMessage>();
      const url = new URL(request.url ?? '', credentials.server);
      const outgoing = httpsRequest(url, { ...options, method: request.method ?? 'GET', headers });
      outgoing.once('response', answer.resolve).once('error', answer.reject);
      request.pipe(outgoing);
      return answer.promise;
    };
    const server = await startScriptedServer(async (request, response) => {
      const watches = request.url?.includes('watch=true') ? ' watch' : '';
      const what = `${request.method}${watches} ${request.url?.split('?')[0]}`;
      const count = failed.get(what) ?? 0;
      const forward = () => forwarded(request);
      const fault = faults[count];
      if (!fault) return pass(await forward(), response);
      failed.set(what, count + 1);
      await fault(response, forward);
    });
    const cluster = new Cluster(test.api);
    await cluster.createPool('lan', ['192.0.2.1']);
    const controller = new ControllerProcess(server.kubeconfig);
    await cluster.createService('web');
    expect(addressesOf(await cluster.service('web'))).toEqual(['192.0.2.1']);
    await cluster.patchService('web', { spec: { type: 'ClusterIP' } });
    await cluster.createService('next');
    expect(addressesOf(await cluster.service('next'))).toEqual(['192.0.2.1']);
    for (const what of ['GET /api/v1/services', 'PATCH /api/v1/namespaces/default/services/web/status'])
      expect(failed.get(what)).toBeGreaterThan(0);
    expect(await controller.stop()).toBe(0);
    await cluster.close();
    await test.close();
  },
  60_000,
);
