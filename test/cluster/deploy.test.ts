// What an administrator installs, by kustomize and by Helm, on a real API server: every object is accepted as it is
// written, with Pod Security admission on, and the accounts may do what the processes need.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { accountToken } from '../../src/lab/accounts.ts';
import { withToken } from '../../src/lab/kubeconfig.ts';
import { addressesOf, Cluster } from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { buildRenderer, findGo, NAMESPACE, objectsIn, render } from '../deploy/chart.ts';
import { build, DEPLOY, overlay } from '../deploy/kustomize.ts';
import { named, podOf } from '../deploy/workload.ts';
import { MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { OPERATOR_KINDS } from './operator-kinds.ts';
import { auditLog } from './shared-kubernetes.ts';

/** Milliseconds: the first build fetches and compiles Helm's engine. */
const BUILD_DEADLINE = 900_000;

const EXAMPLES = join(DEPLOY, '../examples');
const ACCOUNTS = ['fairlead-controller', 'fairlead-agent'];
const kustomized = overlay('monitoring', 'network-policy', 'admission-policy');
const go = findGo();
const USERS = ['controller', 'agent'].map((each) => `system:serviceaccount:${NAMESPACE}:fairlead-${each}`);
let test: TestServer;
let raw: RawClient;
let folder: string;
/** What kubectl said of each object. */
let applied: string[];

beforeAll(async () => {
  test = await startTestServer();
  folder = dirname(test.kubeconfig);
  raw = await RawClient.open(test.kubeconfig);
  // The test server's own are of the same names, for accounts in another namespace.
  const roles = ['clusterrole', 'clusterrolebinding'];
  await kubectl('delete', ...roles.flatMap((kind) => ACCOUNTS.map((name) => `${kind}/${name}`)));
  await apply(OPERATOR_KINDS);
  applied = await apply(kustomized);
});

afterAll(async () => {
  const all = [...kustomized, ...OPERATOR_KINDS].filter(({ kind }) => kind !== 'Namespace');
  await kubectl('delete', '-f', listOf(all));
  await test.close();
});

/** A List of these, in a file. */
function listOf(objects: readonly KubeObject[]): string {
  const file = join(folder, 'list.json');
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  return file;
}

/** What kubectl says, on both streams. */
async function kubectl(...words: readonly string[]): Promise<string[]> {
  const call = ['--kubeconfig', test.kubeconfig, ...words];
  const { stdout, stderr } = await promisify(execFile)('kubectl', call);
  return (stdout + stderr).trim().split('\n');
}

function apply(objects: readonly KubeObject[]): Promise<string[]> {
  return kubectl('apply', '--server-side', '-f', listOf(objects));
}

function expectAccepted(said: readonly string[], objects: readonly KubeObject[]): void {
  expect(said).toHaveLength(objects.length);
  for (const line of said) expect(line).toMatch(/ serverside-applied( \(server dry run\))?$/);
}

describe('a real API server', () => {
  it('accepts what kustomize makes, all components included, without a warning', () => {
    expectAccepted(applied, kustomized);
    for (const kind of ['PodMonitor', 'PrometheusRule', 'NetworkPolicy', 'ValidatingAdmissionPolicy'])
      expect(kustomized.map((each) => each.kind)).toContain(kind);
  });

  it.skipIf(go === undefined && !process.env.CI)(
    'accepts what the chart makes, without a warning (left out where there is no Go to build Helm’s engine with)',
    async () => {
      const values = {
        monitoring: { podMonitors: true, rules: true },
        networkPolicy: { enabled: true },
        admissionPolicy: true,
      };
      const chart = render(buildRenderer(go ?? 'go'), values);
      expectAccepted(await apply(chart), chart);
    },
    BUILD_DEADLINE,
  );

  it('accepts the examples', async () => {
    const files = ['service.yaml', 'advertisement.yaml', 'cleanup-job.yaml'];
    const examples = [
      ...build(join(EXAMPLES, 'overlay')),
      ...files.flatMap((file) => objectsIn(readFileSync(join(EXAMPLES, file), 'utf8'))),
    ];
    const said = await kubectl('apply', '--server-side', '--dry-run=server', '-f', listOf(examples));
    expectAccepted(said, examples);
  });

  it('knows no field less than the manifests have', async () => {
    // As it is stored, but for what is empty there.
    const daemonSet = await raw.get(`/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/fairlead-agent`);
    expect(daemonSet.body).toMatchObject(named(kustomized, 'DaemonSet', 'fairlead-agent') ?? {});
    const deployment = await raw.get(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/fairlead-controller`);
    expect(deployment.body).toMatchObject(named(kustomized, 'Deployment', 'fairlead-controller') ?? {});
  });

  it('lets the accounts do their work: a controller serves a Service, and an agent may read', async () => {
    const [controllerFile, agentFile] = await Promise.all(
      ACCOUNTS.map(async (name) => {
        const token = await accountToken(test.api, { name, namespace: NAMESPACE });
        const file = join(folder, name);
        writeFileSync(file, withToken(readFileSync(test.kubeconfig, 'utf8'), token));
        return file;
      }),
    );
    const cluster = new Cluster(test.api);
    // As in a Pod, where this is the Pod's own namespace.
    const own = ['--leader-elect-resource-namespace', NAMESPACE, '--membership-namespace', NAMESPACE];
    const controller = new ControllerProcess(controllerFile ?? '', own);
    await cluster.createPool('lan', ['192.0.2.1']);
    await cluster.createService('web');
    expect(addressesOf(await cluster.service('web'))).toEqual(['192.0.2.1']);
    expect(await controller.stop()).toBe(0);
    // As examples/cleanup-job.yaml does.
    const cleanup = new ControllerProcess(controllerFile ?? '', ['--cleanup', ...own]);
    expect((await cleanup.ended()).status).toBe(0);
    expect(await cleanup.logged('let go of every Service')).toMatchObject({ released: 1 });
    await cluster.deleteService('web');
    await cluster.close();
    const agent = await RawClient.open(agentFile ?? '');
    expect((await agent.get('/apis/fairlead.dev/v1alpha1/l2advertisements')).status).toBe(200);
    expect(auditLog().deniedTo(USERS)).toEqual([]);
  });
});

describe('Pod Security admission', () => {
  const controller = () => podOf(named(kustomized, 'Deployment', 'fairlead-controller'));
  const agent = () => podOf(named(kustomized, 'DaemonSet', 'fairlead-agent'));

  /** Asks for a Pod without making it. */
  async function ask(namespace: string, spec: object): Promise<{ status: number; message: string }> {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'p-' }, spec };
    const { status, body } = await raw.post(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod);
    return { status, message: body.message ?? '' };
  }

  async function createNamespace(level: string): Promise<string> {
    const labels = { 'pod-security.kubernetes.io/enforce': level };
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: level, labels } };
    expect((await raw.post('/api/v1/namespaces', body)).status).toBe(201);
    return level;
  }

  it('takes the Pods of both workloads at the level that their namespace states', async () => {
    const { body } = await raw.get(`/api/v1/namespaces/${NAMESPACE}`);
    expect(body.metadata.labels['pod-security.kubernetes.io/enforce']).toBe('privileged');
    for (const spec of [controller(), agent()])
      expect(await ask(NAMESPACE, spec)).toEqual({ status: 201, message: '' });
  });

  it('takes a controller at the level "restricted", unless it asks for a power', async () => {
    const namespace = await createNamespace('restricted');
    expect(await ask(namespace, controller())).toEqual({ status: 201, message: '' });
    const [container] = controller().containers;
    const capabilities = { drop: ['ALL'], add: ['NET_ADMIN'] };
    const securityContext = { ...container?.securityContext, capabilities };
    const powerful = await ask(namespace, {
      ...controller(),
      containers: [{ ...container, securityContext }],
    });
    expect(powerful.status).toBe(403);
    expect(powerful.message).toContain('violates PodSecurity "restricted:latest": unrestricted capabilities');
  });

  it('takes an agent at no lower level than "privileged", for the host’s network and NET_ADMIN alone', async () => {
    const { status, message } = await ask(await createNamespace('baseline'), agent());
    expect(status).toBe(403);
    const [, reasons = ''] = /violates PodSecurity "baseline:latest": (.*)$/.exec(message) ?? [];
    expect(reasons.replace(/ \([^)]*\)/g, '').split(', ')).toEqual([
      'non-default capabilities',
      'host namespaces',
      'hostPort',
    ]);
  });
});

describe('the admission policy', () => {
  const SERVICES = '/api/v1/namespaces/default/services';
  const ADDRESSES = 'fairlead.dev/load-balancer-ips';
  const UNREADABLE = expect.stringContaining('wants addresses with commas between them');

  function service(name: string, annotations: object, type = 'LoadBalancer') {
    const spec = { type, ports: [{ port: 80 }] };
    return { apiVersion: 'v1', kind: 'Service', metadata: { name, annotations }, spec };
  }

  async function create(name: string, annotations: object, type?: string) {
    const { status, headers } = await raw.post(SERVICES, service(name, annotations, type));
    return { status, warning: headers.warning };
  }

  beforeAll(async () => {
    // It is in force a moment after it is written.
    const probe = service('probe', { [ADDRESSES]: 'x' });
    while (!(await raw.post(`${SERVICES}?dryRun=All`, probe)).headers.warning);
  });

  it('warns of addresses that cannot be read, and of two that differ; the Service is made all the same', async () => {
    expect(await create('words', { [ADDRESSES]: '192.0.2.1, web' })).toEqual({
      status: 201,
      warning: UNREADABLE,
    });
    const two = { [ADDRESSES]: '192.0.2.1', 'metallb.io/loadBalancerIPs': '192.0.2.2' };
    const differ = expect.stringContaining('two annotations name different load-balancer addresses');
    expect(await create('two', two)).toEqual({ status: 201, warning: differ });
  });

  it('has no word to say of what can be read, of other annotations and of other types', async () => {
    const none = { status: 201, warning: undefined };
    expect(await create('good', { [ADDRESSES]: ' 192.0.2.1,2001:db8::1 ' })).toEqual(none);
    expect(await create('bare', {})).toEqual(none);
    expect(await create('other', { 'example.com/a': 'b' })).toEqual(none);
    expect(await create('internal', { [ADDRESSES]: 'x' }, 'ClusterIP')).toEqual(none);
  });

  it('warns of a change as well, and leaves a status alone', async () => {
    const patched = await raw.patch(`${SERVICES}/good`, MERGE, {
      metadata: { annotations: { [ADDRESSES]: '192.0.2.300' } },
    });
    expect([patched.status, patched.headers.warning]).toEqual([200, UNREADABLE]);
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
    const told = await raw.patch(`${SERVICES}/good/status`, MERGE, { status });
    expect([told.status, told.headers.warning]).toEqual([200, undefined]);
  });

  it('that cannot be evaluated lets the Service pass', async () => {
    // An expression with a field that is not there fails for each Service.
    const path = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/services.fairlead.dev';
    const broken = [{ expression: 'object.spec.nothing.here == 1' }];
    expect((await raw.patch(path, MERGE, { spec: { validations: broken } })).status).toBe(200);
    const probe = service('probe', { [ADDRESSES]: 'x' });
    while ((await raw.post(`${SERVICES}?dryRun=All`, probe)).headers.warning);
    expect(await create('unasked', { [ADDRESSES]: 'x' })).toEqual({ status: 201, warning: undefined });
  });
});
