// What deploy/rbac grants is what the processes use, as the API server's audit log has it: no verb less (every file
// of tests against the real server ends with that), and none more.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  ANNOUNCEMENTS,
  CLOUD_ACCOUNTS,
  CONFIG_MAPS,
  NODES,
  SECRETS,
} from '../../src/kube/resources.ts';
import { type Account, applyAccount, userOf } from '../../src/lab/accounts.ts';
import { AwsEmulator } from '../../src/lab/aws/emulator.ts';
import { parseRoster } from '../../src/membership/roster.ts';
import { Cluster, type Config, validCondition } from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { createGatedPod, isGateOpen } from '../commands/gated-pod.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { AgentProcess } from './agent-process.ts';
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

/**
 * Granted for what does not happen here: an agent tells in an event that another host has an address of ours, and a
 * controller with --on-conflict reallocate keeps that address out of use (test/lab/whole-system.test.ts, by the same
 * accounts). To make an object by a patch takes the verb create too, which the audit log does not show.
 */
const SELDOM = {
  controller: ['patch fairlead.dev/announcements'],
  agent: ['create events.k8s.io/events', 'create fairlead.dev/announcements'],
} as const;

const MEMBERSHIP = { namespace: 'kube-system', name: 'fairlead-membership' };

/** Granted by whoever makes a cloud account, for its Secret alone. */
const BY_NAME = { controller: ['get /secrets'], agent: [] } as const;

let test: TestServer;
let emulator: AwsEmulator;
let cluster: Cluster;
let controller: ControllerProcess;
let agent: AgentProcess;

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  emulator = await AwsEmulator.start();
  controller = new ControllerProcess(await test.accountKubeconfig('controller'));
  // It is to say who announces, and not to announce anything where the tests run.
  agent = new AgentProcess(await test.accountKubeconfig('agent'), ['--exclude-interfaces', '.']);
  await agent.logged('ready');
});

afterAll(async () => {
  await controller.stop();
  await agent.stop();
  await cluster.close();
  await emulator.close();
  await test.close();
});

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

/** Resolves when the controller has published who votes. */
async function roster(): Promise<void> {
  for (;;) {
    const map = await test.api.get(CONFIG_MAPS, MEMBERSHIP).catch(() => undefined); // not there yet
    if (parseRoster(map?.data?.roster ?? '').kind === 'parsed') return;
  }
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
  await createGatedPod(test.api, 'cloud', 'gated', '192.0.2.77');
  while (!(await isGateOpen(test.api, 'cloud', 'gated')));
  const works = ({ status }: Config) => status?.conditions?.some(({ type }) => type === 'Works');
  while (!works(await test.api.get<Config>(CLOUD_ACCOUNTS, { name: 'main' })));
  await cluster.deleteService('cloud');
  expect(emulator.cloud.loadBalancers.size).toBe(0);
}

it('uses every verb that it is granted, and is granted every verb that it uses', async () => {
  await cluster.createPool('lan', ['192.0.2.10-192.0.2.12']);
  await cluster.createNode('here', '127.0.0.1');
  await cluster.createAdvertisement('lan', { interfaces: ['lo'] });
  await cluster.createQuota('all', { maxIPv4: 1_000 });
  const reservation: Config = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'AddressReservation',
    metadata: { name: 'printer' },
    spec: { addresses: ['192.0.2.12'] },
  };
  await test.api.create(ADDRESS_RESERVATIONS, reservation);
  const conditions = [{ type: 'Ready', status: 'True' }];
  const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
  await test.api.patch(NODES, { name: 'here' }, { status: { conditions } }, options);
  await cluster.createService('web');
  await cluster.service('web');
  await cluster.eventsOn('web', 1);
  await cluster.advertisement('lan', (each) => validCondition(each) !== undefined);
  await cluster.advertisement('lan', ({ status }) => status?.interfaces !== undefined);
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 1);
  await roster();
  const spoilt = { data: { roster: 'spoilt' } };
  await test.api.patch(CONFIG_MAPS, MEMBERSHIP, spoilt, { type: 'merge', fieldManager: 'test' });
  await roster();
  const read = () => test.api.get<Config>(ADDRESS_RESERVATIONS, { name: 'printer' });
  while (!validCondition(await read()));
  while (!validCondition(await test.api.get<Config>(ADDRESS_QUOTAS, { name: 'all' })));
  const announced = () => test.api.list(ANNOUNCEMENTS, {}).then(({ items }) => items.length);
  while ((await announced()) === 0);
  await serveOnAws();
  await cluster.deleteService('web');
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 0);
  while ((await announced()) > 0);
  for (const account of ['controller', 'agent'] as const) {
    const used = [...auditLog().usedBy(userOf(account)), ...SELDOM[account]];
    const granted = [...grantedTo(account), ...BY_NAME[account]].toSorted();
    expect([...new Set(used)].toSorted(), account).toEqual(granted);
  }
});
