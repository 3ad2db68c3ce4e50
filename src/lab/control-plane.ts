// The API server of a lab: a process on the control-plane host.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectKube } from '../kube/connection.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { type Account, accountToken, createAccounts } from './accounts.ts';
import type { ApiServerKind } from './api-server.ts';
import { withToken } from './kubeconfig.ts';
import { type LabHost, SERVICE_CIDRS } from './plan.ts';
import { startScript } from './processes.ts';

const PORT = 6443;

/** `stop`: no connection is left and none is taken; `start`: again, with all objects as they were. */
export type ApiServerFault = 'stop' | 'start' | 'drop watches' | 'forget history';

export interface ControlPlane {
  /** Path of a file that gives access to everything. */
  readonly kubeconfig: string;
  readonly api: KubeApi;
  /** The same for an account of Fairlead's: a real API server holds it to what deploy/rbac grants. */
  readonly accounts: Readonly<Record<Account, string>>;
  /** Resolves when it has happened. */
  fault(fault: ApiServerFault): Promise<void>;
  stop(): Promise<unknown>;
}

/** `folder`: for the kubeconfig and the log. */
export async function startControlPlane(
  kind: ApiServerKind,
  host: LabHost,
  folder: string,
): Promise<ControlPlane> {
  const kubeconfig = join(folder, 'kubeconfig');
  const server = await startScript('api-server', {
    namespace: host.name,
    logFolder: folder,
    script: 'api-server.ts',
    args: [kind, kubeconfig, host.addresses[0], String(PORT), ...SERVICE_CIDRS],
  });
  const api = await connectKube(kubeconfig);
  const embedded = { controller: kubeconfig, agent: kubeconfig };
  return {
    kubeconfig,
    api,
    accounts: kind === 'real' ? await accountsOf(api, kubeconfig) : embedded,
    async fault(fault) {
      const done = once(server.child, 'message');
      server.child.send(fault);
      await done;
    },
    stop: () => server.stop(),
  };
}

/** Makes the accounts, and a kubeconfig beside the administrator's for each. */
async function accountsOf(api: KubeApi, kubeconfig: string): Promise<Record<Account, string>> {
  await createAccounts(api);
  const write = async (account: Account) => {
    const file = `${kubeconfig}-${account}`;
    writeFileSync(file, withToken(readFileSync(kubeconfig, 'utf8'), await accountToken(api, account)));
    return file;
  };
  return { controller: await write('controller'), agent: await write('agent') };
}
