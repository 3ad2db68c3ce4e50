// What goes wrong between Fairlead and a real API server: permissions, tokens and authorities that change, kinds of
// another version.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dump, load, loadAll } from 'js-yaml';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { accountToken, applyAccount } from '../../src/lab/accounts.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../../src/lab/kinds.ts';
import { withToken } from '../../src/lab/kubeconfig.ts';
import { KubernetesServer } from '../../src/lab/kubernetes-server.ts';
import { addressesOf, Cluster } from '../commands/cluster.ts';
import { ControllerProcess } from '../commands/controller-process.ts';
import { removeDefinition } from '../lab/apiserver/definitions-end.ts';
import { RawClient } from '../lab/apiserver/raw-client.ts';
import { CRD_FOLDER, startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { AgentProcess } from './agent-process.ts';
import { shortToken } from './short-token.ts';

let test: TestServer;
let cluster: Cluster;
let controller: ControllerProcess | undefined;

beforeEach(async () => {
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
});

afterEach(async () => {
  await controller?.stop();
  controller = undefined;
  await cluster.close();
  await test.close();
});

/** A file beside the kubeconfig's. */
function write(name: string, text: string): string {
  const file = join(dirname(test.kubeconfig), name);
  writeFileSync(file, text);
  return file;
}

async function servesAService(): Promise<void> {
  await cluster.createPool('lan', ['192.0.2.1']);
  await cluster.createService('web');
  expect(addressesOf(await cluster.service('web'))).toEqual(['192.0.2.1']);
}

describe('an account that lacks a verb', () => {
  interface Rule {
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }
  type Manifest = KubeObject & { readonly rules?: readonly Rule[] };

  /** deploy/rbac/controller.yaml for an account of another name, without this verb on this resource, or whole. */
  async function grant(without?: { verb: string; resource: string }): Promise<void> {
    const text = readFileSync(join(CRD_FOLDER, '../rbac/controller.yaml'), 'utf8');
    // The lease is still the controller's.
    for (const each of loadAll(text.replaceAll('name: fairlead-controller', 'name: short')) as Manifest[]) {
      const rules = each.rules?.map((rule) =>
        without && rule.resources.includes(without.resource)
          ? { ...rule, verbs: rule.verbs.filter((verb) => verb !== without.verb) }
          : rule,
      );
      await applyAccount(
        test.api,
        rules ? { ...each, rules: rules.filter(({ verbs }) => verbs.length > 0) } : each,
      );
    }
  }

  async function shortAccount(): Promise<string> {
    const token = await accountToken(test.api, { name: 'short', namespace: 'kube-system' });
    return write('short', withToken(readFileSync(test.kubeconfig, 'utf8'), token));
  }

  /** Resolves when the figure in /metrics is so high: what failed was tried again. */
  async function untilTriedAgain(figure: RegExp): Promise<void> {
    while (!(Number(figure.exec((await controller?.page('/metrics')) ?? '')?.[1]) >= 4));
  }

  const errors = () => controller?.lines.filter(({ level }) => Number(level) >= 40) ?? [];

  it('to write is told which, once, and does its work when it is granted', async () => {
    await grant({ verb: 'patch', resource: 'services/status' });
    controller = new ControllerProcess(await shortAccount());
    await cluster.createPool('lan', ['192.0.2.1']);
    await cluster.createService('web');
    const line = await controller.logged(
      'the API server denies a verb that is needed; grant it (deploy/rbac)',
    );
    expect(line).toMatchObject({ verb: 'patch', resource: 'services/status' });
    await untilTriedAgain(/fairlead_reconciler_runs_total\{outcome="error"\} (\d+)/);
    expect(errors()).toEqual([line]);
    await grant();
    expect(addressesOf(await cluster.service('web'))).toEqual(['192.0.2.1']);
    await controller.logged('the API server grants this verb now');
  });

  it('to follow a kind is told which, once, and does its work when it is granted', async () => {
    await grant({ verb: 'list', resource: 'namespaces' });
    controller = new ControllerProcess(await shortAccount());
    const line = await controller.logged(
      'the API server denies access; grant list and watch on this kind (deploy/rbac)',
    );
    const error = expect.stringContaining('cannot list resource "');
    expect(line).toMatchObject({ resource: expect.stringMatching(/^(namespaces|nodes|services)$/), error });
    await untilTriedAgain(/fairlead_kube_errors_total\{resource="namespaces",status="403"\} (\d+)/);
    // Once for each kind of the rule.
    const told = errors().map(({ resource: kind }) => kind);
    expect(told).toContain('namespaces');
    expect(new Set(told).size).toBe(told.length);
    await grant();
    await servesAService();
  });
});

it('a token that runs out is told, and the one that takes its place in the file is taken up', async () => {
  const { server } = test;
  if (!(server instanceof KubernetesServer)) throw new Error('this is no real server');
  const account = { name: 'fairlead-controller', namespace: 'kube-system' };
  const token = write('token', await shortToken(test.api, server, account, 3));
  const config = load(readFileSync(test.kubeconfig, 'utf8')) as { users: { user: object }[] }; // the server's own
  const users = config.users.map((each) => ({ ...each, user: { tokenFile: token } }));
  controller = new ControllerProcess(write('rotating', dump({ ...config, users })));
  await controller.logged('synced');
  await servesAService();
  const refused = 'the API server does not accept our credentials; check the token or certificate in use';
  // The server itself remembers a token that was good for 10 s.
  while (!controller.lines.some(({ msg }) => msg === refused)) await controller.page('/healthz');
  const good = await accountToken(test.api, 'controller', 600);
  writeFileSync(token, good);
  await cluster.deleteService('web');
  await cluster.createService('next');
  expect(addressesOf(await cluster.service('next'))).toEqual(['192.0.2.1']);
  expect(JSON.stringify(controller.lines)).not.toContain(good);
}, 60_000);

it('calendars that are years apart make no two leaders, and nobody wait', async () => {
  const kubeconfig = await test.accountKubeconfig('controller');
  const behind = new ControllerProcess(kubeconfig, [], undefined, wrongCalendar(-3));
  controller = behind;
  await behind.logged('synced');
  controller = new ControllerProcess(kubeconfig, [], undefined, wrongCalendar(3));
  await controller.logged('waiting to lead');
  await servesAService();
  // An event of either is accepted too.
  expect((await cluster.eventsOn('web', 1)).length).toBeGreaterThan(0);
  expect(controller.lines.map(({ msg }) => msg)).not.toContain('leading');
  await behind.stop('SIGKILL');
  await controller.logged('synced');
  await cluster.deleteService('web');
  await cluster.createService('next');
  expect(addressesOf(await cluster.service('next'))).toEqual(['192.0.2.1']);
  expect((await cluster.eventsOn('next', 1)).length).toBeGreaterThan(0);
});

/** The environment of a process for which it is so many years later. */
function wrongCalendar(years: number): Record<string, string> {
  const file = write(
    `calendar${years}.mjs`,
    `const Real = Date;
    const offset = ${years * 365 * 86_400_000};
    globalThis.Date = class extends Real {
      constructor(...words) { super(...(words.length > 0 ? words : [Real.now() + offset])); }
      static now() { return Real.now() + offset; }
    };`,
  );
  return { NODE_OPTIONS: `--import ${file}` };
}

it('a server with another authority is not trusted until the file of authorities has it', async () => {
  const { server } = test;
  if (!(server instanceof KubernetesServer)) throw new Error('this is no real server');
  const config = load(server.kubeconfig(await accountToken(test.api, 'controller'))) as {
    clusters: { cluster: { server: string } }[];
  }; // the server's own
  const authority = write('ca.crt', server.authority);
  const clusters = config.clusters.map(({ cluster: { server: url }, ...each }) => ({
    ...each,
    cluster: { server: url, 'certificate-authority': authority },
  }));
  controller = new ControllerProcess(write('trusting', dump({ ...config, clusters })));
  await controller.logged('synced');
  await server.stop();
  await server.renewCertificate();
  await server.start();
  await controller.logged(
    'no trusted connection to the API server; check certificate-authority, client-certificate and server in the kubeconfig',
  );
  await cluster.close();
  writeFileSync(authority, server.authority);
  writeFileSync(test.kubeconfig, server.kubeconfig());
  const renewed = await startTestServer({ crds: true });
  cluster = new Cluster(renewed.api);
  await servesAService();
  await renewed.close();
});

async function removeKind(kind: string): Promise<void> {
  await removeDefinition(await RawClient.open(test.kubeconfig), `${kind}.fairlead.dev`);
}

it('an agent whose kinds are not installed says so, and goes on by itself once they are', async () => {
  const kinds = ['ipaddresspools', 'l2advertisements'];
  for (const kind of kinds) await removeKind(kind);
  const agent = new AgentProcess(await test.accountKubeconfig('agent'));
  await agent.logged('this kind is not installed in the cluster yet; apply deploy/crds (waiting for it)');
  for (const kind of kinds) await cluster.installCrd(kind);
  await agent.logged('ready');
  await agent.stop();
});

it('a kind of another version is waited for, and followed once this version is served', async () => {
  const name = 'ipaddresspools.fairlead.dev';
  const definition = load(readFileSync(join(CRD_FOLDER, 'ipaddresspools.yaml'), 'utf8')) as KubeObject & {
    spec: { versions: object[] };
  }; // our own file
  await removeKind('ipaddresspools');
  const versions = definition.spec.versions.map((each) => ({ ...each, name: 'v9' }));
  const other = { ...definition, spec: { ...definition.spec, versions } };
  await test.api.create(CUSTOM_RESOURCE_DEFINITIONS, other);
  controller = new ControllerProcess(await test.accountKubeconfig('controller'));
  expect(
    await controller.logged(
      'this kind is not installed in the cluster yet; apply deploy/crds (waiting for it)',
    ),
  ).toMatchObject({ resource: name, version: 'v1alpha1' });
  const both = [...definition.spec.versions, ...versions.map((each) => ({ ...each, storage: false }))];
  const patch = { spec: { versions: both } };
  const options = { type: 'merge', fieldManager: 'test' } as const;
  await test.api.patch(CUSTOM_RESOURCE_DEFINITIONS, { name }, patch, options);
  await controller.logged('synced');
  await servesAService();
});
