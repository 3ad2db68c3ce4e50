import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const IN_DEFAULT = '/api/v1/namespaces/default';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

beforeAll(async () => {
  running = await startTestServer();
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function slice(name: string, content: object): object {
  const endpoints = [{ addresses: ['10.0.0.1'] }];
  return { metadata: { name }, addressType: 'IPv4', endpoints, ports: [{ port: 80 }], ...content };
}

function fieldsOf({ status, body }: Answer): string[] {
  expect([status, body.reason]).toEqual([422, 'Invalid']);
  return body.details.causes.map(({ field }: { field: string }) => field);
}

describe('fields of built-in kinds', () => {
  it('that do not exist are dropped with a warning, or refused where the client is strict', async () => {
    const body = {
      metadata: { name: 'typo' },
      spec: { ports: [{ port: 80, targetport: 1 }], loadBalancerIPs: [] },
    };
    const strict = await raw.post(`${IN_DEFAULT}/services?fieldValidation=Strict`, body);
    expect([strict.status, strict.body.message]).toEqual([
      400,
      'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.ports[0].targetport", unknown field "spec.loadBalancerIPs"',
    ]);
    const { status, headers, body: made } = await raw.post(`${IN_DEFAULT}/services`, body);
    expect([status, made.spec.loadBalancerIPs]).toEqual([201, undefined]);
    expect(headers.warning).toContain('unknown field \\"spec.loadBalancerIPs\\"');
  });

  it.each<[string, object]>([
    ['services', { spec: { ports: 'http' } }],
    ['services', { spec: { ports: [{ port: '80' }] } }],
    ['services', { spec: 7 }],
    ['configmaps', { data: { a: 1 } }],
    ['secrets', { data: [] }],
  ])('of the wrong type in %s: %j', async (plural, content) => {
    const { status, body } = await raw.post(`${IN_DEFAULT}/${plural}`, {
      metadata: { name: 'wrong' },
      ...content,
    });
    expect([status, body.reason]).toEqual([400, 'BadRequest']);
    expect(body.message).toMatch(/^\w+ in version "v1" cannot be handled as a \w+: /);
  });

  it('that are null are not there', async () => {
    const body = {
      metadata: { name: 'nulls' },
      spec: { ports: [{ port: 80, nodePort: null }], externalIPs: null },
    };
    const { status, body: made } = await raw.post(`${IN_DEFAULT}/services?fieldValidation=Strict`, body);
    expect([status, made.spec.externalIPs]).toEqual([201, undefined]);
  });
});

describe('an EndpointSlice', () => {
  it('has the defaults of its ports and a generation', async () => {
    const { body } = await raw.post(SLICES, slice('defaults', {}));
    expect(body.ports).toEqual([{ name: '', protocol: 'TCP', port: 80 }]);
    expect(body.metadata.generation).toBe(1);
    const endpoints = [{ addresses: ['10.0.0.2'], conditions: { ready: false } }];
    const { body: after } = await raw.patch(`${SLICES}/defaults`, MERGE, { endpoints });
    expect([after.endpoints, after.metadata.generation]).toEqual([endpoints, 2]);
  });

  it.each<[string, object, string[]]>([
    ['no address type', { addressType: undefined }, ['addressType']],
    ['an unknown address type', { addressType: 'IPv5' }, ['addressType']],
    [
      'an address of the other family',
      { endpoints: [{ addresses: ['2001:db8::1'] }] },
      ['endpoints[0].addresses'],
    ],
    ['an endpoint without addresses', { endpoints: [{ addresses: [] }] }, ['endpoints[0].addresses']],
    ['two ports of one name', { ports: [{ port: 1 }, { port: 2 }] }, ['ports[1].name']],
    ['a bad protocol', { ports: [{ port: 80, protocol: 'ICMP' }] }, ['ports[0].protocol']],
  ])('is refused with %s', async (_, content, fields) => {
    expect(fieldsOf(await raw.post(SLICES, slice('bad', content)))).toEqual(fields);
  });

  it('keeps its address type', async () => {
    await raw.post(SLICES, slice('fixed', {}));
    const change = { addressType: 'IPv6', endpoints: [{ addresses: ['2001:db8::1'] }] };
    expect(fieldsOf(await raw.patch(`${SLICES}/fixed`, MERGE, change))).toEqual(['addressType']);
  });
});

it('keeps what is written as stringData of a Secret in its data', async () => {
  const secret = { metadata: { name: 's' }, data: { a: 'YQ==' }, stringData: { b: 'b' } };
  const { body } = await raw.post(`${IN_DEFAULT}/secrets`, secret);
  expect([body.type, body.data, body.stringData]).toEqual(['Opaque', { a: 'YQ==', b: 'Yg==' }, undefined]);
});

describe('tables', () => {
  const cells = async (path: string) => {
    const { body } = await raw.get(path, { accept: TABLE });
    const names = body.columnDefinitions.map(({ name }: { name: string }) => name);
    return Object.fromEntries(names.map((name: string, i: number) => [name, body.rows[0].cells[i]]));
  };

  it('show what a node is', async () => {
    const labels = { 'node-role.kubernetes.io/control-plane': '', 'node-role.kubernetes.io/worker': '' };
    const status = {
      conditions: [{ type: 'Ready', status: 'False' }],
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      nodeInfo: { kubeletVersion: 'v1.36.0' },
    };
    await raw.post('/api/v1/nodes', {
      metadata: { name: 'n1', labels },
      spec: { unschedulable: true },
      status,
    });
    expect(await cells('/api/v1/nodes/n1')).toMatchObject({
      Status: 'NotReady,SchedulingDisabled',
      Roles: 'control-plane,worker',
      Version: 'v1.36.0',
      'Internal-IP': '192.0.2.1',
      'External-IP': '<none>',
    });
  });

  it('show what a slice, a pod, a lease and a config map hold', async () => {
    await raw.post(
      SLICES,
      slice('shown', { endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'] }] }),
    );
    expect(await cells(`${SLICES}/shown`)).toMatchObject({
      AddressType: 'IPv4',
      Ports: '80',
      Endpoints: '10.0.0.1,10.0.0.2',
    });
    const pod = {
      metadata: { name: 'p' },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'fairlead.dev/none' }] },
      status: { phase: 'Running', podIP: '10.0.0.1' },
    };
    const { body: made } = await raw.post(`${IN_DEFAULT}/pods`, pod);
    expect(made.status).toMatchObject({ phase: 'Pending' });
    await raw.patch(`${IN_DEFAULT}/pods/p/status`, MERGE, { status: pod.status });
    expect(await cells(`${IN_DEFAULT}/pods/p`)).toMatchObject({
      Ready: '0/1',
      Status: 'Running',
      IP: '10.0.0.1',
      Node: 'n1',
    });
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    await raw.post(leases, { metadata: { name: 'l' }, spec: { holderIdentity: 'me' } });
    expect(await cells(`${leases}/l`)).toMatchObject({ Holder: 'me' });
    await raw.post(`${IN_DEFAULT}/configmaps`, { metadata: { name: 'c' }, data: { a: '1', b: '2' } });
    expect(await cells(`${IN_DEFAULT}/configmaps/c`)).toMatchObject({ Data: 2 });
  });

  it('show the addresses of a Service by its type', async () => {
    const ports = [{ port: 80 }];
    const external = async (name: string, spec: object) => {
      await raw.post(`${IN_DEFAULT}/services`, { metadata: { name }, spec: { ports, ...spec } });
      return (await cells(`${IN_DEFAULT}/services/${name}`))['External-IP'];
    };
    expect(await external('plain', {})).toBe('<none>');
    expect(await external('ips', { externalIPs: ['192.0.2.1', '192.0.2.2'] })).toBe('192.0.2.1,192.0.2.2');
    expect(await external('named', { type: 'ExternalName', externalName: 'example.com' })).toBe(
      'example.com',
    );
    expect(await external('pending', { type: 'LoadBalancer' })).toBe('<pending>');
  });
});
