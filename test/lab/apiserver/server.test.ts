// What the embedded API server does beyond what a real one does by itself (test/conformance has the rest).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectKube } from '../../../src/kube/connection.ts';
import { SERVICES } from '../../../src/kube/resources.ts';
import { APPLY, MERGE, RawClient } from './raw-client.ts';
import { startEmbeddedServer, type TestServer } from './running-server.ts';

let running: TestServer;
let raw: RawClient;

beforeAll(async () => {
  running = await startEmbeddedServer({ crds: true });
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function configMap(name: string, extra: object = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...extra } };
}

it('holds a certificate for every name and address that it was given, and listens on all of them', async () => {
  const everywhere = await startEmbeddedServer({ host: '::', names: ['fairlead.test'] });
  const file = `${everywhere.kubeconfig}-more`;
  try {
    expect(everywhere.server.url).toMatch(/^https:\/\/fairlead\.test:\d+$/);
    for (const address of ['127.0.0.1', '::1', 'localhost']) {
      writeFileSync(file, everywhere.server.kubeconfig(address));
      const api = await connectKube(file);
      expect((await api.list(SERVICES, {})).items).toEqual([]);
    }
  } finally {
    await everywhere.close();
  }
});

it('refuses a service CIDR that is none, by name', async () => {
  await expect(startEmbeddedServer({ serviceCidrs: ['10.96.0.0/33'] })).rejects.toThrow(
    /serviceCidrs.*10\.96\.0\.0\/33/,
  );
});

it('of a namespace empties it, holding the door shut until its last finalizer is gone', async () => {
  await raw.post('/api/v1/namespaces', { metadata: { name: 'doomed' } });
  const inside = '/api/v1/namespaces/doomed/configmaps';
  await raw.post(inside, configMap('quick'));
  await raw.post(inside, configMap('slow', { finalizers: ['fairlead.dev/test'] }));
  await raw.delete('/api/v1/namespaces/doomed');
  expect((await raw.get(`${inside}/quick`)).status).toBe(404);
  const { body: ending } = await raw.get('/api/v1/namespaces/doomed');
  expect(ending.status.phase).toBe('Terminating');
  const { status, body } = await raw.post(inside, configMap('late'));
  expect([status, body.message]).toEqual([
    403,
    'configmaps "late" is forbidden: unable to create new content in namespace doomed because it is being terminated',
  ]);
  await raw.patch(`${inside}/slow`, MERGE, { metadata: { finalizers: [] } });
  expect((await raw.get('/api/v1/namespaces/doomed')).status).toBe(404);
});

it('takes an applied empty object as one without the fields of before', async () => {
  const path = '/apis/fairlead.dev/v1alpha1/l2advertisements/all?fieldManager=';
  const apply = (manager: string, body: object) => raw.patch(`${path}${manager}`, APPLY, body);
  const advertisement = (spec: object) => ({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'L2Advertisement',
    metadata: { name: 'all' },
    spec,
  });
  await apply('one', advertisement({ interfaces: ['eth0'] }));
  expect((await apply('one', advertisement({}))).body.spec).toEqual({});
  // Nor does it take what another adds, or contest it.
  await apply('two', advertisement({ interfaces: ['eth1'] }));
  const { status, body } = await apply('one', advertisement({}));
  expect([status, body.spec]).toEqual([200, { interfaces: ['eth1'] }]);
});

it('has its helper leave nothing behind', async () => {
  const other = await startEmbeddedServer();
  expect(readFileSync(other.kubeconfig, 'utf8')).toContain(other.server.url);
  await other.close();
  expect(() => readFileSync(join(other.kubeconfig))).toThrow(/ENOENT/);
});
