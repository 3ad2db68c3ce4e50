import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLY, MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const NODES = '/api/v1/nodes';
const POOLS = '/apis/fairlead.dev/v1alpha1/ipaddresspools';

beforeAll(async () => {
  running = await startTestServer({ crds: true });
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function configMap(name: string, extra: object = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...extra }, data: { a: '1' } };
}

function newPool(name: string, content: object) {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool', metadata: { name }, ...content };
}

describe('reaching the server', () => {
  it('takes nobody without the token', async () => {
    const { status, body } = await raw.get(NODES, { headers: { authorization: 'Bearer wrong' } });
    expect([status, body.kind, body.reason]).toEqual([401, 'Status', 'Unauthorized']);
  });

  it('tells anybody that it is healthy', async () => {
    const { status, body } = await raw.get('/healthz', { headers: { authorization: '' } });
    expect([status, body]).toEqual([200, 'ok']);
  });

  it('keeps objects, versions and its port over a restart', async () => {
    await raw.post(CONFIG_MAPS, configMap('kept'));
    const before = await raw.get(`${CONFIG_MAPS}/kept`);
    const { url } = running.server;
    await running.server.stop();
    await expect(raw.get(CONFIG_MAPS)).rejects.toThrow();
    await running.server.start();
    expect(running.server.url).toBe(url);
    expect((await raw.get(`${CONFIG_MAPS}/kept`)).body).toEqual(before.body);
  });
});

describe('discovery', () => {
  it('lists versions, groups and resources, custom ones too', async () => {
    expect((await raw.get('/api')).body.versions).toEqual(['v1']);
    const groups = (await raw.get('/apis')).body.groups.map((each: { name: string }) => each.name);
    expect(groups).toEqual(
      expect.arrayContaining([
        'apiextensions.k8s.io',
        'coordination.k8s.io',
        'discovery.k8s.io',
        'fairlead.dev',
      ]),
    );
    const { body } = await raw.get('/apis/fairlead.dev/v1alpha1');
    expect(body.resources).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'ipaddresspools', kind: 'IPAddressPool', namespaced: false }),
        expect.objectContaining({ name: 'ipaddresspools/status', verbs: ['get', 'patch', 'update'] }),
      ]),
    );
    expect((await raw.get('/apis/fairlead.dev')).body.preferredVersion.version).toBe('v1alpha1');
    expect((await raw.get('/version')).body.major).toBe('1');
  });

  it('describes custom resources to OpenAPI readers', async () => {
    const json = async (path: string) => {
      const { body } = await raw.get(path);
      return typeof body === 'string' ? JSON.parse(body) : body;
    };
    const found = async () => (await json('/openapi/v3')).paths['apis/fairlead.dev/v1alpha1'];
    while (!(await found()));
    const body = await json((await found()).serverRelativeURL);
    const schemas = Object.values<{ properties?: Record<string, unknown> }>(body.components.schemas);
    expect(schemas.some(({ properties }) => properties?.spec !== undefined)).toBe(true);
  });

  it.each([
    ['/api/v1/services/web', 'a namespaced object outside of a namespace'],
    ['/api/v1/namespaces/default/nodes', 'a cluster-wide kind in a namespace'],
    [`${CONFIG_MAPS}/kept/status`, 'a status where the kind has none'],
  ])('answers 404 to %s: %s', async (path) => {
    const { status, body } = await raw.get(path);
    expect([status, body.reason]).toEqual([404, 'NotFound']);
  });

  it('answers 404 to an unknown group', async () => {
    expect((await raw.get('/apis/nowhere.dev/v1/things')).status).toBe(404);
  });
});

