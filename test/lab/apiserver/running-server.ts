// A running API server for a test, and the project's own client to it over HTTPS: the embedded one, or, in the
// tests' project "real" (vitest.config.ts), etcd and kube-apiserver.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { connectKube } from '../../../src/kube/connection.ts';
import { type KubeApi, KubeError } from '../../../src/kube/kube-api.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { type Account, accountToken, createAccounts } from '../../../src/lab/accounts.ts';
import type { LabApiServer } from '../../../src/lab/api-server.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../../../src/lab/apiserver/server.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../../../src/lab/kinds.ts';
import { emptyKubernetes } from '../../cluster/shared-kubernetes.ts';

export const CRD_FOLDER = join(import.meta.dirname, '../../../deploy/crds');
/** As the real server is started. */
export const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:96::/112'];
/** Whether tests run against etcd and kube-apiserver. */
export const IS_REAL = process.env.FAIRLEAD_TEST_API_SERVER === 'real';

export interface TestServer<Server extends LabApiServer = LabApiServer> {
  readonly server: Server;
  readonly api: KubeApi;
  /** Path of a file that says how to reach the server. */
  readonly kubeconfig: string;
  /** The same for one of Fairlead's accounts, which the real server holds to what deploy/rbac grants. */
  accountKubeconfig(account: Account): Promise<string>;
  close(): Promise<void>;
}

export interface TestServerOptions {
  /** Whether the project's own custom resources are defined. */
  readonly crds?: boolean;
}

/** Dual-stack, with no objects but those that every cluster has; close it when the test ends. */
export function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  return IS_REAL ? startReal(options) : startEmbeddedServer(options);
}

/** The embedded one, on a free port of the loopback. */
export async function startEmbeddedServer({
  crds = false,
  ...options
}: TestServerOptions & Partial<ApiServerOptions> = {}): Promise<TestServer<ApiServer>> {
  const server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    serviceCidrs: SERVICE_CIDRS,
    ...options,
  });
  const own = await running(server, crds, () => server.stop());
  return { ...own, accountKubeconfig: async () => own.kubeconfig };
}

/** One for the whole run: it takes seconds to start. */
async function startReal({ crds = false }: TestServerOptions): Promise<TestServer> {
  const server = await emptyKubernetes(SERVICE_CIDRS);
  const own = await running(server, crds, async () => {});
  await createAccounts(own.api);
  const accountKubeconfig = async (account: Account) => {
    const file = `${own.kubeconfig}-${account}`;
    writeFileSync(file, server.kubeconfig(await accountToken(own.api, account)));
    return file;
  };
  return { ...own, accountKubeconfig };
}

async function running<Server extends LabApiServer>(
  server: Server,
  crds: boolean,
  stop: () => Promise<void>,
): Promise<Omit<TestServer<Server>, 'accountKubeconfig'>> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-apiserver-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig());
  const api = await connectKube(kubeconfig);
  if (crds) await installDefinitions(api);
  const close = async () => {
    await stop();
    rmSync(folder, { recursive: true });
  };
  return { server, api, kubeconfig, close };
}

/** Resolves when their kinds are served. */
async function installDefinitions(api: KubeApi): Promise<void> {
  for (const file of readdirSync(CRD_FOLDER)) {
    const definition = load(readFileSync(join(CRD_FOLDER, file), 'utf8')) as KubeObject; // our own files
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
    await untilServed(api, definition);
  }
}

/** Resolves when objects of this kind can be had, which at the real server is a moment after its definition is written. */
export async function untilServed(api: KubeApi, definition: KubeObject): Promise<void> {
  const { spec } = definition as { spec?: { group: string; names: { plural: string; kind: string } } }; // our own files
  const { group = '', names } = spec ?? {};
  const resource = { group, version: 'v1alpha1', namespaced: false, plural: '', kind: '', ...names };
  const isServed = async () => {
    try {
      return (await api.list(resource, { limit: 1 })).resourceVersion !== '';
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return false;
      throw error;
    }
  };
  while (!(await isServed()));
}
