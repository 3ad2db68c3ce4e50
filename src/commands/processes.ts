// What the long-running commands share: the API server, the stores that follow it, the pages for probes.
import { systemClock } from '../clock/clock.ts';
import { connectKube, type MayWrite } from '../kube/connection.ts';
import { tellingDenials } from '../kube/denials.ts';
import type { KubeApi, Resource } from '../kube/kube-api.ts';
import { KubeconfigError } from '../kube/kubeconfig-file.ts';
import { type KubeMetrics, kubeMetrics } from '../kube/metrics.ts';
import type { KubeObject } from '../kube/objects.ts';
import { Reflector } from '../kube/reflector.ts';
import { Store } from '../kube/store.ts';
import { createLogger, type Logger } from '../observe/logger.ts';
import { createRegistry } from '../observe/metrics.ts';
import type { CommonOptions } from './options.ts';
import { UsageError } from './usage-error.ts';

/** A kind that is being followed; its store is whole once `synced` resolves. */
export interface Followed<T extends KubeObject> {
  readonly store: Store<T>;
  readonly synced: Promise<void>;
  /** Resolves then too, or when there is no such kind in the cluster. */
  readonly settled: Promise<void>;
}

export interface Process {
  readonly api: KubeApi;
  readonly log: Logger;
  readonly registry: ReturnType<typeof createRegistry>;
  /** Until `until` aborts; by default, until the process is to stop. */
  follow<T extends KubeObject>(resource: Resource<T>, until?: AbortSignal): Followed<T>;
  /** The API for what may write only while `mayWrite` says so. */
  connectToWrite(mayWrite: MayWrite): Promise<KubeApi>;
  /** Ends when every follower has ended, after the signal. */
  stopped(): Promise<unknown>;
}

/** Throws UsageError for a kubeconfig that cannot be used. */
export async function startProcess(
  component: string,
  options: CommonOptions,
  signal: AbortSignal,
): Promise<Process> {
  const log = createLogger({ component, level: options.logLevel });
  const registry = createRegistry();
  const metrics: KubeMetrics = kubeMetrics(registry);
  const api = await connect(options.kubeconfig);
  const runs = new Set<Promise<void>>();
  return {
    api,
    log,
    registry,
    connectToWrite: async (mayWrite) => tellingDenials(await connect(options.kubeconfig, mayWrite), log),
    follow(resource, until = signal) {
      const store: Store<NonNullable<typeof resource.shape>> = new Store();
      const reflector = new Reflector({
        api,
        resource,
        store,
        clock: systemClock,
        random: Math.random,
        log,
        metrics,
      });
      const run = reflector.run(until).finally(() => runs.delete(run));
      runs.add(run);
      return { store, synced: reflector.synced, settled: reflector.settled };
    },
    stopped: () => Promise.all(runs),
  };
}

/** The same process, which follows each kind once, until `until` aborts, however many of its parts ask for it. */
export function followingOnce(process: Process, until?: AbortSignal): Process {
  const made = new Map<unknown, unknown>();
  return {
    ...process,
    follow<T extends KubeObject>(resource: Resource<T>): Followed<T> {
      const followed = made.get(resource) ?? process.follow(resource, until);
      made.set(resource, followed);
      return followed as Followed<T>; // it was made for this resource
    },
  };
}

/** Throws UsageError for a kubeconfig that cannot be used. */
export async function connect(kubeconfig: string | undefined, mayWrite?: MayWrite): Promise<KubeApi> {
  try {
    return await connectKube(kubeconfig, undefined, mayWrite);
  } catch (error) {
    if (error instanceof KubeconfigError) throw new UsageError(`--kubeconfig: ${error.message}`);
    throw error;
  }
}
