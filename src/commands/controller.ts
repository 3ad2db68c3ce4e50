// `fairlead controller`: gives Services their addresses and writes their status.
import { type Command, Option } from 'commander';
import { systemClock } from '../clock/clock.ts';
import type { Term } from '../kube/leader-election.ts';
import { leaderMetric } from '../kube/metrics.ts';
import { MEMBERSHIP_PORT, WITNESS_PORT } from '../membership/udp.ts';
import { serveHttp } from '../observe/http-server.ts';
import { viewOfAll } from '../queue/view.ts';
import { reconcilerMetrics } from '../reconciler/metrics.ts';
import { cleanUp } from './controller-cleanup.ts';
import { aws, Clouds } from './controller-clouds.ts';
import type { MembershipPlace } from './controller-membership.ts';
import { runTerm, type TermState } from './controller-term.ts';
import { addLeaderOptions, type LeaderOptions, leaderElection, leaseTimes } from './leader-options.ts';
import {
  anyUdpPort,
  bindAddress,
  type CommonOptions,
  duration,
  MEMBERSHIP_NAME,
  ownNamespace,
  processCommand,
  udpPort,
} from './options.ts';
import { followingOnce, type Process, startProcess } from './processes.ts';
import { addQueueOption, checkQueue, type QueueOptions } from './queue-option.ts';
import { queuePages } from './queue-pages.ts';
import { runUntilSignal } from './run-until-signal.ts';

interface ControllerOptions extends CommonOptions, LeaderOptions, MembershipPlace, QueueOptions {
  readonly metricsBindAddress: string;
  readonly cleanup: boolean;
  readonly onConflict: 'withhold' | 'reallocate';
  readonly classlessProvider: 'l2' | 'aws';
  readonly driftCheck: number;
  readonly orphanGrace: number;
}

export function controllerCommand(): Command {
  const command = processCommand(
    'controller',
    'gives Services addresses and writes their status (Deployment)',
  )
    .option('--metrics-bind-address <host:port>', '/metrics, /healthz, /livez', bindAddress, '0.0.0.0:9120')
    .option(
      '--membership-namespace <name>',
      `of the ConfigMap and the Secret ${MEMBERSHIP_NAME}`,
      ownNamespace(),
    )
    .option('--membership-port <port>', 'UDP, of the agents', udpPort, MEMBERSHIP_PORT)
    .option(
      '--witness-port <port>',
      'UDP, where this controller votes among few agents; 0: any that is free',
      anyUdpPort,
      WITNESS_PORT,
    )
    .addOption(
      new Option(
        '--on-conflict <what>',
        'an address that a host outside the cluster has: it stays with its Service, or that gets another one',
      )
        .choices(['withhold', 'reallocate'])
        .default('withhold'),
    )
    .option('--cleanup', 'let go of every Service, leaving the addresses in their statuses, and end', false);
  command
    .addOption(
      new Option('--classless-provider <name>', 'who serves Services without a loadBalancerClass')
        .choices(['l2', 'aws'])
        .default('l2'),
    )
    .addOption(
      new Option('--drift-check <duration>', 'time between two looks for what others changed in a cloud')
        .argParser(duration)
        .default(45_000, '45s'),
    )
    .addOption(
      new Option(
        '--orphan-grace <duration>',
        'how long cloud objects that belong to no Service are only told',
      )
        .argParser(duration)
        .default(600_000, '10m'),
    );
  return addQueueOption(addLeaderOptions(command)).action((options: ControllerOptions) => {
    leaseTimes(options);
    return runUntilSignal((signal) => runController(options, signal));
  });
}

async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const process = await startProcess('controller', options, signal);
  const { classlessProvider, driftCheck, orphanGrace } = options;
  const classless = (name: string) => options.classless && classlessProvider === name;
  const classes = { classes: new Set(options.lbClass), classless: classless('l2') };
  const cloud = { classless: classless('aws'), driftCheck, orphanGrace };
  const election = options.leaderElect ? leaderElection(process, options) : undefined;
  const alone = (work: Parameters<NonNullable<typeof election>['run']>[1]) =>
    election ? election.run(signal, work) : work({ signal, mayWrite: () => true });
  if (options.cleanup) return alone((term) => cleanUp(process, classes, term));
  await checkQueue(options);

  const state: TermState = { synced: false, queues: new Set() };
  const leads = () => election?.leads() ?? true;
  // What is shared is told once.
  const metrics = reconcilerMetrics(process.registry, () => viewOfAll(leads() ? state.queues : []));
  leaderMetric(process.registry, leads);
  servePages(process, options, { state, leads }, signal);
  const isShared = options.queue.kind !== 'memory';
  const work = { options, pools: classes, metrics, queues: state.queues, open: aws(cloud), leads };
  const shared = isShared ? new Clouds({ ...work, mayWrite: () => true }) : undefined;
  const lead = async (term: Term) => {
    // Nobody who gets an address from a pool waits for a cloud.
    const parts = followingOnce(process, term.signal);
    const pools = runTerm(parts, { options, classes, cloud, metrics, state }, term);
    shared?.takeOver();
    const { mayWrite } = term;
    const own = shared ? undefined : new Clouds({ ...work, mayWrite }).run(parts, term.signal);
    await Promise.all([pools, own]);
  };
  await Promise.all([alone(lead), shared?.run(process, signal)]);
  await process.stopped();
}

function servePages(
  { registry, log }: Process,
  { metricsBindAddress }: ControllerOptions,
  { state, leads }: { readonly state: TermState; readonly leads: () => boolean },
  signal: AbortSignal,
): void {
  serveHttp({
    address: metricsBindAddress,
    flag: '--metrics-bind-address',
    registry,
    // Who waits to lead is as well as who does.
    health: () => ({ healthy: true, detail: { leader: leads(), synced: state.synced } }),
    pages: queuePages(() => state.queues),
    clock: systemClock,
    log,
    signal,
  }).catch((error) => log.error({ error }, 'serving metrics failed'));
}
