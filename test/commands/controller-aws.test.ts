// The controller process against the embedded API server and the AWS emulator, with the real SDK in between.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KubeObject, NodeObject, SecretObject, ServiceObject } from '../../src/kube/objects.ts';
import { CLOUD_ACCOUNTS, NODES, SECRETS, SERVICES } from '../../src/kube/resources.ts';
import { AwsEmulator } from '../../src/lab/aws/emulator.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { allocatedCondition, Cluster, type Config, validCondition } from './cluster.ts';
import { ControllerProcess } from './controller-process.ts';

const P = 'service.beta.kubernetes.io/aws-load-balancer-';
const FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';
const AWS = { loadBalancerClass: 'fairlead.dev/aws-nlb' };
const FREELY = { perSecond: 1000, burst: 1000 };
const PATIENCE = { timeout: 15_000, interval: 50 };

let test: TestServer;
let cluster: Cluster;
let emulator: AwsEmulator;
let controller: ControllerProcess;

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  await cluster.createPool('lan', ['192.0.2.0/24']);
  for (const name of ['a', 'b']) await createNode(name, `aws:///eu-central-1a/i-0000000${name}`);
  await createNode('foreign', 'kind://docker/kind/worker');
  emulator = await AwsEmulator.start();
  for (const each of ['a', 'b', 'c']) emulator.cloud.addInstance(`i-0000000${each}`);
  await createSecret('aws', 'test');
  await createAccount('main', { default: true });
  controller = start();
});

afterAll(async () => {
  await controller.stop();
  await cluster.close();
  await test.close();
  await emulator.close();
});

afterEach(async () => {
  const services = [...cluster.services.values()].filter(({ metadata }) => metadata.name !== 'kubernetes');
  await Promise.all(services.map(({ metadata }) => cluster.deleteService(metadata.name)));
  expect(everything()).toEqual([0, 0, 0, 0]);
  emulator.calls.length = 0;
});

function start(args: readonly string[] = []): ControllerProcess {
  return new ControllerProcess(test.kubeconfig, ['--drift-check', '500ms', '--orphan-grace', '1s', ...args]);
}

async function createNode(name: string, providerID: string): Promise<void> {
  const node: NodeObject = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { providerID } };
  await test.api.create(NODES, node);
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  await test.api.patch(
    NODES,
    { name },
    { status },
    { type: 'merge', subresource: 'status', fieldManager: 'test' },
  );
}

async function createSecret(name: string, key: string): Promise<void> {
  const encoded = Buffer.from(key).toString('base64');
  const secret: SecretObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default' },
    data: { AWS_ACCESS_KEY_ID: encoded, AWS_SECRET_ACCESS_KEY: encoded },
  };
  await test.api.create(SECRETS, secret);
}

async function createAccount(name: string, spec: object = {}, aws: object = {}): Promise<void> {
  const account: KubeObject & { readonly spec: object } = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'CloudAccount',
    metadata: { name },
    spec: {
      provider: 'aws',
      clusterName: name,
      aws: {
        region: 'eu-central-1',
        vpcID: emulator.cloud.vpc,
        endpoint: emulator.endpoint,
        credentialsSecretRef: { namespace: 'default', name: 'aws' },
        rateLimits: { read: FREELY, write: FREELY, register: FREELY },
        ...aws,
      },
      ...spec,
    },
  };
  await test.api.create(CLOUD_ACCOUNTS, account);
}

function account(name: string): Promise<Config> {
  return test.api.get<Config>(CLOUD_ACCOUNTS, { name });
}

function conditionOf(object: Config, type: string) {
  return object.status?.conditions?.find((each) => each.type === type);
}

/** As soon as it has a host name and its load balancer serves. */
function active(name: string): Promise<ServiceObject> {
  return cluster.serviceWith(name, 'Active');
}

function hostnameOf({ status }: ServiceObject): string | undefined {
  return status?.loadBalancer?.ingress?.[0]?.hostname;
}

function everything(): number[] {
  const { loadBalancers, listeners, targetGroups, securityGroups } = emulator.cloud;
  return [loadBalancers.size, listeners.size, targetGroups.size, securityGroups.size];
}

