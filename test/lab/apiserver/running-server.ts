// A running API server for a test, and the project's own client to it over HTTPS.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { connectKube } from '../../../src/kube/connection.ts';
import type { KubeApi, Resource } from '../../../src/kube/kube-api.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../../../src/lab/apiserver/server.ts';

export const CRD_FOLDER = join(import.meta.dirname, '../../../deploy/crds');

const CUSTOM_RESOURCE_DEFINITIONS: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

export interface TestServer {
  readonly server: ApiServer;
  readonly api: KubeApi;
  /** Path of a file that says how to reach the server. */
  readonly kubeconfig: string;
  close(): Promise<void>;
}

export interface TestServerOptions extends Partial<ApiServerOptions> {
  /** Whether the project's own custom resources are defined. */
  readonly crds?: boolean;
}

/** Listens on a free port of the loopback, dual-stack; close it when the test ends. */
export async function startTestServer({ crds, ...options }: TestServerOptions = {}): Promise<TestServer> {
  const server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    serviceCidrs: ['10.96.0.0/16', 'fd00:96::/112'],
    ...options,
  });
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-apiserver-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig());
  const api = await connectKube(kubeconfig);
  const close = async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  };
  if (crds) {
    for (const file of readdirSync(CRD_FOLDER)) {
      const definition = load(readFileSync(join(CRD_FOLDER, file), 'utf8')) as KubeObject; // our own files
      await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
    }
  }
  return { server, api, kubeconfig, close };
}
