// A service account's token that lasts seconds: the API server itself makes none for less than ten minutes, so it is
// signed here with the server's own key.
import { createSign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { KubeApi, ObjectName, Resource } from '../../src/kube/kube-api.ts';
import type { KubernetesServer } from '../../src/lab/kubernetes-server.ts';

/** Seconds for which the server takes a token that has run out (go-jose's leeway for clocks that differ). */
const LEEWAY = 60;
const ISSUER = 'https://kubernetes.default.svc';
const SERVICE_ACCOUNTS: Resource = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
};

/** Accepted for `seconds` from now on. */
export async function shortToken(
  api: KubeApi,
  server: KubernetesServer,
  { name, namespace }: Required<ObjectName>,
  seconds: number,
): Promise<string> {
  const { uid } = (await api.get(SERVICE_ACCOUNTS, { name, namespace })).metadata;
  const now = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: ISSUER,
    aud: [ISSUER],
    sub: `system:serviceaccount:${namespace}:${name}`,
    iat: now - LEEWAY,
    nbf: now - LEEWAY,
    exp: now + seconds - LEEWAY,
    'kubernetes.io': { namespace, serviceaccount: { name, uid } },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  const key = readFileSync(join(dirname(server.auditLog), 'accounts.key'));
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key, 'base64url')}`;
}
