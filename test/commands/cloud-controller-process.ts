// A controller that works on a cloud by script, in a process of its own: with the election, the queue and the
// reconciler of `fairlead controller`, so that it can be killed and stopped. The cloud is an HTTP server elsewhere.
import { setTimeout as pass } from 'node:timers/promises';
import { Clouds } from '../../src/commands/controller-clouds.ts';
import { LEASE_TIMES, leaderElection } from '../../src/commands/leader-options.ts';
import { startProcess } from '../../src/commands/processes.ts';
import { runUntilSignal } from '../../src/commands/run-until-signal.ts';
import { readQueueAddress } from '../../src/queue/queue-address.ts';
import type { TokenBuckets } from '../../src/queue/token-buckets.ts';
import { reconcilerMetrics } from '../../src/reconciler/metrics.ts';
import { CLOUD_CLASS, ScriptedCloud, type ScriptedWork } from '../providers/scripted-cloud.ts';

export interface CloudControllerOptions {
  readonly kubeconfig: string;
  /** As --queue has it. */
  readonly queue: string;
  readonly takes?: number;
  /** Where GET /objects/KEY tells how many there are, and POST makes one. */
  readonly cloud?: string;
  readonly limit?: { readonly perSecond: number; readonly burst: number };
}

async function run(options: CloudControllerOptions, signal: AbortSignal): Promise<void> {
  const common = { kubeconfig: options.kubeconfig, lbClass: [], classless: false, logLevel: 'info' };
  const process = await startProcess('controller', common, signal);
  const election = leaderElection(process, {
    leaderElect: true,
    leaderElectLeaseDuration: LEASE_TIMES.leaseDuration,
    leaderElectRenewDeadline: LEASE_TIMES.renewDeadline,
    leaderElectRetryPeriod: LEASE_TIMES.retryPeriod,
    leaderElectResourceName: 'cloud-controller',
    leaderElectResourceNamespace: 'kube-system',
  });
  const queue = readQueueAddress(options.queue);
  if (queue.kind !== 'valid') throw new Error(queue.mend);
  const clouds = new Clouds({
    options: { queue: queue.value },
    pools: { classes: new Set(), classless: true },
    metrics: reconcilerMetrics(process.registry, () => Promise.reject(new Error('nobody asks'))),
    queues: new Set(),
    open: () => {
      let made: ScriptedWork | undefined;
      return {
        classes: { classes: { classes: new Set([CLOUD_CLASS]), classless: false }, leaves: () => false },
        provider: new ScriptedCloud(async (...call) => made?.(...call)),
        start: async (buckets) => {
          made = work(options, buckets);
        },
        takeOver: () => {},
        close: () => {},
      };
    },
    leads: () => election.leads(),
    mayWrite: () => true,
  });
  await Promise.all([
    clouds.run(process, signal),
    election.run(signal, async (term) => {
      clouds.takeOver();
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
    }),
  ]);
}

/** Looks, and makes what is not there: twice, where two do that at one time. */
function work(options: CloudControllerOptions, buckets: TokenBuckets): ScriptedWork {
  const { takes = 0, cloud, limit = { perSecond: 1_000_000, burst: 1_000_000 } } = options;
  const calls = buckets.bucket('calls', limit);
  return async (key, beforeWrite) => {
    await calls.take();
    if (takes > 0) await pass(takes);
    if (cloud === undefined) return;
    const url = `${cloud}/objects/${encodeURIComponent(key)}`;
    const headers = { 'x-pid': String(process.pid) };
    const found = Number(await (await fetch(url, { headers })).text());
    beforeWrite();
    if (found === 0) await fetch(url, { method: 'POST', headers });
  };
}

await runUntilSignal((signal) => run(JSON.parse(process.argv[2] ?? ''), signal));
