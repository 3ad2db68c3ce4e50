// What deploy/rbac grants is what the processes use, as the API server's audit log has it: no verb less (every file
// of tests against the real server ends with that), and none more.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ADDRESS_RESERVATIONS, ANNOUNCEMENTS, NODES } from '../../src/kube/resources.ts';
import { type Account, userOf } from '../../src/lab/accounts.ts';
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

/**
 * Granted for what does not happen here: an agent tells in an event that another host has an address of ours. To make
 * an object by a patch takes the verb create too, which the audit log does not show. Who votes changes with the agents.
 */
const SELDOM = {
  controller: ['patch /configmaps'],
  agent: ['create events.k8s.io/events', 'create fairlead.dev/announcements'],
} as const;

let test: TestServer;
let cluster: Cluster;
let controller: ControllerProcess;
let agent: ChildProcess;

beforeAll(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
  controller = new ControllerProcess(await test.accountKubeconfig('controller'));
  agent = await startAgent(await test.accountKubeconfig('agent'));
});

afterAll(async () => {
  await controller.stop();
  agent.kill();
  await once(agent, 'exit');
  await cluster.close();
  await test.close();
});

/** Resolves when it forwards and announces. */
async function startAgent(kubeconfig: string): Promise<ChildProcess> {
  const pages = ['--metrics-bind-address', '127.0.0.1:0', '--healthz-bind-address', '127.0.0.1:0'];
  // It is to say who announces, and not to announce anything where the tests run.
  const silent = ['--exclude-interfaces', '.'];
  const words = ['agent', '--kubeconfig', kubeconfig, '--node-name', 'here', ...silent, ...pages];
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
  await cluster.createNode('here', '127.0.0.1');
  const conditions = [{ type: 'Ready', status: 'True' }];
  const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
  await test.api.patch(NODES, { name: 'here' }, { status: { conditions } }, options);
  await cluster.createService('web');
  await cluster.service('web');
  await cluster.eventsOn('web', 1);
  await cluster.advertisement('lan', (each) => validCondition(each) !== undefined);
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 1);
  const read = () => test.api.get<Config>(ADDRESS_RESERVATIONS, { name: 'printer' });
  while (!validCondition(await read()));
  const announced = () => test.api.list(ANNOUNCEMENTS, {}).then(({ items }) => items.length);
  while ((await announced()) === 0);
  await cluster.deleteService('web');
  await cluster.pool('lan', ({ status }) => status?.assignedIPv4 === 0);
  while ((await announced()) > 0);
  for (const account of ['controller', 'agent'] as const) {
    const used = [...auditLog().usedBy(userOf(account)), ...SELDOM[account]];
    expect([...new Set(used)].toSorted(), account).toEqual(grantedTo(account));
  }
});
