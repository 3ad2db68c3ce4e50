import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, JSON_PATCH, MERGE, RawClient, STRATEGIC } from '../lab/apiserver/raw-client.ts';
import { IS_REAL, startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const SERVICES = '/api/v1/namespaces/default/services';
const PORTS = [{ port: 80 }];
let count = 0;
/** Addresses of the cluster: chosen by the server, at random by the real one. */
const V4 = expect.stringMatching(/^10\.96\.\d+\.\d+$/);
const V6 = expect.stringMatching(/^fd00:96::[0-9a-f]+$/);

beforeEach(async () => {
  running = await startTestServer();
  raw = await RawClient.open(running.kubeconfig);
});
afterEach(() => running.close());

function create(spec: object, name = `s${count++}`): Promise<Answer> {
  return raw.post(SERVICES, { metadata: { name }, spec: { ports: PORTS, ...spec } });
}

function patch({ body }: Answer, spec: object): Promise<Answer> {
  return raw.patch(`${SERVICES}/${body.metadata.name}`, MERGE, { spec });
}

/**
 * That an address which was given up can be had. At once by the embedded server; the real one's repair loop may, where
 * it knew of the address still, hold it for minutes.
 */
async function expectFree(clusterIP: string): Promise<void> {
  if (!IS_REAL) expect((await create({ clusterIP })).status).toBe(201);
}

function causes({ status, body }: Answer): string[] {
  expect([status, body.reason]).toEqual([422, 'Invalid']);
  return body.details.causes.map(
    ({ field, message }: { field: string; message: string }) => `${field}: ${message}`,
  );
}

describe('a new Service', () => {
  it('is completed with the defaults of its type', async () => {
    const { body } = await create({});
    expect(body.spec).toEqual({
      type: 'ClusterIP',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      clusterIP: V4,
      clusterIPs: [V4],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
    });
    expect(body.status).toEqual({ loadBalancer: {} });
    expect(body.metadata.generation).toBeUndefined();
  });

  it('of type LoadBalancer gets node ports and the policies of one', async () => {
    const { body } = await create({ type: 'LoadBalancer', sessionAffinity: 'ClientIP' });
    expect(body.spec).toMatchObject({
      allocateLoadBalancerNodePorts: true,
      externalTrafficPolicy: 'Cluster',
      ports: [{ nodePort: expect.any(Number) }],
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
    });
    expect(body.spec.ports[0].nodePort).toBeGreaterThanOrEqual(30_000);
    expect(body.spec.ports[0].nodePort).toBeLessThanOrEqual(32_767);
    expect(body.spec.healthCheckNodePort).toBeUndefined();
  });

  it('gets no node ports where it wants none', async () => {
    const { body } = await create({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false });
    expect(body.spec.ports[0].nodePort).toBeUndefined();
  });

  it('with externalTrafficPolicy Local gets a port for health checks', async () => {
    const { body } = await create({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    const { healthCheckNodePort, ports } = body.spec;
    expect(healthCheckNodePort).toBeGreaterThanOrEqual(30_000);
    expect(healthCheckNodePort).not.toBe(ports[0].nodePort);
    const asked = await create({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 30_032,
    });
    expect(asked.body.spec.healthCheckNodePort).toBe(30_032);
    const again = await create({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_032 }] });
    expect(causes(again)).toEqual([
      'spec.ports[0].nodePort: Invalid value: 30032: provided port is already allocated',
    ]);
  });

  it('shares a node port between the protocols of one port', async () => {
    const ports = [
      { name: 't', port: 53 },
      { name: 'u', port: 53, protocol: 'UDP' },
    ];
    const { body } = await create({ type: 'NodePort', ports });
    expect(body.spec.ports[0].nodePort).toBe(body.spec.ports[1].nodePort);
  });

  it('that is headless gets no address', async () => {
    const { body } = await create({ clusterIP: 'None', selector: { a: 'b' } });
    expect(body.spec).toMatchObject({
      clusterIP: 'None',
      clusterIPs: ['None'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
    });
    const { body: selectorless } = await create({ clusterIP: 'None' });
    expect(selectorless.spec).toMatchObject({
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
    });
  });

  it('of type ExternalName has a name only', async () => {
    const { body } = await create({ type: 'ExternalName', externalName: 'example.com', ports: undefined });
    expect(body.spec).toEqual({ type: 'ExternalName', externalName: 'example.com', sessionAffinity: 'None' });
  });

  it('with externalIPs has an external traffic policy', async () => {
    const { body } = await create({ externalIPs: ['192.0.2.1'] });
    expect(body.spec.externalTrafficPolicy).toBe('Cluster');
  });

  it('gets the address that it asks for, once', async () => {
    expect((await create({ clusterIP: '10.96.0.77' })).body.spec.clusterIPs).toEqual(['10.96.0.77']);
    expect(causes(await create({ clusterIP: '10.96.0.77' }))[0]).toMatch(
      /^spec\.clusterIPs: .*provided IP is already allocated$/,
    );
    expect(causes(await create({ clusterIP: '192.0.2.1' }))[0]).toMatch(
      /the provided network does not match the current range$/,
    );
  });

  it.each<[string, object, string[]]>([
    ['no ports', { ports: [] }, ['spec.ports: Required value']],
    [
      'an unknown type',
      { type: 'Proxy' },
      [
        'spec.type: Unsupported value: "Proxy": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
    [
      'a port of 0',
      { ports: [{ port: 0 }] },
      [
        'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
        'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
      ],
    ],
    [
      'an unknown protocol',
      { ports: [{ port: 1, protocol: 'ICMP' }] },
      ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ],
    [
      'two ports and no names',
      { ports: [{ port: 1 }, { port: 2 }] },
      ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value'],
    ],
    [
      'one name twice',
      {
        ports: [
          { name: 'a', port: 1 },
          { name: 'a', port: 2 },
        ],
      },
      ['spec.ports[1].name: Duplicate value: "a"'],
    ],
    [
      'one port twice',
      {
        ports: [
          { name: 'a', port: 1 },
          { name: 'b', port: 1 },
        ],
      },
      [
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,"NodePort":0}',
      ],
    ],
    [
      'a node port of a ClusterIP',
      { ports: [{ port: 1, nodePort: 30_001 }] },
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      'a node port outside of the range',
      { type: 'NodePort', ports: [{ port: 1, nodePort: 80 }] },
      [
        'spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
      ],
    ],
    [
      'a class of no load balancer',
      { loadBalancerClass: 'fairlead.dev/l2' },
      ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ],
    [
      'a policy of no external Service',
      { externalTrafficPolicy: 'Local' },
      [
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
      ],
    ],
    [
      'an unknown policy',
      { type: 'NodePort', externalTrafficPolicy: 'Near' },
      ['spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
    ],
    [
      'an unknown affinity',
      { sessionAffinity: 'Cookie' },
      ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'],
    ],
    [
      'a bad external address',
      { externalIPs: ['1.2.3'] },
      [
        'spec.externalIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      ],
    ],
    [
      'a bad source range',
      { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0'] },
      [
        'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    [
      'a headless load balancer',
      { type: 'LoadBalancer', clusterIP: 'None' },
      ['spec.clusterIPs[0]: Invalid value: "None": may not be set to \'None\' for LoadBalancer services'],
    ],
    ['no external name', { type: 'ExternalName' }, ['spec.externalName: Required value']],
    [
      'a bad address',
      { clusterIP: '10.96.0.300' },
      [
        'spec.clusterIPs[0]: Invalid value: "10.96.0.300": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      ],
    ],
  ])('is refused with %s', async (_, spec, expected) => {
    expect(causes(await create(spec))).toEqual(expected);
  });

  it('is refused with a name that DNS would refuse', async () => {
    expect(causes(await create({}, '-first'))[0]).toMatch(
      /^metadata\.name: Invalid value: "-first": a lowercase RFC 1123/,
    );
  });
});

describe('IP families', () => {
  it.each<[string, object, object]>([
    [
      'the primary family alone',
      {},
      { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4'], clusterIPs: [V4] },
    ],
    [
      'the one that is named',
      { ipFamilies: ['IPv6'] },
      { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'], clusterIPs: [V6] },
    ],
    [
      'both where preferred',
      { ipFamilyPolicy: 'PreferDualStack' },
      { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [V4, V6] },
    ],
    [
      'both where required',
      { ipFamilyPolicy: 'RequireDualStack' },
      { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [V4, V6] },
    ],
    [
      'both in the order named',
      { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] },
      { clusterIPs: [V6, V4] },
    ],
    [
      'the family of a named address first',
      { ipFamilyPolicy: 'PreferDualStack', clusterIP: 'fd00:96::9' },
      { ipFamilies: ['IPv6', 'IPv4'], clusterIPs: ['fd00:96::9', V4] },
    ],
    [
      'both addresses that are named',
      {
        ipFamilyPolicy: 'PreferDualStack',
        clusterIP: '10.96.0.5',
        clusterIPs: ['10.96.0.5', 'fd00:96::5'],
      },
      {
        ipFamilies: ['IPv4', 'IPv6'],
        clusterIPs: ['10.96.0.5', 'fd00:96::5'],
      },
    ],
  ])('on a cluster of both are %s', async (_, spec, expected) => {
    const { status, body } = await create(spec);
    expect(status).toBe(201);
    expect(body.spec).toMatchObject(expected);
    expect(body.spec.clusterIP).toBe(body.spec.clusterIPs[0]);
  });

  it('grow to both and shrink to one again, the first address kept and the second released', async () => {
    const made = await create({});
    const grown = await patch(made, { ipFamilyPolicy: 'PreferDualStack' });
    expect(grown.body.spec).toMatchObject({
      ipFamilies: ['IPv4', 'IPv6'],
      clusterIPs: [V4, V6],
    });
    const shrunk = await patch(made, { ipFamilyPolicy: 'SingleStack' });
    expect(shrunk.body.spec).toMatchObject({
      ipFamilies: ['IPv4'],
      clusterIPs: [made.body.spec.clusterIP],
    });
    const [, second] = grown.body.spec.clusterIPs;
    await expectFree(second);
  });

  it.each<[string, object, string]>([
    ['both without a policy', { ipFamilies: ['IPv6', 'IPv4'] }, 'spec.ipFamilyPolicy'],
    [
      'both under SingleStack',
      { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4', 'IPv6'] },
      'spec.ipFamilyPolicy',
    ],
    [
      'an address of the other family',
      { ipFamilies: ['IPv4'], clusterIP: 'fd00:96::7' },
      'spec.clusterIPs[0]',
    ],
    ['a family that is none', { ipFamilies: ['IPv5'] }, 'spec.ipFamilies[0]'],
    ['a policy that is none', { ipFamilyPolicy: 'BothStacks' }, 'spec.ipFamilyPolicy'],
    [
      'a list that contradicts the address',
      { clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.9'] },
      'spec.clusterIPs',
    ],
  ])('are refused as %s', async (_, spec, field) => {
    const { status, body } = await create(spec);
    expect([status, body.details.causes[0].field]).toEqual([422, field]);
  });
});

describe('an update', () => {
  it('keeps what the server gave when the client leaves it out', async () => {
    const made = await create({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    const { name, resourceVersion } = made.body.metadata;
    const bare = {
      metadata: { name, resourceVersion, labels: { a: 'b' } },
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports: PORTS },
    };
    const { status, body } = await raw.put(`${SERVICES}/${name}`, bare);
    expect([status, body.spec]).toEqual([200, made.body.spec]);
  });

  it('cannot change the address', async () => {
    const made = await create({});
    expect(causes(await patch(made, { clusterIP: '10.96.0.99' }))).toEqual([
      'spec.clusterIPs[0]: Invalid value: ["10.96.0.99"]: may not change once set',
    ]);
    expect((await create({ clusterIP: '10.96.0.99' })).status).toBe(201);
  });

  it('cannot change the class of a load balancer, nor its health check port', async () => {
    const made = await create({
      type: 'LoadBalancer',
      loadBalancerClass: 'fairlead.dev/l2',
      externalTrafficPolicy: 'Local',
    });
    expect(causes(await patch(made, { loadBalancerClass: 'other.dev/l2' }))).toEqual([
      'spec.loadBalancerClass: Invalid value: "other.dev/l2": may not change once set',
    ]);
    expect(causes(await patch(made, { healthCheckNodePort: 30_031 }))).toEqual([
      'spec.healthCheckNodePort: Forbidden: field is immutable',
    ]);
    const plain = await create({ type: 'LoadBalancer' });
    expect((await patch(plain, { loadBalancerClass: 'fairlead.dev/l2' })).status).toBe(422);
    // On the way from another type the class is free.
    await patch(plain, { type: 'ClusterIP' });
    expect((await patch(plain, { type: 'LoadBalancer', loadBalancerClass: 'fairlead.dev/l2' })).status).toBe(
      200,
    );
  });

  it('moves a node port, and frees the old one', async () => {
    const made = await create({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_010 }] });
    const moved = await patch(made, { ports: [{ port: 80, nodePort: 30_020 }] });
    expect(moved.body.spec.ports[0].nodePort).toBe(30_020);
    expect((await create({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_010 }] })).status).toBe(201);
    expect(causes(await patch(moved, { ports: [{ port: 80, nodePort: 30_010 }] }))).toHaveLength(1);
  });

  it('to externalTrafficPolicy Local and back takes and frees the health check port', async () => {
    const made = await create({ type: 'LoadBalancer' });
    const local = await patch(made, { externalTrafficPolicy: 'Local' });
    const port = local.body.spec.healthCheckNodePort;
    expect(port).toBeGreaterThanOrEqual(30_000);
    const back = await patch(made, { externalTrafficPolicy: 'Cluster' });
    expect(back.body.spec.healthCheckNodePort).toBeUndefined();
    expect((await create({ type: 'NodePort', ports: [{ port: 80, nodePort: port }] })).status).toBe(201);
  });

  const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
  it.each(TYPES.flatMap((from) => TYPES.filter((to) => to !== from).map((to) => [from, to] as const)))(
    'from %s to %s leaves exactly what the new type has',
    async (from, to) => {
      const specOf = (type: string) => ({
        type,
        ...(type === 'ExternalName' ? { externalName: 'example.com' } : {}),
        ...(type === 'LoadBalancer'
          ? { loadBalancerClass: 'fairlead.dev/l2', externalTrafficPolicy: 'Local' }
          : {}),
      });
      const made = await create(specOf(from));
      const { status, body } = await patch(made, specOf(to));
      expect(status).toBe(200);
      const fresh = await create(specOf(to));
      // Nobody takes the name away but who gave it.
      const { externalName: _, ...rest } = body.spec;
      const left = to === 'ExternalName' ? body.spec : rest;
      expect(Object.keys(left).sort()).toEqual(Object.keys(fresh.body.spec).sort());
      expect(body.spec.ports.map(Object.keys)).toEqual(fresh.body.spec.ports.map(Object.keys));
      if (from !== 'ExternalName' && to === 'ExternalName') {
        const { clusterIP } = made.body.spec;
        await expectFree(clusterIP);
      }
      if (from !== 'ExternalName' && to !== 'ExternalName')
        expect(body.spec.clusterIP).toBe(made.body.spec.clusterIP);
      const [{ nodePort }] = made.body.spec.ports;
      if (nodePort !== undefined && !['NodePort', 'LoadBalancer'].includes(to)) {
        const ports = [{ port: 80, nodePort }];
        expect((await create({ type: 'NodePort', ports })).status).toBe(201);
      }
    },
  );

  it('gives everything back on delete', async () => {
    const spec = {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      clusterIP: '10.96.0.50',
      healthCheckNodePort: 30_050,
      ports: [{ port: 80, nodePort: 30_060 }],
    };
    const made = await create(spec);
    expect((await create(spec)).status).toBe(422);
    await raw.delete(`${SERVICES}/${made.body.metadata.name}`);
    const { clusterIP, ...ports } = spec;
    await expectFree(clusterIP);
    expect((await create(ports)).status).toBe(201);
  });

  it('by strategic merge changes the port that it names', async () => {
    const ports = [
      { name: 'a', port: 80 },
      { name: 'b', port: 443 },
    ];
    const { body } = await create({ ports });
    const path = `${SERVICES}/${body.metadata.name}`;
    const change = { spec: { ports: [{ port: 443, targetPort: 8443 }] } };
    const { body: after } = await raw.patch(path, STRATEGIC, change);
    expect(after.spec.ports).toEqual([
      { name: 'a', port: 80, protocol: 'TCP', targetPort: 80 },
      { name: 'b', port: 443, protocol: 'TCP', targetPort: 8443 },
    ]);
    const removal = [{ op: 'remove', path: '/spec/ports/0' }];
    expect((await raw.patch(path, JSON_PATCH, removal)).body.spec.ports).toHaveLength(1);
  });
});

describe('the finalizer of a Service', () => {
  const CLEANUP = 'service.kubernetes.io/load-balancer-cleanup';
  const finalizers = (name: string, list: string[] | null) =>
    raw.patch(`${SERVICES}/${name}/status`, MERGE, { metadata: { finalizers: list } });

  it('is set through the status, keeps the Service while it is deleted, and lets it go with the last', async () => {
    const made = await create({ type: 'LoadBalancer' });
    const { name } = made.body.metadata;
    expect((await finalizers(name, [CLEANUP])).body.metadata.finalizers).toEqual([CLEANUP]);
    const deleted = await raw.delete(`${SERVICES}/${name}`);
    expect([deleted.status, deleted.body.metadata.deletionTimestamp]).toEqual([200, expect.any(String)]);
    const { body: held } = await raw.get(`${SERVICES}/${name}`);
    expect(held.metadata.finalizers).toEqual([CLEANUP]);
    // Who holds it may write its status until then.
    const ingress = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } };
    expect((await raw.patch(`${SERVICES}/${name}/status`, MERGE, ingress)).status).toBe(200);
    expect((await finalizers(name, null)).status).toBe(200);
    expect((await raw.get(`${SERVICES}/${name}`)).status).toBe(404);
    const { clusterIP } = made.body.spec;
    await expectFree(clusterIP);
  });
});

describe('the status of a Service', () => {
  const ingress = (service: Answer, ...entries: object[]) =>
    raw.patch(`${SERVICES}/${service.body.metadata.name}/status`, MERGE, {
      status: { loadBalancer: { ingress: entries } },
    });

  it('has VIP as the mode of an address, and none for a host name', async () => {
    const made = await create({ type: 'LoadBalancer' });
    const { body } = await ingress(
      made,
      { ip: '192.0.2.1' },
      { hostname: 'lb.example.com' },
      { ip: '2001:db8::1', ipMode: 'Proxy' },
    );
    expect(body.status.loadBalancer.ingress).toEqual([
      { ip: '192.0.2.1', ipMode: 'VIP' },
      { hostname: 'lb.example.com' },
      { ip: '2001:db8::1', ipMode: 'Proxy' },
    ]);
  });

  it.each<[string, object, string]>([
    ['an address that is none', { ip: '192.0.2' }, 'status.loadBalancer.ingress[0].ip'],
    ['an unknown mode', { ip: '192.0.2.1', ipMode: 'DNAT' }, 'status.loadBalancer.ingress[0].ipMode'],
    [
      'a mode without its address',
      { hostname: 'a.example', ipMode: 'VIP' },
      'status.loadBalancer.ingress[0].ipMode',
    ],
    ['an address as a host name', { hostname: '192.0.2.1' }, 'status.loadBalancer.ingress[0].hostname'],
  ])('is refused with %s', async (_, entry, field) => {
    const { status, body } = await ingress(await create({ type: 'LoadBalancer' }), entry);
    expect([status, body.details.causes[0].field]).toEqual([422, field]);
  });

  it('has no addresses unless the type is LoadBalancer, and loses them with it', async () => {
    expect(causes(await ingress(await create({}), { ip: '192.0.2.1' }))[0]).toMatch(
      /may only be used when `spec\.type` is 'LoadBalancer'/,
    );
    const made = await create({ type: 'LoadBalancer' });
    await ingress(made, { ip: '192.0.2.1' });
    expect((await patch(made, { type: 'NodePort' })).body.status).toEqual({ loadBalancer: {} });
  });

  it('takes conditions, and metadata, but no spec', async () => {
    const made = await create({ type: 'LoadBalancer' });
    const condition = {
      type: 'Allocated',
      status: 'True',
      reason: 'R',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const { body } = await raw.patch(`${SERVICES}/${made.body.metadata.name}/status`, MERGE, {
      metadata: { annotations: { a: 'b' } },
      spec: { externalIPs: ['192.0.2.1'] },
      status: { conditions: [condition] },
    });
    expect(body.status.conditions).toEqual([condition]);
    expect(body.spec).toEqual(made.body.spec);
    expect(body.metadata.annotations).toEqual({ a: 'b' });
  });
});
