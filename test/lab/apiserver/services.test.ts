// Services on clusters of other prefixes than the conformance suite's, and the addresses that the embedded API
// server chooses.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Answer, RawClient } from './raw-client.ts';
import { startEmbeddedServer, type TestServer } from './running-server.ts';

let running: TestServer;
let raw: RawClient;
const SERVICES = '/api/v1/namespaces/default/services';
const PORTS = [{ port: 80 }];
let count = 0;

beforeEach(() => start(['10.96.0.0/24', 'fd00:96::/120']));
afterEach(() => running.close());

async function start(serviceCidrs: readonly string[]): Promise<void> {
  running = await startEmbeddedServer({ serviceCidrs });
  raw = await RawClient.open(running.kubeconfig);
}

async function restartWith(...serviceCidrs: string[]): Promise<void> {
  await running.close();
  await start(serviceCidrs);
}

function create(spec: object, name = `s${count++}`): Promise<Answer> {
  return raw.post(SERVICES, { metadata: { name }, spec: { ports: PORTS, ...spec } });
}

function causes({ status, body }: Answer): string[] {
  expect([status, body.reason]).toEqual([422, 'Invalid']);
  return body.details.causes.map(
    ({ field, message }: { field: string; message: string }) => `${field}: ${message}`,
  );
}

it('get the lowest address that is free and not kept for those who ask for one', async () => {
  const families = { ipFamilyPolicy: 'RequireDualStack' };
  expect((await create(families)).body.spec.clusterIPs).toEqual(['10.96.0.17', 'fd00:96::11']);
  expect((await create(families)).body.spec.clusterIPs).toEqual(['10.96.0.18', 'fd00:96::12']);
});

it('finds every address in use when the range is full', async () => {
  await restartWith('10.96.0.0/30');
  const addresses = [(await create({})).body.spec.clusterIP, (await create({})).body.spec.clusterIP];
  expect(addresses.sort()).toEqual(['10.96.0.1', '10.96.0.2']);
  expect(causes(await create({}))[0]).toMatch(/range is full$/);
});

it('on a cluster of one are one where both are preferred, and an error where both are required', async () => {
  await restartWith('10.96.0.0/24');
  const { body } = await create({ ipFamilyPolicy: 'PreferDualStack' });
  expect(body.spec).toMatchObject({ ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4'] });
  expect(causes(await create({ ipFamilyPolicy: 'RequireDualStack' }))).toEqual([
    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
  ]);
  expect(causes(await create({ ipFamilies: ['IPv6'] }))).toEqual([
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ]);
});

it('on a cluster of IPv6 are IPv6', async () => {
  await restartWith('fd00:96::/120');
  expect((await create({})).body.spec).toMatchObject({ ipFamilies: ['IPv6'], clusterIP: 'fd00:96::11' });
});
