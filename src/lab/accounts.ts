// The accounts that deploy/rbac gives the controller and the agents, in a real API server, and tokens for them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import type { KubeApi, ObjectName, Resource } from '../kube/kube-api.ts';
import type { KubeObject } from '../kube/objects.ts';

const FOLDER = join(import.meta.dirname, '../../deploy/rbac');
const RBAC = { group: 'rbac.authorization.k8s.io', version: 'v1' };
const RESOURCES: Readonly<Record<string, Resource>> = {
  ServiceAccount: {
    group: '',
    version: 'v1',
    plural: 'serviceaccounts',
    kind: 'ServiceAccount',
    namespaced: true,
  },
  ClusterRole: { ...RBAC, plural: 'clusterroles', kind: 'ClusterRole', namespaced: false },
  ClusterRoleBinding: {
    ...RBAC,
    plural: 'clusterrolebindings',
    kind: 'ClusterRoleBinding',
    namespaced: false,
  },
  Role: { ...RBAC, plural: 'roles', kind: 'Role', namespaced: true },
  RoleBinding: { ...RBAC, plural: 'rolebindings', kind: 'RoleBinding', namespaced: true },
};
/** Of a token, in seconds: longer than any lab is up. */
const LIFETIME = 86_400;

export type Account = 'agent' | 'controller';

interface TokenRequest extends KubeObject {
  readonly spec: { readonly audiences: readonly string[]; readonly expirationSeconds: number };
  readonly status?: { readonly token: string };
}

/** Applies deploy/rbac, as `kubectl apply` does. */
export async function createAccounts(api: KubeApi): Promise<void> {
  for (const object of readdirSync(FOLDER).flatMap(objectsIn)) await applyAccount(api, object);
}

/** Applies one object of such a manifest. */
export async function applyAccount(api: KubeApi, object: KubeObject): Promise<void> {
  const resource = RESOURCES[object.kind ?? ''];
  if (!resource) throw new Error(`a ${object.kind} has no place among accounts and roles`);
  await api.patch(resource, object.metadata, object, { type: 'apply', fieldManager: 'fairlead-lab' });
}

/** A bearer token for one of our accounts, or for another by name, good for `seconds` (600 at least). */
export async function accountToken(
  api: KubeApi,
  account: Account | ObjectName,
  seconds = LIFETIME,
): Promise<string> {
  const { name, namespace = '' } = typeof account === 'string' ? accountName(account) : account;
  const resource: Resource<TokenRequest> = {
    group: '',
    version: 'v1',
    plural: `serviceaccounts/${name}/token`,
    kind: 'TokenRequest',
    namespaced: true,
  };
  const { status } = await api.create(resource, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: { name, namespace },
    spec: { audiences: [], expirationSeconds: seconds },
  });
  if (!status) throw new Error(`the API server made no token for ${namespace}/${name}`);
  return status.token;
}

/** As the audit log calls it. */
export function userOf(account: Account): string {
  const { name, namespace } = accountName(account);
  return `system:serviceaccount:${namespace}:${name}`;
}

function accountName(account: Account): KubeObject['metadata'] {
  const found = objectsIn(`${account}.yaml`).find(({ kind }) => kind === 'ServiceAccount');
  if (!found) throw new Error(`deploy/rbac/${account}.yaml has no ServiceAccount`);
  return found.metadata;
}

function objectsIn(file: string): KubeObject[] {
  return loadAll(readFileSync(join(FOLDER, file), 'utf8')) as KubeObject[]; // our own manifests
}
