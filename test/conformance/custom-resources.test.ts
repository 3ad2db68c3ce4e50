import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFINITIONS, untilDefinitionIsGone } from '../lab/apiserver/definitions-end.ts';
import { MERGE, RawClient, STRATEGIC, take } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const POOLS = '/apis/fairlead.dev/v1alpha1/ipaddresspools';
const ADVERTISEMENTS = '/apis/fairlead.dev/v1alpha1/l2advertisements';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

beforeAll(async () => {
  running = await startTestServer({ crds: true });
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function pool(name: string, spec: object) {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'IPAddressPool', metadata: { name }, spec };
}

function byField(a: { field: string }, b: { field: string }): number {
  return a.field < b.field ? -1 : 1;
}

/** An object of a kind that a test defines. */
function made(kind: string, name: string, content: object) {
  return { apiVersion: 'example.dev/v1', kind, metadata: { name }, ...content };
}

/** Resolves when its kind is served. */
async function define(body: ReturnType<typeof definition>): Promise<void> {
  expect((await raw.post(DEFINITIONS, body)).status).toBe(201);
  const [version] = body.spec.versions;
  const path = `/apis/example.dev/${version?.name}/${body.spec.names.plural}`;
  while ((await raw.get(path)).status !== 200);
}

function definition(plural: string, kind: string, schema: object, extra: object = {}) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.example.dev` },
    spec: {
      group: 'example.dev',
      scope: 'Namespaced',
      names: { plural, kind },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      ...extra,
    },
  };
}

/** What the definition of a pool sets where it is not set. */
const DEFAULTS = {
  autoAssign: true,
  avoidBuggyIPs: false,
  skipSubnetEnds: false,
  allowNodeAddresses: false,
  reuse: 'lowest',
  drain: false,
};

/** Without the real server's remark that rules in CEL were not asked about an object that is invalid anyhow. */
function causesOf(body: { details: { causes: { field: string }[] } }): { field: string }[] {
  return body.details.causes.filter(({ field }) => field !== '<nil>');
}

describe('the project’s own definitions', () => {
  it('are established', async () => {
    const { body } = await raw.get(`${DEFINITIONS}/ipaddresspools.fairlead.dev`);
    const conditions = body.status.conditions.map(({ type, status }: { type: string; status: string }) => [
      type,
      status,
    ]);
    expect(conditions).toEqual([
      ['NamesAccepted', 'True'],
      ['Established', 'True'],
    ]);
    expect(body.status.storedVersions).toEqual(['v1alpha1']);
  });

  it('fill in defaults, at every depth that is there', async () => {
    const { body } = await raw.post(POOLS, pool('defaults', { addresses: ['192.0.2.0/24'] }));
    expect(body.spec).toEqual({ addresses: ['192.0.2.0/24'], ...DEFAULTS });
    const { body: nulled } = await raw.post(
      POOLS,
      pool('nulled', { addresses: ['192.0.2.0/24'], autoAssign: null }),
    );
    expect(nulled.spec.autoAssign).toBe(true);
  });

  it('lose unknown fields, with a warning', async () => {
    const spec = { addresses: ['192.0.2.0/24'], adresses: ['typo'], serviceAllocation: { prio: 1 } };
    const { status, body, headers } = await raw.post(POOLS, pool('pruned', spec));
    expect(status).toBe(201);
    expect(body.spec).toEqual({
      addresses: ['192.0.2.0/24'],
      serviceAllocation: {},
      ...DEFAULTS,
    });
    expect(headers.warning).toBe(
      '299 - "unknown field \\"spec.adresses\\"", 299 - "unknown field \\"spec.serviceAllocation.prio\\""',
    );
    const ignored = await raw.post(`${POOLS}?fieldValidation=Ignore`, pool('ignored', spec));
    expect(ignored.headers.warning).toBeUndefined();
  });

  it('refuse unknown fields where the client is strict', async () => {
    const spec = { addresses: ['192.0.2.0/24'], adresses: [] };
    const { status, body } = await raw.post(`${POOLS}?fieldValidation=Strict`, pool('strict', spec));
    expect([status, body.reason]).toEqual([400, 'BadRequest']);
    expect(body.message).toContain('strict decoding error: unknown field "spec.adresses"');
  });

  it('answer 422 with every cause and its field', async () => {
    const { status, body } = await raw.post(
      POOLS,
      pool('invalid', {
        addresses: [],
        autoAssign: 'yes',
        serviceAllocation: {
          priority: -1,
          serviceSelectors: [{ matchExpressions: [{ key: 'a', operator: 'Is' }] }],
        },
      }),
    );
    expect([status, body.reason, body.details.kind]).toEqual([422, 'Invalid', 'IPAddressPool']);
    expect(causesOf(body).toSorted(byField)).toEqual([
      {
        reason: 'FieldValueInvalid',
        field: 'spec.addresses',
        message: 'Invalid value: 0: spec.addresses in body should have at least 1 items',
      },
      {
        reason: 'FieldValueTypeInvalid',
        field: 'spec.autoAssign',
        message: 'Invalid value: "string": spec.autoAssign in body must be of type boolean: "string"',
      },
      {
        reason: 'FieldValueInvalid',
        field: 'spec.serviceAllocation.priority',
        message: expect.stringContaining('should be greater than or equal to 0'),
      },
      {
        reason: 'FieldValueNotSupported',
        field: 'spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].operator',
        message: 'Unsupported value: "Is": supported values: "In", "NotIn", "Exists", "DoesNotExist"',
      },
    ]);
    const { spec: _, ...bare } = pool('bare', {});
    const missing = await raw.post(POOLS, bare);
    expect(causesOf(missing.body)).toEqual([
      { reason: 'FieldValueRequired', field: 'spec', message: 'Required value' },
    ]);
  });

  it('hold for patches and for the status as well', async () => {
    await raw.post(POOLS, pool('patched', { addresses: ['192.0.2.0/24'] }));
    const patched = await raw.patch(`${POOLS}/patched`, MERGE, { spec: { addresses: 7 } });
    expect(patched.body.details.causes[0].field).toBe('spec.addresses');
    const conditions = [
      { type: 'Valid', status: 'Maybe', reason: 'R', message: '', lastTransitionTime: 'noon' },
    ];
    const { body } = await raw.patch(`${POOLS}/patched/status`, MERGE, { status: { conditions } });
    const fields = causesOf(body).map((each) => each.field);
    expect(fields.toSorted()).toEqual([
      'status.conditions[0].lastTransitionTime',
      'status.conditions[0].status',
    ]);
  });

  it('refuse two conditions of one type', async () => {
    await raw.post(POOLS, pool('twice', { addresses: ['192.0.2.0/24'] }));
    const condition = {
      type: 'Valid',
      status: 'True',
      reason: 'R',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const { body } = await raw.patch(`${POOLS}/twice/status`, MERGE, {
      status: { conditions: [condition, condition] },
    });
    expect(body.details.causes).toEqual([
      {
        reason: 'FieldValueDuplicate',
        field: 'status.conditions[1]',
        message: 'Duplicate value: {"type":"Valid"}',
      },
    ]);
  });

  it('accept an advertisement with every field', async () => {
    const selector = {
      matchLabels: { a: 'b' },
      matchExpressions: [{ key: 'c', operator: 'In', values: ['d'] }],
    };
    const spec = {
      ipAddressPools: ['p'],
      ipAddressPoolSelectors: [selector],
      nodeSelectors: [selector],
      interfaces: ['eth0'],
      serviceSelectors: [selector],
      preferredNodeSelectors: [{ weight: 1, preference: selector }],
    };
    const { status, body } = await raw.post(`${ADVERTISEMENTS}?fieldValidation=Strict`, {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'L2Advertisement',
      metadata: { name: 'all' },
      spec,
    });
    expect([status, body.spec]).toEqual([201, spec]);
    const heavy = { spec: { preferredNodeSelectors: [{ weight: 101, preference: {} }] } };
    expect((await raw.patch(`${ADVERTISEMENTS}/all`, MERGE, heavy)).status).toBe(422);
  });

  it('take no strategic merge patch, as the real server', async () => {
    const { status, body } = await raw.patch(`${POOLS}/patched`, STRATEGIC, {});
    expect([status, body.reason]).toEqual([415, 'UnsupportedMediaType']);
  });

  it.each<[string, object, string, string]>([
    [
      'a host name among the addresses',
      { addresses: ['192.0.2.1', 'web.example.com'] },
      'spec.addresses[1]',
      'write a prefix (192.0.2.0/24), a range (192.0.2.10-192.0.2.20) or one address',
    ],
    [
      'a requirement without the values that it needs',
      {
        addresses: ['192.0.2.1'],
        serviceAllocation: { serviceSelectors: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] },
      },
      'spec.serviceAllocation.serviceSelectors[0].matchExpressions[0]',
      'In and NotIn need values; Exists and DoesNotExist take none',
    ],
  ])('refuse %s, by their rules in CEL', async (_, spec, field, words) => {
    const { status, body } = await raw.post(POOLS, pool('ruled', spec));
    expect(status).toBe(422);
    expect(body.details.causes).toEqual([
      { reason: 'FieldValueInvalid', field, message: expect.stringContaining(words) },
    ]);
  });

  it('show their columns in a table', async () => {
    await raw.post(POOLS, pool('shown', { addresses: ['192.0.2.0/24', '2001:db8::/120'] }));
    const condition = {
      type: 'Valid',
      status: 'True',
      reason: 'R',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    await raw.patch(`${POOLS}/shown/status`, MERGE, { status: { assignedIPv4: 3, conditions: [condition] } });
    const { body } = await raw.get(`${POOLS}/shown`, { accept: TABLE });
    expect(
      body.columnDefinitions.map(({ name, priority }: { name: string; priority: number }) => [
        name,
        priority,
      ]),
    ).toEqual([
      ['Name', 0],
      ['Addresses', 0],
      ['Total-IPv4', 0],
      ['Used-IPv4', 0],
      ['Available-IPv4', 0],
      ['Total-IPv6', 1],
      ['Used-IPv6', 1],
      ['Available-IPv6', 1],
      ['Exhausted', 0],
      ['Valid', 0],
      ['Age', 0],
    ]);
    expect(body.rows[0].cells).toEqual([
      'shown',
      '["192.0.2.0/24","2001:db8::/120"]',
      null,
      3,
      null,
      null,
      null,
      null,
      null,
      'True',
      expect.stringMatching(/^\d+s$/),
    ]);
  });
});

describe('a definition', () => {
  it.each<[string, object, string]>([
    [
      'a name that is not plural and group',
      { ...definition('ones', 'One', { type: 'object' }), metadata: { name: 'other' } },
      'metadata.name',
    ],
    ['no group', definition('ones', 'One', { type: 'object' }, { group: '' }), 'spec.group'],
    ['a scope that is none', definition('ones', 'One', { type: 'object' }, { scope: 'World' }), 'spec.scope'],
    ['no version to store', definition('ones', 'One', { type: 'object' }, { versions: [] }), 'spec.versions'],
    [
      'no schema',
      definition(
        'ones',
        'One',
        { type: 'object' },
        { versions: [{ name: 'v1', served: true, storage: true }] },
      ),
      'spec.versions[0].schema.openAPIV3Schema',
    ],
    ['a schema of no object', definition('ones', 'One', { type: 'string' }), '.openAPIV3Schema.type'],
  ])('is refused with %s', async (_, body, field) => {
    const answer = await raw.post(DEFINITIONS, body);
    expect(answer.status).toBe(422);
    const fields = answer.body.details.causes.map((each: { field: string }) => each.field);
    expect(fields).toContainEqual(expect.stringContaining(field));
  });

  it('with a schema that is none is refused', async () => {
    const { status, body } = await raw.post(
      DEFINITIONS,
      definition('ones', 'One', { type: 'object', properties: 5 }),
    );
    expect([status, body.message]).toEqual([400, expect.stringContaining('openAPIV3Schema.properties')]);
  });

  it('serves its kind from the moment it is there to the moment it goes, objects and all', async () => {
    const path = '/apis/example.dev/v1/namespaces/default/widgets';
    expect((await raw.get(path)).status).toBe(404);
    const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    await define(definition('widgets', 'Widget', schema));
    const widget = await raw.post(path, made('Widget', 'w', { anything: { goes: [1] } }));
    expect([widget.status, widget.body.anything]).toEqual([201, { goes: [1] }]);
    const { resourceVersion } = widget.body.metadata;
    const watch = await raw.watch(`${path}?watch=1&resourceVersion=${resourceVersion}`);
    await raw.delete(`${DEFINITIONS}/widgets.example.dev`);
    const [event] = await take(watch, 1);
    expect([event?.type, event?.object.metadata.name]).toEqual(['DELETED', 'w']);
    await watch.return(undefined);
    await untilDefinitionIsGone(raw, 'widgets.example.dev');
    while ((await raw.get(path)).status !== 404);
    await define(definition('widgets', 'Widget', schema));
    expect((await raw.get(path)).body.items).toEqual([]);
  });

  it('that is changed changes what is accepted', async () => {
    const path = '/apis/example.dev/v1/namespaces/default/gadgets';
    const schemaOf = (maximum: number) => ({
      type: 'object',
      properties: { size: { type: 'integer', maximum } },
    });
    await define(definition('gadgets', 'Gadget', schemaOf(1)));
    expect((await raw.post(path, made('Gadget', 'g', { size: 2 }))).status).toBe(422);
    const { body: live } = await raw.get(`${DEFINITIONS}/gadgets.example.dev`);
    const { spec } = definition('gadgets', 'Gadget', schemaOf(2));
    const changed = await raw.put(`${DEFINITIONS}/gadgets.example.dev`, { ...live, spec });
    expect(changed.body.metadata.generation).toBe(2);
    // A moment later at the real server.
    while ((await raw.post(path, made('Gadget', 'g', { size: 2 }))).status === 422);
    expect((await raw.get(`${path}/g`)).body.size).toBe(2);
  });

  it('of several versions shows every object in each of them', async () => {
    const schema = { openAPIV3Schema: { type: 'object', properties: { size: { type: 'integer' } } } };
    const versions = ['v1', 'v2'].map((name, i) => ({ name, served: true, storage: i === 1, schema }));
    await define(definition('parts', 'Part', {}, { versions }));
    await raw.post('/apis/example.dev/v1/namespaces/default/parts', made('Part', 'p', { size: 1 }));
    const newer = await raw.get('/apis/example.dev/v2/namespaces/default/parts/p');
    expect([newer.body.apiVersion, newer.body.size]).toEqual(['example.dev/v2', 1]);
    const older = await raw.get('/apis/example.dev/v1/parts');
    expect(older.body.items.map((each: { apiVersion: string }) => each.apiVersion)).toEqual([
      'example.dev/v1',
    ]);
  });
});
