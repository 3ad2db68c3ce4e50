// AWS as a lab has it: an emulator on a host of the LAN, and a hand in its console.
import type { HealthChange } from './aws/health-checks.ts';
import type { LabHost, LabNode } from './plan.ts';
import { type LabProcess, startScript } from './processes.ts';

const PORT = 4566;

export type AwsDeed = 'look' | 'delete listeners' | 'deregister targets';

/** What goes to the process, and what comes back. */
export interface AskedOfAws {
  readonly id: number;
  readonly what: AwsDeed;
}
interface Answered {
  readonly id: number;
  readonly look: AwsLook;
}

export interface AwsLook {
  /** Names, and of listeners the ports. */
  readonly loadBalancers: readonly string[];
  readonly listeners: readonly number[];
  readonly targetGroups: readonly string[];
  /** Without that of the nodes. */
  readonly securityGroups: readonly string[];
  /** What the nodes let in. */
  readonly nodeRules: number;
  /** Registered ones; `null`: not checked often enough to say. */
  readonly targets: readonly { readonly id: string; readonly healthy: boolean | null }[];
  /** What checks found out, in order, since the start. */
  readonly changes: readonly HealthChange[];
}

export class AwsHost {
  readonly #process: LabProcess;
  readonly #waiting = new Map<number, (look: AwsLook) => void>();
  /** For a CloudAccount. */
  readonly endpoint: string;
  #id = 0;

  private constructor(process: LabProcess, endpoint: string) {
    this.#process = process;
    this.endpoint = endpoint;
    process.child.on('message', (message) => {
      const { id, look } = message as Answered; // the script sends nothing else once it is ready
      this.#waiting.get(id)?.(look);
      this.#waiting.delete(id);
    });
  }

  static async start(host: LabHost, nodes: readonly LabNode[], logFolder: string): Promise<AwsHost> {
    const [address] = host.addresses;
    const instances = nodes.map(({ instance, addresses }) => `${instance}=${addresses[0]}`);
    const process = await startScript('aws', {
      namespace: host.name,
      logFolder,
      script: 'aws.ts',
      args: [address, String(PORT), ...instances],
    });
    return new AwsHost(process, `http://${address}:${PORT}`);
  }

  /** Resolves with what there is after the deed. */
  do(what: AwsDeed): Promise<AwsLook> {
    const { promise, resolve } = Promise.withResolvers<AwsLook>();
    const id = this.#id++;
    this.#waiting.set(id, resolve);
    this.#process.child.send({ id, what } satisfies AskedOfAws);
    return promise;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
