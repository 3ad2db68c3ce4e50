// `fairlead controller`: gives Services their addresses and writes their status.
import { hostname } from 'node:os';
import type { Command } from 'commander';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import { IP_ADDRESS_POOLS, L2_ADVERTISEMENTS, NAMESPACES, SERVICES } from '../kube/resources.ts';
import { serveHttp } from '../observe/http-server.ts';
import { L2Provider } from '../providers/l2/l2-provider.ts';
import { MemoryQueue } from '../queue/memory-queue.ts';
import { Config } from '../reconciler/config.ts';
import { reconcilerMetrics } from '../reconciler/metrics.ts';
import { Reconciler } from '../reconciler/reconciler.ts';
import { bindAddress, type CommonOptions, processCommand } from './options.ts';
import { startProcess } from './processes.ts';
import { runUntilSignal } from './run-until-signal.ts';

interface ControllerOptions extends CommonOptions {
  readonly metricsBindAddress: string;
}

export function controllerCommand(): Command {
  return processCommand('controller', 'gives Services addresses and writes their status (Deployment)')
    .option('--metrics-bind-address <host:port>', '/metrics, /healthz, /livez', bindAddress, '0.0.0.0:9120')
    .action((options: ControllerOptions) => runUntilSignal((signal) => runController(options, signal)));
}

async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const process = await startProcess('controller', options, signal);
  const { api, log, registry } = process;
  const services = process.follow(SERVICES);
  const namespaces = process.follow(NAMESPACES);
  const pools = process.follow(IP_ADDRESS_POOLS);
  const advertisements = process.follow(L2_ADVERTISEMENTS);

  const queue = new MemoryQueue({ clock: systemClock, random: Math.random });
  const metrics = reconcilerMetrics(registry, queue);
  const provider = new L2Provider();
  const shared = { api, provider, clock: systemClock, log, metrics };
  const config = new Config({ ...shared, pools: pools.store, advertisements: advertisements.store });
  const reconciler = new Reconciler({
    ...shared,
    services: services.store,
    namespaces: namespaces.store,
    queue,
    classes: { classes: new Set(options.lbClass), classless: options.classless },
    events: new EventRecorder({ api, clock: systemClock, log, instance: hostname() }),
    onAllocation: () => config.changed(),
  });

  let synced = false;
  serveHttp({
    address: options.metricsBindAddress,
    flag: '--metrics-bind-address',
    registry,
    health: () => ({ healthy: true, detail: { synced, queue: queue.depth() } }),
    clock: systemClock,
    log,
    signal,
  }).then(
    (port) => log.info({ port }, 'serving metrics and health'),
    (error) => log.error({ error }, 'serving metrics failed'),
  );

  const stop = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  // Nothing is allocated before everything is known: a Service seen first must not take what another holds.
  // Advertisements do not decide on addresses; that their kind is missing must not hold back the rest.
  await Promise.race([stop, Promise.all([services.synced, namespaces.synced, pools.synced])]);
  if (!signal.aborted) {
    synced = true;
    log.info({ services: services.store.size, pools: pools.store.size }, 'synced');
    config.start(signal);
    await reconciler.run(signal);
  }
  await process.stopped();
}
