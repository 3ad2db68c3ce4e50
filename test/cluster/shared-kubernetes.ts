// The one etcd and kube-apiserver of a test run, emptied for each test file: they take seconds to start.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findKubernetes } from '../../src/lab/kubernetes-binaries.ts';
import { KubernetesServer } from '../../src/lab/kubernetes-server.ts';
import { DEFINITIONS, removeDefinition } from '../lab/apiserver/definitions-end.ts';
import { MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { AuditLog } from './audit-log.ts';

let started: Promise<KubernetesServer> | undefined;
const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubernetes-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Without any object that the API server does not make itself. */
export async function emptyKubernetes(serviceCidrs: readonly string[]): Promise<KubernetesServer> {
  started ??= startKubernetes(serviceCidrs);
  const server = await started;
  await empty(server);
  return server;
}

/** Of everything since the run began. */
export function auditLog(): AuditLog {
  return new AuditLog(join(folder, 'audit.log'));
}

async function startKubernetes(serviceCidrs: readonly string[]): Promise<KubernetesServer> {
  const binaries = findKubernetes();
  if (binaries.kind === 'missing') throw new Error(binaries.problem);
  return KubernetesServer.start({
    binaries: binaries.folder,
    folder,
    host: '127.0.0.1',
    port: 0,
    serviceCidrs,
  });
}

const NAMESPACES = '/api/v1/namespaces';
const COLLECTIONS = [
  DEFINITIONS,
  '/api/v1/services',
  '/api/v1/configmaps',
  '/api/v1/secrets',
  '/api/v1/pods',
  '/api/v1/nodes',
  '/apis/discovery.k8s.io/v1/endpointslices',
  '/apis/coordination.k8s.io/v1/leases',
  '/api/v1/events',
  NAMESPACES,
];
/** What every cluster has. */
const OWN =
  /^(default|kubernetes|kube-system|kube-public|kube-node-lease|kube-apiserver-.*|apiserver-.*|extension-apiserver-authentication)$/;

interface Found {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly finalizers?: readonly string[];
  };
}

async function empty(server: KubernetesServer): Promise<void> {
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig());
  const raw = await RawClient.open(kubeconfig);
  for (const collection of COLLECTIONS) {
    const { body } = await raw.get(collection);
    const found = (body.items as readonly Found[]).filter(({ metadata }) => !OWN.test(metadata.name));
    await Promise.all(found.map(({ metadata }) => remove(raw, collection, metadata)));
  }
}

/** Resolves when it is gone. */
async function remove(
  raw: RawClient,
  collection: string,
  { name, namespace, finalizers = [] }: Found['metadata'],
): Promise<void> {
  const inside = namespace === undefined ? '' : `/namespaces/${namespace}`;
  const path = `${collection.replace(/\/(?=[^/]+$)/, `${inside}/`)}/${name}`;
  if (collection === DEFINITIONS) return removeDefinition(raw, name);
  // Again where the API server itself wrote to it meanwhile, which is a conflict.
  do {
    if (finalizers.length > 0) await raw.patch(path, MERGE, { metadata: { finalizers: null } });
    await raw.delete(path, { gracePeriodSeconds: 0 });
    // Its content went before it; who would say so, the namespace controller, is not here.
    if (collection === NAMESPACES)
      await raw.put(`${path}/finalize`, { metadata: { name }, spec: { finalizers: [] } });
  } while ((await raw.get(path)).status !== 404);
}
