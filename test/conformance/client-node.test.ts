// The library that the field uses, unchanged, against the server.
import {
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
  setHeaderOptions,
  type V1Service,
  Watch,
} from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let config: KubeConfig;
const SERVICE: V1Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
};

beforeAll(async () => {
  running = await startTestServer({ crds: true });
  config = new KubeConfig();
  config.loadFromFile(running.kubeconfig);
});

afterAll(() => running.close());

describe('@kubernetes/client-node', () => {
  it('creates, lists, patches, and deletes', async () => {
    const api = config.makeApiClient(CoreV1Api);
    const made = await api.createNamespacedService({ namespace: 'default', body: SERVICE });
    expect(made.spec?.clusterIP).toMatch(/^10\.96\./);
    await expect(api.createNamespacedService({ namespace: 'default', body: SERVICE })).rejects.toMatchObject({
      code: 409,
    });
    const { items, metadata } = await api.listServiceForAllNamespaces({ limit: 1 });
    expect([items.length, metadata?.resourceVersion]).toEqual([1, expect.stringMatching(/^\d+$/)]);
    const status = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } };
    const patched = await api.patchNamespacedServiceStatus(
      { name: 'web', namespace: 'default', body: status },
      setHeaderOptions('content-type', PatchStrategy.MergePatch),
    );
    expect(patched.status?.loadBalancer?.ingress).toEqual([{ ip: '192.0.2.1', ipMode: 'VIP' }]);
    await api.deleteNamespacedService({ name: 'web', namespace: 'default' });
    await expect(api.readNamespacedService({ name: 'web', namespace: 'default' })).rejects.toMatchObject({
      code: 404,
    });
  });

  it('finds custom resources by discovery, and applies them', async () => {
    const api = KubernetesObjectApi.makeApiClient(config);
    const pool = {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan' },
      spec: { addresses: ['192.0.2.0/24'] },
    };
    const applied = await api.patch<KubernetesObject>(
      pool,
      undefined,
      undefined,
      'tester',
      true,
      PatchStrategy.ServerSideApply,
    );
    expect(applied.metadata?.managedFields?.[0]?.manager).toBe('tester');
    expect(await api.read(pool)).toMatchObject({ spec: { addresses: ['192.0.2.0/24'], autoAssign: true } });
  });

  it('watches', async () => {
    const seen = Promise.withResolvers<string>();
    const told = (type: string, object: { metadata: { name: string } }) => {
      if (object.metadata.name === 'watched') seen.resolve(type);
    };
    const abort = await new Watch(config).watch('/api/v1/nodes', {}, told, () => {});
    const api = config.makeApiClient(CoreV1Api);
    await api.createNode({ body: { metadata: { name: 'watched' } } });
    expect(await seen.promise).toBe('ADDED');
    abort.abort();
  });
});
