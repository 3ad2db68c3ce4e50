// The agent forwards what the real API server's objects say, as it defaults and validates them: real connections of a
// client, a pod and the node, which is this namespace.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { EndpointSliceObject, KubeObject, NodeObject, ServiceObject } from '../../src/kube/objects.ts';
import { ENDPOINT_SLICES, EVENTS, NODES, SERVICES } from '../../src/kube/resources.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { Child } from '../proxy/child.ts';
import type { Question, Reply } from '../proxy/host-process.ts';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';

const CLIENT = { name: `fw-client-${process.pid}`, address: '10.77.0.10' };
const POD = { name: `fw-pod-${process.pid}`, address: '10.244.77.2' };
const ELSEWHERE = '10.244.78.2';
const NODE = '10.77.0.1';
const DEADLINE = { timeout: 15_000 };

let test: TestServer;
let agent: ChildProcess;
const hosts: { client?: Child; pod?: Child } = {};

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  for (const [at, gateway, { name, address }] of [
    ['fw-client', NODE, CLIENT],
    ['fw-pod', '10.244.77.1', POD],
  ] as const) {
    ipBatch([
      `netns add ${name}`,
      `link add ${at} type veth peer name eth0 netns ${name}`,
      `addr add ${gateway}/24 dev ${at}`,
      `link set ${at} up`,
    ]);
    inNamespace(
      name,
      `ip link set lo up; ip link set eth0 up; ip addr add ${address}/24 dev eth0; ip route add default via ${gateway}`,
    );
  }
  hosts.client = new Child(CLIENT.name, 'host-process.ts');
  hosts.pod = new Child(POD.name, 'host-process.ts');
  for (const transport of ['TCP', 'UDP']) await hosts.pod.call('serve', 'pod', transport, 8080);
  await test.api.create(NODES, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'here' },
    status: {
      addresses: [{ type: 'InternalIP', address: NODE }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  } as unknown as NodeObject); // as much of it as counts
  agent = await startAgent(await test.accountKubeconfig('agent'));
});

afterEach(async () => {
  await test.api.delete(SERVICES, { namespace: 'default', name: 'web' });
  await test.api.delete(ENDPOINT_SLICES, { namespace: 'default', name: 'web-1' });
});

afterAll(async () => {
  agent?.kill();
  if (agent) await once(agent, 'exit');
  await Promise.all(Object.values(hosts).map((each) => each.kill()));
  removeNamespaces(CLIENT.name, POD.name);
  for (const table of ['fairlead', 'fairlead-2'])
    execFileSync('nft', ['-f', '-'], { input: `add table inet ${table}\ndelete table inet ${table}\n` });
  await test.close();
});

async function startAgent(kubeconfig: string): Promise<ChildProcess> {
  const pages = ['--metrics-bind-address', '127.0.0.1:0', '--healthz-bind-address', '127.0.0.1:0'];
  const words = ['agent', '--kubeconfig', kubeconfig, '--node-name', 'here', '--no-announce', ...pages];
  const child = spawn(
    join(import.meta.dirname, '../../bin/fairlead'),
    [...words, '--cluster-cidr', '10.244.0.0/16'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  for await (const line of createInterface({ input: child.stdout })) {
    if (JSON.parse(line).msg !== 'ready') continue;
    child.stdout.resume();
    return child;
  }
  throw new Error('the agent ended before it was ready');
}

/** Creates the Service `web` and a slice of endpoints on these nodes; resolves with what the server made of it. */
async function given(
  spec: Partial<ServiceObject['spec']> & Record<string, unknown>,
  endpoints: readonly { readonly address: string; readonly node: string }[],
  annotations: Record<string, string> = {},
): Promise<ServiceObject> {
  await test.api.create(ENDPOINT_SLICES, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map(({ address, node }) => ({ addresses: [address], nodeName: node })),
  } as EndpointSliceObject);
  return test.api.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', annotations },
    spec: { ports: [{ port: 80, targetPort: 8080 }], ...spec },
  } as unknown as ServiceObject); // the server completes it
}

const here = { address: POD.address, node: 'here' };
const there = { address: ELSEWHERE, node: 'there' };