describe('the controller on AWS', () => {
  it('makes a load balancer for a Service of its class, keeps it in step, and removes all of it', async () => {
    await cluster.createService('web', AWS);
    const service = await active('web');
    expect(service.status?.loadBalancer?.ingress).toEqual([
      { hostname: expect.stringMatching(/^k8s-default-web-/), ports: [{ port: 80, protocol: 'TCP' }] },
    ]);
    expect(service.metadata.finalizers).toContain(FINALIZER);
    const [group] = emulator.cloud.targetGroups.values();
    const targets = () =>
      [...(group?.targets.values() ?? [])].filter(({ drainsUntil }) => !drainsUntil).map(({ id }) => id);
    // The node with a foreign provider ID holds nobody back.
    expect(targets()).toEqual(['i-0000000a', 'i-0000000b']);
    await createNode('c', 'aws:///eu-central-1a/i-0000000c');
    await vi.waitFor(() => expect(targets()).toHaveLength(3), PATIENCE);
    await test.api.delete(NODES, { name: 'c' });
    await vi.waitFor(() => expect(targets()).toHaveLength(2), PATIENCE);
    await cluster.patchService('web', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
    await vi.waitFor(
      () => expect([...emulator.cloud.listeners.values()].map(({ port }) => port)).toEqual([81]),
      PATIENCE,
    );
    expect(await cluster.eventsOn('web', 1)).toEqual(['Normal EnsuredLoadBalancer']);
    await cluster.deleteService('web');
    expect(everything()).toEqual([0, 0, 0, 0]);
  });

  it('says on the account that it works, or which permission is missing', async () => {
    const works = async () => conditionOf(await account('main'), 'Works');
    await vi.waitFor(async () => expect(await works()).toMatchObject({ status: 'True' }), PATIENCE);
    expect(validCondition(await account('main'))).toMatchObject({ status: 'True' });
    emulator.cloud.behaviour.denied.add('CreateLoadBalancer');
    await cluster.createService('denied', AWS);
    const service = await cluster.serviceWith('denied', 'PermissionMissing');
    expect(allocatedCondition(service)?.message).toContain('CreateLoadBalancer');
    await vi.waitFor(
      async () =>
        expect(await works()).toMatchObject({
          status: 'False',
          reason: 'PermissionMissing',
          message: expect.stringContaining('elasticloadbalancing:CreateLoadBalancer'),
        }),
      PATIENCE,
    );
    expect(await cluster.eventsOn('denied', 1)).toEqual(['Warning AllocationFailed']);
    emulator.cloud.behaviour.denied.clear();
  });

  it('tells every mistake of a Service at once, and writes nothing', async () => {
    await cluster.createService('wrong', AWS, {
      [`${P}scheme`]: 'x',
      [`${P}healthcheck-interval`]: '1',
      [`${P}nmae`]: 'y',
    });
    const { message = '' } = allocatedCondition(await cluster.serviceWith('wrong', 'InvalidRequest')) ?? {};
    for (const each of ['scheme', 'healthcheck-interval', 'nmae']) expect(message).toContain(each);
    expect(everything()).toEqual([0, 0, 0, 0]);
  });

  it('tells by `fairlead plan` what it would do, without doing it', async () => {
    await controller.stop();
    await cluster.createService('web', AWS);
    const plan = async () => {
      const args = ['plan', '--service', 'default/web', '--kubeconfig', test.kubeconfig];
      return (await promisify(execFile)(join(import.meta.dirname, '../../bin/fairlead'), args)).stdout;
    };
    const lines = (await plan()).trim().split('\n');
    expect(lines.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
      'create security group',
      'allow tcp 80',
      'create target group',
      expect.stringMatching(/^register i-0000000a:\d+, i-0000000b:\d+$/),
      'create load balancer',
      'create listener TCP',
      '6 steps in',
    ]);
    expect(everything()).toEqual([0, 0, 0, 0]);
    controller = start();
    await active('web');
    expect(await plan()).toBe('0 steps in the account main\n');
  });

  it('puts right within the time between two looks what a hand changed', async () => {
    await cluster.createService('web', AWS);
    const before = hostnameOf(await active('web'));
    emulator.cloud.listeners.clear();
    await vi.waitFor(() => expect(emulator.cloud.listeners.size).toBe(1), PATIENCE);
    emulator.cloud.deleteLoadBalancer([...emulator.cloud.loadBalancers.keys()][0] ?? '');
    await cluster.service('web', (each) => ![undefined, before].includes(hostnameOf(each)));
  });

  it('serves pools as before beside it, and puts a wiped status back', async () => {
    await cluster.createService('lan');
    await cluster.createService('cloud', AWS);
    const hostname = hostnameOf(await active('cloud'));
    await cluster.service('lan');
    await cluster.patchStatus('cloud', { loadBalancer: null, conditions: null });
    expect(hostnameOf(await active('cloud'))).toBe(hostname);
    await cluster.patchStatus('cloud', { loadBalancer: { ingress: [{ hostname: 'evil.example' }] } });
    await cluster.service('cloud', (each) => hostnameOf(each) === hostname);
  });

  it('leaves the class of the AWS controller alone without an account, and serves it with one', async () => {
    await test.api.delete(CLOUD_ACCOUNTS, { name: 'main' });
    await cluster.createService('theirs', { loadBalancerClass: 'service.k8s.aws/nlb' });
    await cluster.createService('ours', AWS);
    const waiting = await cluster.serviceWith('ours', 'NoCloudAccount');
    expect(allocatedCondition(waiting)?.message).toContain('spec.default');
    const { metadata } = await cluster.service('theirs', () => true);
    expect(metadata.finalizers ?? []).toEqual([]);
    await createAccount('main', { default: true });
    await active('ours');
    await active('theirs');
  });

  it('moves a Service to another account: the new load balancer first, then the old one goes', async () => {
    await createAccount('second');
    await cluster.createService('moves', AWS);
    const before = hostnameOf(await active('moves'));
    await cluster.patchService('moves', {
      metadata: { annotations: { 'fairlead.dev/cloud-account': 'second' } },
    });
    const after = await cluster.service(
      'moves',
      (each) =>
        ![undefined, before].includes(hostnameOf(each)) && allocatedCondition(each)?.reason === 'Active',
    );
    expect(after.metadata.annotations).toMatchObject({ 'fairlead.dev/cloud-accounts-in-use': 'second' });
    expect(everything()).toEqual([1, 1, 1, 1]);
    const actions = emulator.calls.map(({ action }) => action);
    expect(actions.lastIndexOf('CreateLoadBalancer')).toBeLessThan(actions.indexOf('DeleteLoadBalancer'));
  });

  it('takes a Service from a pool to AWS and back as its class changes', async () => {
    await cluster.createService('wanders');
    await cluster.service('wanders');
    await cluster.patchService('wanders', { spec: { type: 'ClusterIP', loadBalancerClass: null } });
    await cluster.patchService('wanders', { spec: { type: 'LoadBalancer', ...AWS } });
    expect(hostnameOf(await active('wanders'))).toMatch(/^k8s-/);
    await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 0);
    await controller.stop('SIGKILL');
    await cluster.patchService('wanders', { spec: { type: 'ClusterIP', loadBalancerClass: null } });
    await cluster.patchService('wanders', { spec: { type: 'LoadBalancer' } });
    controller = start();
    await cluster.service('wanders', (each) => each.status?.loadBalancer?.ingress?.[0]?.ip !== undefined);
    await vi.waitFor(() => expect(everything()).toEqual([0, 0, 0, 0]), PATIENCE);
    await cluster.service(
      'wanders',
      ({ metadata }) => metadata.annotations?.['fairlead.dev/cloud-accounts-in-use'] === undefined,
    );
  });

  it('reads credentials that change, and says what it misses', async () => {
    await controller.logged('opened a cloud account');
    await test.api.delete(SECRETS, { namespace: 'default', name: 'aws' });
    await createAccount('keyless');
    await vi.waitFor(
      async () =>
        expect(conditionOf(await account('keyless'), 'Works')).toMatchObject({
          status: 'False',
          reason: 'CredentialsMissing',
          message: expect.stringContaining('Secret/default/aws is not there'),
        }),
      PATIENCE,
    );
    // What is open stays open.
    await cluster.createService('web', AWS);
    await active('web');
    await createSecret('aws', 'rotated');
    await test.api.delete(CLOUD_ACCOUNTS, { name: 'keyless' });
  });

  it('holds a Service that goes until AWS has let go of everything, and says why', async () => {
    await cluster.createService('web', AWS);
    await active('web');
    emulator.cloud.behaviour.release = 500;
    await cluster.markServiceDeleted('web');
    const held = await cluster.serviceWith('web', 'Settling');
    expect(held.metadata.finalizers).toContain(FINALIZER);
    expect(held.status?.loadBalancer?.ingress ?? []).toEqual([]);
    await cluster.serviceGone('web');
    emulator.cloud.behaviour.release = 0;
  });
});