describe('create', () => {
  it('completes metadata and answers 201', async () => {
    const { status, body } = await raw.post(CONFIG_MAPS, configMap('fresh'));
    expect(status).toBe(201);
    expect(body.metadata).toMatchObject({
      name: 'fresh',
      namespace: 'default',
      uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      resourceVersion: expect.stringMatching(/^\d+$/),
      creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
  });

  it('answers 409 AlreadyExists to a name that is taken', async () => {
    await raw.post(CONFIG_MAPS, configMap('taken'));
    const { status, body } = await raw.post(CONFIG_MAPS, configMap('taken'));
    expect([status, body.reason, body.message]).toEqual([
      409,
      'AlreadyExists',
      'configmaps "taken" already exists',
    ]);
    expect(body.details).toEqual({ name: 'taken', kind: 'configmaps' });
  });

  it('makes names up from generateName', async () => {
    const one = await raw.post(CONFIG_MAPS, { metadata: { generateName: 'made-' } });
    const other = await raw.post(CONFIG_MAPS, { metadata: { generateName: 'made-' } });
    expect(one.body.metadata.name).toMatch(/^made-[a-z0-9]{5}$/);
    expect(other.body.metadata.name).not.toBe(one.body.metadata.name);
  });

  it('lists every cause of a 422', async () => {
    const labels = { ok: 'not ok!', 'bad key': 'x' };
    const { status, body } = await raw.post(CONFIG_MAPS, configMap('Bad_Name', { labels }));
    expect([status, body.reason]).toEqual([422, 'Invalid']);
    const fields = body.details.causes.map((each: { field: string }) => each.field);
    expect(fields).toEqual(['metadata.name', 'metadata.labels', 'metadata.labels']);
  });

  it.each([
    ['no JSON', '{"metadata":', 400],
    ['no object', [1], 400],
    ['another kind', { kind: 'Secret', metadata: { name: 'x' } }, 400],
    ['another version', { apiVersion: 'v2', metadata: { name: 'x' } }, 400],
    ['another namespace', configMap('x', { namespace: 'kube-system' }), 400],
    ['labels that are no strings', configMap('x', { labels: { a: 1 } }), 400],
    ['no name', { metadata: {} }, 422],
  ])('refuses a body with %s', async (_, body, expected) => {
    const { status, body: answer } = await raw.post(CONFIG_MAPS, body);
    expect([status, answer.kind, answer.status]).toEqual([expected, 'Status', 'Failure']);
  });

  it('refuses a body of over 3 MiB and a protocol that it does not speak', async () => {
    expect(
      (await raw.post(CONFIG_MAPS, { metadata: { name: 'x' }, data: { a: 'x'.repeat(3 * 2 ** 20) } })).status,
    ).toBe(413);
    const type = 'application/vnd.fairlead.unheard-of';
    expect((await raw.patch(`${CONFIG_MAPS}/kept`, type, {})).status).toBe(415);
  });

  it('takes YAML', async () => {
    const ask = { type: 'application/yaml' };
    const { status, body } = await raw.post(CONFIG_MAPS, 'metadata: {name: yaml}\ndata: {a: "1"}\n', ask);
    expect([status, body.data]).toEqual([201, { a: '1' }]);
  });

  it('answers 404 for a namespace that is not there', async () => {
    const { status, body } = await raw.post('/api/v1/namespaces/nowhere/configmaps', configMap('x'));
    expect([status, body.message]).toEqual([404, 'namespaces "nowhere" not found']);
  });
});

describe('update', () => {
  it('answers 409 Conflict to a version that is no longer the newest', async () => {
    const { body: first } = await raw.post(CONFIG_MAPS, configMap('contested'));
    const { status } = await raw.put(`${CONFIG_MAPS}/contested`, { ...first, data: { a: '2' } });
    expect(status).toBe(200);
    const late = await raw.put(`${CONFIG_MAPS}/contested`, { ...first, data: { a: '3' } });
    expect([late.status, late.body.reason]).toEqual([409, 'Conflict']);
    expect(late.body.message).toMatch(
      /the object has been modified; please apply your changes to the latest version/,
    );
    expect((await raw.get(`${CONFIG_MAPS}/contested`)).body.data).toEqual({ a: '2' });
  });

  it('refuses a merge patch under an old version, and to another uid', async () => {
    const { body } = await raw.post(CONFIG_MAPS, configMap('patched'));
    const { uid, resourceVersion } = body.metadata;
    const path = `${CONFIG_MAPS}/patched`;
    expect((await raw.patch(path, MERGE, { metadata: { resourceVersion }, data: { a: '2' } })).status).toBe(
      200,
    );
    expect((await raw.patch(path, MERGE, { metadata: { resourceVersion }, data: { a: '3' } })).status).toBe(
      409,
    );
    expect((await raw.patch(path, MERGE, { metadata: { uid: 'other' } })).status).toBe(422);
    expect((await raw.patch(path, MERGE, { metadata: { uid } })).status).toBe(200);
  });

  it('makes no new version where nothing changes', async () => {
    const { body } = await raw.post(CONFIG_MAPS, configMap('same'));
    const again = await raw.put(`${CONFIG_MAPS}/same`, body);
    expect(again.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion);
  });

  it('creates what a client may create so (Services), and answers 404 for the rest', async () => {
    const service = { metadata: { name: 'put' }, spec: { ports: [{ port: 80 }] } };
    expect((await raw.put('/api/v1/namespaces/default/services/put', service)).status).toBe(201);
    expect((await raw.put(`${CONFIG_MAPS}/absent`, configMap('absent'))).status).toBe(404);
  });

  it('demands a version for custom resources', async () => {
    const pool = newPool('versioned', { spec: { addresses: ['192.0.2.0/24'] } });
    await raw.post(POOLS, pool);
    const { status, body } = await raw.put(`${POOLS}/versioned`, pool);
    expect([status, body.message]).toEqual([
      422,
      'ipaddresspools.fairlead.dev "versioned" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update',
    ]);
  });

  it('keeps what only the server sets', async () => {
    const { body } = await raw.post(CONFIG_MAPS, configMap('own'));
    const forged = { uid: body.metadata.uid, creationTimestamp: '2001-01-01T00:00:00Z', generation: 9 };
    const { body: after } = await raw.put(`${CONFIG_MAPS}/own`, configMap('own', forged));
    expect(after.metadata.creationTimestamp).toBe(body.metadata.creationTimestamp);
    expect(after.metadata.generation).toBeUndefined();
  });
});

describe('the status subresource', () => {
  it('takes status alone, and the object takes all but status', async () => {
    const { body: made } = await raw.post(
      POOLS,
      newPool('isolated', { spec: { addresses: ['192.0.2.0/24'] }, status: { assignedIPv4: 9 } }),
    );
    expect(made.status).toBeUndefined();
    const both = { spec: { addresses: ['198.51.100.0/24'] }, status: { assignedIPv4: 1 } };
    const { body: viaStatus } = await raw.patch(`${POOLS}/isolated/status`, MERGE, {
      ...both,
      metadata: { labels: { a: 'b' } },
    });
    expect(viaStatus.status).toEqual({ assignedIPv4: 1 });
    expect(viaStatus.spec.addresses).toEqual(['192.0.2.0/24']);
    expect(viaStatus.metadata.labels).toBeUndefined();
    const change = { ...both, status: { assignedIPv4: 2 } };
    const { body: viaObject } = await raw.patch(`${POOLS}/isolated`, MERGE, change);
    expect(viaObject.status).toEqual({ assignedIPv4: 1 });
    expect(viaObject.spec.addresses).toEqual(['198.51.100.0/24']);
  });

  it('leaves metadata.generation, which counts changes of the spec alone', async () => {
    const { body } = await raw.post(POOLS, newPool('counted', { spec: { addresses: ['192.0.2.1'] } }));
    const path = `${POOLS}/counted`;
    const generations = [body.metadata.generation];
    for (const [at, patch] of [
      [`${path}/status`, { status: { assignedIPv4: 1 } }],
      [path, { metadata: { labels: { a: 'b' } } }],
      [path, { spec: { autoAssign: false } }],
    ] as const)
      generations.push((await raw.patch(at, MERGE, patch)).body.metadata.generation);
    expect(generations).toEqual([1, 1, 1, 2]);
  });

  it('of a Node takes conditions by PUT', async () => {
    const { body } = await raw.post(NODES, { metadata: { name: 'n1' } });
    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    const { body: after } = await raw.put(`${NODES}/n1/status`, {
      ...body,
      spec: { unschedulable: true },
      status,
    });
    expect(after.status).toMatchObject(status);
    expect(after.spec?.unschedulable).toBeUndefined();
  });
});

describe('delete', () => {
  it('answers a Status, or the object where the real server does', async () => {
    await raw.post(CONFIG_MAPS, configMap('gone'));
    const { status, body } = await raw.delete(`${CONFIG_MAPS}/gone`);
    expect([status, body.kind, body.status, body.details.name]).toEqual([200, 'Status', 'Success', 'gone']);
    expect((await raw.get(`${CONFIG_MAPS}/gone`)).status).toBe(404);
    const services = '/api/v1/namespaces/default/services';
    await raw.post(services, { metadata: { name: 'gone' }, spec: { ports: [{ port: 80 }] } });
    expect((await raw.delete(`${services}/gone`)).body.kind).toBe('Service');
  });

  it('waits for finalizers, and takes no new ones meanwhile', async () => {
    const path = `${CONFIG_MAPS}/held`;
    await raw.post(CONFIG_MAPS, configMap('held', { finalizers: ['fairlead.dev/test'] }));
    const { body: marked } = await raw.delete(path);
    expect(marked.metadata.deletionTimestamp).toEqual(expect.any(String));
    const { body: again } = await raw.delete(path);
    expect(again.metadata.deletionTimestamp).toBe(marked.metadata.deletionTimestamp);
    const more = { metadata: { finalizers: ['fairlead.dev/test', 'fairlead.dev/late'] } };
    expect((await raw.patch(path, MERGE, more)).status).toBe(422);
    expect((await raw.patch(path, MERGE, { metadata: { finalizers: null } })).status).toBe(200);
    expect((await raw.get(path)).status).toBe(404);
  });

  it('heeds preconditions', async () => {
    const { body } = await raw.post(CONFIG_MAPS, configMap('guarded'));
    const path = `${CONFIG_MAPS}/guarded`;
    expect((await raw.delete(path, { preconditions: { uid: 'other' } })).status).toBe(409);
    expect((await raw.delete(path, { preconditions: { resourceVersion: '1' } })).status).toBe(409);
    expect((await raw.delete(path, { preconditions: { uid: body.metadata.uid } })).status).toBe(200);
  });

  it('of a collection takes what the selector means and leaves the rest', async () => {
    await raw.post(CONFIG_MAPS, configMap('one', { labels: { batch: 'x' } }));
    await raw.post(CONFIG_MAPS, configMap('two', { labels: { batch: 'x' } }));
    const { body } = await raw.delete(`${CONFIG_MAPS}?labelSelector=batch%3Dx`);
    expect(body.items.map((each: { metadata: { name: string } }) => each.metadata.name)).toEqual([
      'one',
      'two',
    ]);
    expect((await raw.get(`${CONFIG_MAPS}/one`)).status).toBe(404);
    expect((await raw.get(`${CONFIG_MAPS}/kept`)).status).toBe(200);
  });

  it('of the default namespace is refused', async () => {
    expect((await raw.delete('/api/v1/namespaces/default')).status).toBe(403);
  });
});

describe('a dry run', () => {
  it('answers as the write would, and leaves everything as it was', async () => {
    const { body: before } = await raw.get(CONFIG_MAPS);
    expect((await raw.post(`${CONFIG_MAPS}?dryRun=All`, configMap('trial'))).status).toBe(201);
    expect((await raw.post(`${CONFIG_MAPS}?dryRun=All`, configMap('Trial'))).status).toBe(422);
    const patched = await raw.patch(`${CONFIG_MAPS}/kept?dryRun=All`, MERGE, { data: { a: 'trial' } });
    expect(patched.body.data).toEqual({ a: 'trial' });
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'trial' } };
    const apply = await raw.patch(`${CONFIG_MAPS}/trial?dryRun=All&fieldManager=t`, APPLY, applied);
    expect(apply.status).toBe(201);
    expect((await raw.delete(`${CONFIG_MAPS}/kept`, { dryRun: ['All'] })).status).toBe(200);
    const { body: after } = await raw.get(CONFIG_MAPS);
    expect(after).toEqual(before);
  });

  it('of a Service gives its address and port to nobody', async () => {
    const services = '/api/v1/namespaces/default/services';
    const nodePort = (name: string) => ({
      metadata: { name },
      spec: { type: 'NodePort', ports: [{ port: 80, nodePort: 30_040 }] },
    });
    expect((await raw.post(`${services}?dryRun=All`, nodePort('trial'))).status).toBe(201);
    expect((await raw.post(services, nodePort('real'))).status).toBe(201);
  });
});

