import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, APPLY, MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const SERVICES = '/api/v1/namespaces/default/services';
const POOLS = '/apis/fairlead.dev/v1alpha1/ipaddresspools';

beforeAll(async () => {
  running = await startTestServer({ crds: true });
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function apply(path: string, manager: string, object: object, force = false): Promise<Answer> {
  return raw.patch(`${path}?fieldManager=${manager}${force ? '&force=true' : ''}`, APPLY, object);
}

function configMap(name: string, data: object | undefined, metadata: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, ...(data ? { data } : {}) };
}

function owners({ body }: Answer): Record<string, unknown> {
  const entries: { manager: string; operation: string; subresource?: string; fieldsV1: unknown }[] =
    body.metadata.managedFields;
  return Object.fromEntries(
    entries.map(({ manager, operation, subresource, fieldsV1 }) => [
      [manager, operation, subresource].filter(Boolean).join(' '),
      fieldsV1,
    ]),
  );
}

describe('server-side apply', () => {
  it('creates, with its manager as the owner of every field', async () => {
    const answer = await apply(`${CONFIG_MAPS}/a`, 'one', configMap('a', { x: '1' }, { labels: { l: 'v' } }));
    expect(answer.status).toBe(201);
    expect(owners(answer)).toEqual({
      'one Apply': { 'f:metadata': { 'f:labels': { 'f:l': {} } }, 'f:data': { 'f:x': {} } },
    });
  });

  it('makes no new version where it says the same again', async () => {
    const path = `${CONFIG_MAPS}/same`;
    const first = await apply(path, 'one', configMap('same', { x: '1' }));
    const again = await apply(path, 'one', configMap('same', { x: '1' }));
    expect([again.status, again.body]).toEqual([200, first.body]);
  });

  it('lets two managers own a field that they agree on', async () => {
    const path = `${CONFIG_MAPS}/shared`;
    await apply(path, 'one', configMap('shared', { x: '1', y: '1' }));
    const answer = await apply(path, 'two', configMap('shared', { x: '1' }));
    expect(owners(answer)).toMatchObject({
      'one Apply': { 'f:data': { 'f:x': {} } },
      'two Apply': { 'f:data': { 'f:x': {} } },
    });
    // One lets go of it; the other holds it still. Of `y` nobody is left.
    const after = await apply(path, 'one', configMap('shared', undefined));
    expect(after.body.data).toEqual({ x: '1' });
    expect(owners(after)).toHaveProperty('two Apply');
  });

  it('answers 409 with every field and its owner where they disagree, and changes nothing', async () => {
    const path = `${CONFIG_MAPS}/contested`;
    await apply(path, 'one', configMap('contested', { x: '1', y: '1', z: '1' }));
    const { status, body } = await apply(path, 'two', configMap('contested', { x: '2', y: '2', z: '1' }));
    expect([status, body.reason]).toEqual([409, 'Conflict']);
    expect(body.message).toBe('Apply failed with 2 conflicts: conflicts with "one":\n- .data.x\n- .data.y');
    expect(body.details.causes).toEqual([
      { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.x' },
      { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.y' },
    ]);
    expect((await raw.get(path)).body.data).toEqual({ x: '1', y: '1', z: '1' });
  });

  it('takes the fields over by force', async () => {
    const path = `${CONFIG_MAPS}/forced`;
    await apply(path, 'one', configMap('forced', { x: '1', y: '1' }));
    const answer = await apply(path, 'two', configMap('forced', { x: '2' }), true);
    expect(answer.body.data).toEqual({ x: '2', y: '1' });
    expect(owners(answer)).toEqual({
      'one Apply': { 'f:data': { 'f:y': {} } },
      'two Apply': { 'f:data': { 'f:x': {} } },
    });
  });

  it('conflicts with who wrote by other means', async () => {
    await raw.post(`${CONFIG_MAPS}?fieldManager=writer`, configMap('written', { x: '1' }));
    const { status, body } = await apply(`${CONFIG_MAPS}/written`, 'two', configMap('written', { x: '2' }));
    expect(status).toBe(409);
    expect(body.message).toMatch(
      /^Apply failed with 1 conflict: conflict with "writer" using v1: \.data\.x$/,
    );
  });

  it('removes what its manager applied before and applies no longer', async () => {
    const path = `${CONFIG_MAPS}/dropped`;
    await apply(path, 'one', configMap('dropped', { x: '1', y: '1' }, { annotations: { a: '1' } }));
    const { body } = await apply(path, 'one', configMap('dropped', { x: '1' }));
    expect(body.data).toEqual({ x: '1' });
    expect(body.metadata.annotations ?? {}).toEqual({});
  });

  it('merges ports by port and protocol, each with its own owner', async () => {
    const service = (ports: object[]) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'ports' },
      spec: { ports },
    });
    const path = `${SERVICES}/ports`;
    await apply(path, 'one', service([{ name: 'a', port: 80, protocol: 'TCP', targetPort: 8080 }]));
    const answer = await apply(path, 'two', service([{ name: 'b', port: 80, protocol: 'UDP' }]));
    expect(answer.body.spec.ports).toEqual([
      { name: 'a', port: 80, protocol: 'TCP', targetPort: 8080 },
      { name: 'b', port: 80, protocol: 'UDP', targetPort: 80 },
    ]);
    expect(owners(answer)['two Apply']).toEqual({
      'f:spec': {
        'f:ports': {
          'k:{"port":80,"protocol":"UDP"}': { '.': {}, 'f:name': {}, 'f:port': {}, 'f:protocol': {} },
        },
      },
    });
    const conflict = await apply(
      path,
      'two',
      service([{ name: 'a', port: 80, protocol: 'TCP', targetPort: 9090 }]),
    );
    expect(conflict.body.message).toContain('.spec.ports[port=80,protocol="TCP"].targetPort');
    const gone = await apply(path, 'two', service([{ name: 'a', port: 80, protocol: 'TCP' }]));
    expect(gone.body.spec.ports).toHaveLength(1);
  });

  it('takes a selector as one value, as the real server', async () => {
    const service = (selector: object) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'selected' },
      spec: { ports: [{ port: 80, protocol: 'TCP' }], selector },
    });
    const path = `${SERVICES}/selected`;
    const answer = await apply(path, 'one', service({ a: '1' }));
    expect(owners(answer)['one Apply']).toMatchObject({ 'f:spec': { 'f:selector': {} } });
    const other = await apply(path, 'two', service({ b: '2' }));
    expect(other.body.details.causes).toMatchObject([{ field: '.spec.selector' }]);
    expect((await apply(path, 'two', service({ b: '2' }), true)).body.spec.selector).toEqual({ b: '2' });
  });

  it('merges sets and maps of a custom resource as its schema says', async () => {
    const path = `${POOLS}/conditions`;
    await apply(path, 'one', pool('conditions', { spec: { addresses: ['192.0.2.0/24'] } }));
    const condition = (type: string) => ({
      type,
      status: 'True',
      reason: 'R',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    });
    await apply(
      `${path}/status`,
      'one',
      pool('conditions', { status: { conditions: [condition('Valid')] } }),
    );
    const { body } = await apply(
      `${path}/status`,
      'two',
      pool('conditions', { status: { conditions: [condition('Other')] } }),
    );
    expect(body.status.conditions).toEqual([condition('Valid'), condition('Other')]);
    // An atomic list is replaced, and so belongs to one.
    const lost = await apply(path, 'two', pool('conditions', { spec: { addresses: ['198.51.100.0/24'] } }));
    expect(lost.body.details.causes[0].field).toBe('.spec.addresses');
  });

  it('of the status owns status alone, of the object all but status', async () => {
    const path = `${POOLS}/halves`;
    const both = { spec: { addresses: ['192.0.2.0/24'] }, status: { assignedIPv4: 1 } };
    const created = await apply(path, 'one', pool('halves', both));
    expect(created.body.status).toBeUndefined();
    const answer = await apply(`${path}/status`, 'two', pool('halves', both));
    expect(answer.body.status).toEqual({ assignedIPv4: 1 });
    expect(owners(answer)).toEqual({
      'one Apply': { 'f:spec': { 'f:addresses': {} } },
      'two Apply status': { 'f:status': { 'f:assignedIPv4': {} } },
    });
  });

  it('heeds a version, when one is named, of an object that is there', async () => {
    const path = `${CONFIG_MAPS}/versioned`;
    const named = configMap('versioned', { x: '1' }, { resourceVersion: '1' });
    expect((await apply(path, 'one', named)).status).toBe(201);
    expect((await apply(path, 'one', named)).status).toBe(409);
  });

  it.each([
    ['no manager', '', configMap('bad', {}), 422],
    ['another name', '?fieldManager=one', configMap('other', {}), 400],
    ['another kind', '?fieldManager=one', { ...configMap('bad', {}), kind: 'Secret' }, 400],
    ['ownership of its own', '?fieldManager=one', configMap('bad', {}, { managedFields: [{}] }), 400],
  ])('refuses an apply with %s', async (_, query, body, expected) => {
    const { status } = await raw.patch(`${CONFIG_MAPS}/bad${query}`, APPLY, body);
    expect(status).toBe(expected);
  });

  it('of a status where there is no object answers 404', async () => {
    const body = pool('absent', { status: { assignedIPv4: 1 } });
    expect((await apply(`${POOLS}/absent/status`, 'one', body)).status).toBe(404);
  });
});

describe('ownership of plain writes', () => {
  it('goes to who changed a field, and away from who had it', async () => {
    const path = `${CONFIG_MAPS}/passed`;
    await apply(path, 'one', configMap('passed', { x: '1', y: '1' }));
    const answer = await raw.patch(`${path}?fieldManager=writer`, MERGE, { data: { x: '2' } });
    expect(owners(answer)).toEqual({
      'one Apply': { 'f:data': { 'f:y': {} } },
      'writer Update': { 'f:data': { 'f:x': {} } },
    });
  });

  it('is named after the client where it says no manager', async () => {
    const headers = { 'user-agent': 'probe/1.2 (linux)' };
    const answer = await raw.post(CONFIG_MAPS, configMap('agent', { x: '1' }), { headers });
    expect(owners(answer)).toHaveProperty('probe Update');
  });
});

function pool(name: string, content: object): object {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool', metadata: { name }, ...content };
}
