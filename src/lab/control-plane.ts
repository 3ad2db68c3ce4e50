// The API server of a lab: a process on the control-plane host.
import { once } from 'node:events';
import { join } from 'node:path';
import { type LabHost, SERVICE_CIDRS } from './plan.ts';
import { startScript } from './processes.ts';

const PORT = 6443;

/** `stop`: no connection is left and none is taken; `start`: again, with all objects as they were. */
export type ApiServerFault = 'stop' | 'start' | 'drop watches' | 'forget history';

export interface ControlPlane {
  /** Path of a file that gives access to everything. */
  readonly kubeconfig: string;
  /** Resolves when it has happened. */
  fault(fault: ApiServerFault): Promise<void>;
  stop(): Promise<unknown>;
}

/** `folder`: for the kubeconfig and the log. */
export async function startControlPlane(host: LabHost, folder: string): Promise<ControlPlane> {
  const kubeconfig = join(folder, 'kubeconfig');
  const server = await startScript('api-server', {
    namespace: host.name,
    logFolder: folder,
    script: 'api-server.ts',
    args: [kubeconfig, host.addresses[0], String(PORT), ...SERVICE_CIDRS],
  });
  return {
    kubeconfig,
    async fault(fault) {
      const done = once(server.child, 'message');
      server.child.send(fault);
      await done;
    },
    stop: () => server.stop(),
  };
}