function ask(
  from: Child | undefined,
  address: string | undefined,
  port = 80,
  patience = 300,
): Promise<Reply> {
  const question: Question = { transport: 'TCP', address: address ?? '', port, patience };
  return from?.call<Reply>('ask', question) ?? Promise.reject(new Error('no such host'));
}

it('a cluster address and a node port that the server gave lead to a hand-written slice', async () => {
  const { spec } = await given({ type: 'NodePort' }, [here]);
  const nodePort = spec.ports?.[0]?.nodePort;
  await expect.poll(() => ask(hosts.client, NODE, nodePort), DEADLINE).toMatchObject({ name: 'pod' });
  // From outside the cluster: masqueraded. A pod is seen as itself.
  expect(await ask(hosts.client, spec.clusterIP)).toMatchObject({ name: 'pod', source: '10.244.77.1' });
  expect(await ask(hosts.client, spec.clusterIP, 81)).toEqual({ error: 'ECONNREFUSED' });
  expect(await ask(hosts.client, spec.clusterIP, nodePort)).toEqual({ error: 'ECONNREFUSED' });
});

it('without endpoints it is refused, and serves as soon as a slice comes', async () => {
  const { spec } = await given({}, []);
  await expect.poll(() => ask(hosts.client, spec.clusterIP), DEADLINE).toEqual({ error: 'ECONNREFUSED' });
  await test.api.patch(
    ENDPOINT_SLICES,
    { namespace: 'default', name: 'web-1' },
    { endpoints: [{ addresses: [POD.address], nodeName: 'here' }] },
    { type: 'merge', fieldManager: 'test' },
  );
  await expect.poll(() => ask(hosts.client, spec.clusterIP), DEADLINE).toMatchObject({ name: 'pod' });
});

it('externalTrafficPolicy Local keeps the client’s address, and ignores it where only another node could serve', async () => {
  const { spec } = await given({ type: 'NodePort', externalTrafficPolicy: 'Local' }, [here, there]);
  const nodePort = spec.ports?.[0]?.nodePort;
  await expect
    .poll(() => ask(hosts.client, NODE, nodePort), DEADLINE)
    .toEqual({ name: 'pod', source: CLIENT.address });
  await test.api.patch(
    ENDPOINT_SLICES,
    { namespace: 'default', name: 'web-1' },
    { endpoints: [{ addresses: [ELSEWHERE], nodeName: 'there' }] },
    { type: 'merge', fieldManager: 'test' },
  );
  await expect.poll(() => ask(hosts.client, NODE, nodePort), DEADLINE).toEqual({ error: 'no answer' });
});

it('internalTrafficPolicy Local ignores where only another node could serve', async () => {
  const { spec } = await given({ internalTrafficPolicy: 'Local' }, [there]);
  await expect.poll(() => ask(hosts.client, spec.clusterIP), DEADLINE).toEqual({ error: 'no answer' });
});

it('a load balancer’s address in the status lets in whom the server was told to', async () => {
  const balanced = '198.51.100.7';
  await given({ type: 'LoadBalancer', loadBalancerSourceRanges: [`${CLIENT.address}/32`] }, [here]);
  await test.api.patch(
    SERVICES,
    { namespace: 'default', name: 'web' },
    { status: { loadBalancer: { ingress: [{ ip: balanced }] } } },
    { type: 'merge', subresource: 'status', fieldManager: 'test' },
  );
  await expect.poll(() => ask(hosts.client, balanced), DEADLINE).toMatchObject({ name: 'pod' });
  expect(await ask(hosts.pod, balanced)).toEqual({ error: 'no answer' });
});

it('what cannot be balanced as it asks is told in an event on the Service, and served', async () => {
  const { spec } = await given({}, [here], { 'fairlead.dev/load-balancing': 'least-connections' });
  await expect.poll(() => ask(hosts.client, spec.clusterIP), DEADLINE).toMatchObject({ name: 'pod' });
  const told = async () =>
    (await test.api.list<KubeObject & { readonly reason?: string; readonly note?: string }>(EVENTS, {})).items
      .filter(({ reason }) => reason === 'LoadBalancingRefused')
      .map(({ note }) => note);
  await expect
    .poll(told, DEADLINE)
    .toEqual([expect.stringContaining('nftables does not know how many connections an endpoint has')]);
});
