// Where the API server is and how to prove who we are: a kubeconfig file, or the Pod's own service account.
import { existsSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { KubeConfig } from '#kubeconfig';
import { KubeconfigError, readKubeconfig } from './kubeconfig-file.ts';

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export interface Credentials {
  readonly server: URL;
  /** What a request needs now: certificates, headers, the agent. Files and plugins are asked again in time. */
  requestOptions(): Promise<RequestOptions>;
  /** The server did not take them: files and plugins are asked anew for the next request. */
  rejected(): void;
}

/** `lifo`: the connection that was used last is the likeliest to be alive. */
const AGENT_OPTIONS: AgentOptions = {
  keepAlive: true,
  keepAliveMsecs: 10_000,
  maxSockets: 64,
  scheduling: 'lifo',
};

/** Throws KubeconfigError. */
export async function loadCredentials(kubeconfig: string | undefined): Promise<Credentials> {
  // The bundle is loaded here alone, so that a process that never connects never pays for it.
  const library = await import('#kubeconfig');
  const load = () => read(new library.KubeConfig(), kubeconfig);
  let config: KubeConfig | undefined = load();
  const server = new URL(config.getCurrentCluster()?.server ?? '');
  const optionsOf = optionsSource(server);
  return {
    server,
    requestOptions() {
      config ??= load();
      return optionsOf(config);
    },
    // The library reads a token's file once a minute, and asks a plugin when its token runs out: too late for one
    // that was revoked.
    rejected() {
      config = undefined;
    },
  };
}

function read(config: KubeConfig, kubeconfig: string | undefined): KubeConfig {
  if (kubeconfig !== undefined) {
    const { cluster, user } = readKubeconfig(kubeconfig);
    config.loadFromClusterAndUser(cluster, user);
  } else if (existsSync(SERVICE_ACCOUNT_TOKEN) && process.env.KUBERNETES_SERVICE_HOST) {
    config.loadFromCluster();
  } else {
    throw new KubeconfigError('this is no Pod with a service account; name a kubeconfig: --kubeconfig FILE');
  }
  return config;
}

function optionsSource(server: URL): (config: KubeConfig) => Promise<RequestOptions> {
  const plain = new HttpAgent(AGENT_OPTIONS);
  let secure: { readonly agent: HttpsAgent; readonly identity: string } | undefined;
  return async (config) => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const { headers } = options as { headers?: Record<string, string> }; // as the library makes them
    // A token file that was written by hand ends in a newline, which no header may hold.
    if (headers?.Authorization) headers.Authorization = headers.Authorization.trim();
    // The library's agent knows proxies but keeps no connections; ours is the reverse.
    if (config.getCurrentCluster()?.proxyUrl) return options;
    if (server.protocol === 'http:') return { ...options, agent: plain };
    // Certificates are read anew for each request; connections are kept for as long as they say the same.
    const identity = [options.ca, options.cert, options.key].map(String).join('\n');
    if (identity !== secure?.identity)
      secure = { identity, agent: new HttpsAgent({ ...AGENT_OPTIONS, ...tlsOf(options) }) };
    return { ...options, agent: secure.agent };
  };
}

function tlsOf({ ca, cert, key, rejectUnauthorized, servername }: RequestOptions): AgentOptions {
  const given = Object.entries({ ca, cert, key, rejectUnauthorized, servername });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
