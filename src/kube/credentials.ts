// Where the API server is and how to prove who we are: a kubeconfig file, or the Pod's own service account.
import { existsSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { KubeConfig } from '#kubeconfig';

/** A kubeconfig that cannot be used: which file, what is wrong, the mend. */
export class KubeconfigError extends Error {}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export interface Credentials {
  readonly server: URL;
  /** What a request needs now: certificates, headers, the agent. Tokens are read again as they change. */
  requestOptions(): Promise<RequestOptions>;
}

/** Connections are kept, and a peer that is gone is noticed within half a minute even where nothing is sent. */
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
  const config = new library.KubeConfig();
  const source = kubeconfig ?? 'the Pod’s service account';
  try {
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
    else if (existsSync(SERVICE_ACCOUNT_TOKEN)) config.loadFromCluster();
    else
      throw new KubeconfigError(
        'this is no Pod with a service account; name a kubeconfig with --kubeconfig FILE',
      );
  } catch (error) {
    if (error instanceof KubeconfigError) throw error;
    throw new KubeconfigError(`${source} cannot be read: ${(error as Error).message}`);
  }
  const server = serverOf(config, source);
  return { server, requestOptions: optionsSource(config, server) };
}

function serverOf(config: KubeConfig, source: string): URL {
  const context = config.getCurrentContext();
  if (!config.getContextObject(context)) {
    throw new KubeconfigError(
      `${source} has no context "${context ?? ''}"; set current-context to one of its contexts`,
    );
  }
  const text = config.getCurrentCluster()?.server ?? '';
  if (!URL.canParse(text)) {
    throw new KubeconfigError(
      `${source} has the server "${text}" in its current cluster; write a URL such as https://192.0.2.1:6443`,
    );
  }
  return new URL(text);
}

function optionsSource(config: KubeConfig, server: URL): () => Promise<RequestOptions> {
  const plain = new HttpAgent(AGENT_OPTIONS);
  let secure: { readonly agent: HttpsAgent; readonly identity: readonly unknown[] } | undefined;
  return async () => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    // The library's agent knows proxies but keeps no connections; ours is the reverse.
    if (config.getCurrentCluster()?.proxyUrl) return options;
    if (server.protocol === 'http:') return { ...options, agent: plain };
    const identity = [options.ca, options.cert, options.key, options.pfx];
    if (!secure || identity.some((part, i) => part !== secure?.identity[i])) {
      secure = { identity, agent: new HttpsAgent({ ...AGENT_OPTIONS, ...tlsOf(options) }) };
    }
    return { ...options, agent: secure.agent };
  };
}

function tlsOf({
  ca,
  cert,
  key,
  pfx,
  passphrase,
  rejectUnauthorized,
  servername,
}: RequestOptions): AgentOptions {
  const given = Object.entries({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
