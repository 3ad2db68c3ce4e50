// Health check node ports, asked over HTTP.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { ip } from '../../src/net/address.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { HealthChecks } from '../../src/proxy/health-checks.ts';
import { serviceTable } from '../../src/proxy/table.ts';
import { service, slice } from './objects.ts';

const WEB = 'shop/web';
const clock = new VirtualClock();
let healthy = true;
let refused: string[] = [];
const checks = new HealthChecks({
  clock,
  log: createLogger({ component: 'test', level: 'silent' }),
  healthy: () => healthy,
  onRefused: (key, problem) => refused.push(`${key} ${problem}`),
});
afterEach(() => {
  checks.close();
  healthy = true;
  refused = [];
});

/** A port that was free a moment ago. */
async function freePort(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, server };
}
const closed = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()));

async function ask(port: number, host = '127.0.0.1') {
  const answer = await fetch(`http://${host}:${port}/any/path`);
  const weight = answer.headers.get('x-load-balancing-endpoint-weight');
  return { status: answer.status, weight, headers: answer.headers, body: await answer.json() };
}
/** Once the port listens. */
const answers = (port: number, host?: string) =>
  expect.poll(
    () =>
      ask(port, host).then(
        ({ status }) => status,
        () => 0,
      ),
    { timeout: 10_000 },
  );

it('answer 200 with the number of local endpoints, and 503 without any or while the rules are behind', async () => {
  const { port, server } = await freePort();
  await closed(server);
  checks.setAddresses([ip('127.0.0.1'), ip('::1')]);
  checks.set(WEB, { port, endpoints: 2 });
  await answers(port).toBe(200);
  await answers(port, '[::1]').toBe(200);
  const { headers, weight, body } = await ask(port);
  expect(weight).toBe('2');
  expect(headers.get('content-type')).toBe('application/json');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(body).toEqual({
    service: { namespace: 'shop', name: 'web' },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  checks.set(WEB, { port, endpoints: 0 });
  expect(await ask(port)).toMatchObject({ status: 503, weight: '0', body: { localEndpoints: 0 } });
  checks.set(WEB, { port, endpoints: 1 });
  healthy = false;
  expect(await ask(port)).toMatchObject({ status: 503, weight: '1', body: { serviceProxyHealthy: false } });
});

it('listen no more when the Service does not want it, or the address is no more the node’s', async () => {
  const { port, server } = await freePort();
  await closed(server);
  checks.setAddresses([ip('127.0.0.1'), ip('::1')]);
  checks.set(WEB, { port, endpoints: 1 });
  await answers(port, '[::1]').toBe(200);
  checks.setAddresses([ip('127.0.0.1')]);
  await answers(port, '[::1]').toBe(0);
  await answers(port).toBe(200);
  checks.set(WEB, undefined);
  await answers(port).toBe(0);
});

it('say on which Service they cannot listen, and try again until they can', async () => {
  const { port, server } = await freePort();
  checks.setAddresses([ip('127.0.0.1')]);
  checks.set(WEB, { port, endpoints: 1 });
  await expect.poll(() => refused).toEqual([expect.stringMatching(/^shop\/web .*EADDRINUSE/)]);
  await closed(server);
  await clock.advance(5_000);
  await answers(port).toBe(200);
});

it('are for Services of type LoadBalancer with policy Local, and count ready endpoints of this node', () => {
  const check = (spec: object, ...endpoints: Parameters<typeof slice>[1]) =>
    serviceTable(
      service('web', {
        type: 'LoadBalancer',
        clusterIPs: ['10.96.0.1'],
        ports: [{ port: 80 }],
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 30_500,
        ...spec,
      }),
      [slice('web', endpoints, [{ port: 8080 }])],
      { node: 'node', zone: undefined },
    ).healthCheck;
  const draining = { address: '10.0.0.3', ready: false, serving: true, terminating: true };
  const away = { address: '10.0.0.2', node: 'node2' };
  expect(check({}, { address: '10.0.0.1' }, away, draining)).toEqual({ port: 30_500, endpoints: 1 });
  expect(check({}, draining)).toEqual({ port: 30_500, endpoints: 0 });
  expect(check({ type: 'NodePort' })).toBeUndefined();
  expect(check({ externalTrafficPolicy: 'Cluster' })).toBeUndefined();
});