describe('a controller that was killed', () => {
  it.each([
    ['CreateLoadBalancer', 'before'],
    ['CreateLoadBalancer', 'after'],
    ['CreateListener', 'after'],
  ] as const)('at %s, %s it took effect, finishes after its restart', async (at, when) => {
    let killed: Promise<unknown> | undefined;
    emulator.loseAnswer = (action) => {
      if (action !== at || killed) return 'no';
      killed = controller.stop('SIGKILL');
      return when;
    };
    await cluster.createService('web', AWS);
    await vi.waitFor(() => expect(killed).toBeDefined(), PATIENCE);
    await killed;
    const claimed = await cluster.service('web', ({ metadata }) => metadata.finalizers !== undefined);
    expect(claimed.metadata).toMatchObject({
      finalizers: expect.arrayContaining([FINALIZER]),
      annotations: { 'fairlead.dev/cloud-accounts-in-use': 'main' },
    });
    controller = start();
    await active('web');
    expect(everything()).toEqual([1, 1, 1, 1]);
  });

  it('finishes the removal of a Service that was deleted while its load balancer was made', async () => {
    await cluster.createService('web', AWS);
    await cluster.service('web', ({ metadata }) => metadata.finalizers !== undefined);
    await controller.stop('SIGKILL');
    await cluster.markServiceDeleted('web');
    controller = start();
    await cluster.serviceGone('web');
    expect(everything()).toEqual([0, 0, 0, 0]);
  });

  it('finds many Services again with few reads, and changes none of them', async () => {
    const names = Array.from({ length: 49 }, (_, i) => `s${i}`);
    await Promise.all(names.map((name) => cluster.createService(name, AWS)));
    await Promise.all(names.map(active));
    await controller.stop();
    const versions = () =>
      names.map((name) => cluster.services.get(`default/${name}`)?.metadata.resourceVersion);
    const before = versions();
    emulator.calls.length = 0;
    controller = start(['--drift-check', '45s']);
    await controller.logged('opened a cloud account');
    await cluster.createService('late', AWS);
    await active('late');
    // Fifteen seconds after a start the targets that AWS had not checked yet are looked at, here or later.
    const isRead = (action: string) => action.startsWith('Describe') && action !== 'DescribeTargetHealth';
    const reads = emulator.calls.filter(({ action }) => isRead(action));
    // What the late one costs is among them.
    expect(reads.length).toBeLessThanOrEqual(20 + 8);
    expect(emulator.calls.filter(({ action }) => action.startsWith('Create')).length).toBe(4);
    expect(versions()).toEqual(before);
  });

  it('collects what a Service left that went past its finalizer meanwhile', async () => {
    await cluster.createService('web', AWS);
    await active('web');
    await controller.stop('SIGKILL');
    await test.api.patch(
      SERVICES,
      { name: 'web', namespace: 'default' },
      { metadata: { finalizers: null } },
      { type: 'merge', fieldManager: 'test' },
    );
    await cluster.deleteService('web');
    controller = start();
    await vi.waitFor(() => expect(everything()).toEqual([0, 0, 0, 0]), PATIENCE);
  });
});