describe('Leases and Events', () => {
  it('keep a Lease as its holder renews it', async () => {
    const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
    const { body } = await raw.post(leases, {
      metadata: { name: 'l' },
      spec: { holderIdentity: 'a', leaseDurationSeconds: 15 },
    });
    const taken = await raw.put(`${leases}/l`, { ...body, spec: { ...body.spec, holderIdentity: 'b' } });
    expect([taken.status, taken.body.spec.holderIdentity]).toEqual([200, 'b']);
    expect((await raw.put(`${leases}/l`, body)).status).toBe(409);
  });

  it('show an event of events.k8s.io/v1 in core/v1 form, and the reverse', async () => {
    const event = {
      metadata: { name: 'e1' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'fairlead.dev/controller',
      reportingInstance: 'c-1',
      action: 'Allocate',
      reason: 'Allocated',
      type: 'Normal',
      note: 'got an address',
      regarding: { kind: 'Service', name: 'web', namespace: 'default' },
    };
    const newer = '/apis/events.k8s.io/v1/namespaces/default/events';
    const older = '/api/v1/namespaces/default/events';
    expect((await raw.post(newer, event)).status).toBe(201);
    const selected = await raw.get(
      `${older}?fieldSelector=involvedObject.name%3Dweb,involvedObject.kind%3DService`,
    );
    expect(selected.body).toMatchObject({ kind: 'EventList', apiVersion: 'v1' });
    expect(selected.body.items).toEqual([
      expect.objectContaining({
        message: 'got an address',
        involvedObject: event.regarding,
        reportingComponent: 'fairlead.dev/controller',
      }),
    ]);
    await raw.patch(`${older}/e1`, MERGE, { message: 'still has it', count: 2 });
    expect((await raw.get(`${newer}/e1`)).body).toMatchObject({ note: 'still has it', deprecatedCount: 2 });
  });

  it('refuse an event that the real server would refuse', async () => {
    const { status, body } = await raw.post('/apis/events.k8s.io/v1/namespaces/default/events', {
      metadata: { name: 'e2' },
      type: 'Normal',
      regarding: { kind: 'Service', name: 'web', namespace: 'elsewhere' },
    });
    expect(status).toBe(422);
    const fields = body.details.causes.map((each: { field: string }) => each.field);
    expect(fields).toEqual(['involvedObject.namespace', 'eventTime']);
  });
});
