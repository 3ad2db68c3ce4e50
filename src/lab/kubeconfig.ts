// The kubeconfig of a lab's API server.
import { dump, load } from 'js-yaml';

/** YAML with the authority, a bearer token, and where the server is. */
export function kubeconfigOf(server: string, authority: string, token: string): string {
  const name = 'fairlead-lab';
  const cluster = { server, 'certificate-authority-data': Buffer.from(authority).toString('base64') };
  return dump({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  });
}

/** The same with another token than the administrator's. */
export function withToken(kubeconfig: string, token: string): string {
  const config = load(kubeconfig) as { users: { user: object }[] }; // made above
  return dump({ ...config, users: config.users.map((each) => ({ ...each, user: { token } })) });
}
