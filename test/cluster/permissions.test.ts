// What deploy/rbac grants is what the processes use, as the API server's audit log has it: no verb less (every file
// of tests against the real server ends with that), and none more.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { ADDRESS_RESERVATIONS, CLOUD_ACCOUNTS, SECRETS } from '../../src/kube/resources.ts';
import { type Account, applyAccount, userOf } from '../../src/lab/accounts.ts';
import { AwsEmulator } from '../../src/lab/aws/emulator.ts';
import { Cluster, type Config, validCondition } from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { auditLog } from './shared-kubernetes.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Role {
  readonly kind: string;
  readonly rules: readonly {
    readonly apiGroups: string[];
    readonly resources: string[];
    readonly verbs: string[];
  }[];
}

/** Granted for what does not happen here: an agent tells in an event that another host has an address of ours. */
const SELDOM = { controller: [], agent: ['create events.k8s.io/events'] } as const;

/** Granted by whoever makes a cloud account, for its Secret alone. */
const BY_NAME = { controller: ['get /secrets'], agent: [] } as const;

let test: TestServer;
let emulator: AwsEmulator;
let cluster: Cluster;
let controller: ControllerProcess;
let agent: ChildProcess;

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  emulator = await AwsEmulator.start();
  controller = new ControllerProcess(await test.accountKubeconfig('controller'));
  agent = await startAgent(await test.accountKubeconfig('agent'));
});

afterAll(async () => {
  await controller.stop();
  agent.kill();
  await once(agent, 'exit');
  await cluster.close();
  await emulator.close();
  await test.close();
});

/** Resolves when it forwards and announces. */
async function startAgent(kubeconfig: string): Promise<ChildProcess> {
  const pages = ['--metrics-bind-address', '127.0.0.1:0', '--healthz-bind-address', '127.0.0.1:0'];
  const words = ['agent', '--kubeconfig', kubeconfig, '--node-name', 'here', ...pages];
  const child = spawn(join(ROOT, 'bin/fairlead'), words, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    if (JSON.parse(line).msg !== 'ready') continue;
    child.stdout.resume();
    return child;
  }
  throw new Error('the agent ended before it was ready');
}

/** `verb group/resource`, sorted, each once. */
function grantedTo(account: Account): string[] {
  const documents = loadAll(readFileSync(join(ROOT, `deploy/rbac/${account}.yaml`), 'utf8')) as Role[]; // our own file
  const rules = documents.filter(({ kind }) => kind.endsWith('Role')).flatMap((role) => role.rules);
  const names = rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((kind) => verbs.map((verb) => `${verb} ${group}/${kind}`)),
    ),
  );
  return [...new Set(names)].toSorted();
}

/** A Service on AWS, with the grant of the example for the one Secret that it needs. */
async function serveOnAws(): Promise<void> {
  const objects = loadAll(
    readFileSync(join(ROOT, 'examples/aws/credentials.yaml'), 'utf8').replaceAll(
      'fairlead-system',
      'kube-system',
    ),
  ) as KubeObject[]; // our own file
  for (const object of objects) {
    if (object.kind === 'Secret') await test.api.create(SECRETS, object);
    else await applyAccount(test.api, object);
  }
  const aws = {
    region: 'eu-central-1',
    vpcID: emulator.cloud.vpc,
    endpoint: emulator.endpoint,
    credentialsSecretRef: { namespace: 'kube-system', name: 'aws-credentials' },
    targetType: 'ip',
  };
  const account: Config = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'CloudAccount',
    metadata: { name: 'main' },
    spec: { provider: 'aws', clusterName: 'demo', default: true, aws },
  };
  await test.api.create(CLOUD_ACCOUNTS, account);
  await cluster.createService('cloud', { loadBalancerClass: 'fairlead.dev/aws-nlb' });
  await cluster.serviceWith('cloud', 'Active');
  const works = ({ status }: Config) => status?.conditions?.some(({ type }) => type === 'Works');
  while (!works(await test.api.get<Config>(CLOUD_ACCOUNTS, { name: 'main' })));
  await cluster.deleteService('cloud');
  expect(emulator.cloud.loadBalancers.size).toBe(0);
}

it('uses every verb that it is granted, and is granted every verb that it uses', async () => {
  await cluster.createPool('lan', ['192.0.2.10-192.0.2.12']);
  await cluster.createAdvertisement('lan', {});
  const reservation: Config = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'AddressReservation',
    metadata: { name: 'printer' },
    spec: { addresses: ['192.0.2.12'] },
  };
  await test.api.create(ADDRESS_RESERVATIONS, reservation);
  await cluster.createService('web');
  await cluster.service('web');
  await cluster.eventsOn('web', 1);
  await cluster.advertisement('lan', (each) => validCondition(each) !== undefined);
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 1);
  const read = () => test.api.get<Config>(ADDRESS_RESERVATIONS, { name: 'printer' });
  while (!validCondition(await read()));
  await serveOnAws();
  await cluster.deleteService('web');
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 0);
  for (const account of ['controller', 'agent'] as const) {
    const used = [...auditLog().usedBy(userOf(account)), ...SELDOM[account]];
    const granted = [...grantedTo(account), ...BY_NAME[account]].toSorted();
    expect([...new Set(used)].toSorted(), account).toEqual(granted);
  }
});
