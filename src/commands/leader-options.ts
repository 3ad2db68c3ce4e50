// The flags of leader election, with client-go's names and meaning, and the election that they make.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Command } from 'commander';
import { systemClock } from '../clock/clock.ts';
import { LeaderElection, type LeaseTimes } from '../kube/leader-election.ts';
import { duration, ownNamespace } from './options.ts';
import type { Process } from './processes.ts';
import { UsageError } from './usage-error.ts';

export interface LeaderOptions {
  readonly leaderElect: boolean;
  readonly leaderElectLeaseDuration: number;
  readonly leaderElectRenewDeadline: number;
  readonly leaderElectRetryPeriod: number;
  readonly leaderElectResourceName: string;
  readonly leaderElectResourceNamespace: string;
}

/** client-go's (tools/leaderelection, JitterFactor): a leader needs the time for one try at the least. */
const TRY_FACTOR = 1.2;
/**
 * Milliseconds. Shorter than client-go's 15, 10 and 2 s: a leader that died is followed within 5 s, for two writes a
 * second to one object. Whoever loses the lease for want of an answer in 3 s only stops deciding; what serves serves on.
 */
export const LEASE_TIMES: LeaseTimes = { leaseDuration: 4_000, renewDeadline: 3_000, retryPeriod: 500 };

export function addLeaderOptions(command: Command): Command {
  return command
    .option('--leader-elect', 'lead only while holding the lease (default: true)', true)
    .option('--no-leader-elect', 'lead at once: there must be no other controller')
    .option(
      '--leader-elect-lease-duration <duration>',
      'wait so long for a silent leader',
      duration,
      LEASE_TIMES.leaseDuration,
    )
    .option(
      '--leader-elect-renew-deadline <duration>',
      'lead no more without renewal',
      duration,
      LEASE_TIMES.renewDeadline,
    )
    .option('--leader-elect-retry-period <duration>', 'between two tries', duration, LEASE_TIMES.retryPeriod)
    .option('--leader-elect-resource-name <name>', 'of the Lease', 'fairlead-controller')
    .option('--leader-elect-resource-namespace <name>', 'of the Lease', ownNamespace());
}

/** Throws UsageError where the times do not fit each other. */
export function leaseTimes(options: LeaderOptions): LeaseTimes {
  const {
    leaderElectLeaseDuration: leaseDuration,
    leaderElectRenewDeadline: renewDeadline,
    leaderElectRetryPeriod: retryPeriod,
  } = options;
  if (leaseDuration < 1_000 || leaseDuration % 1_000 !== 0)
    throw new UsageError(`--leader-elect-lease-duration ${leaseDuration}ms: write whole seconds, 1s or more`);
  if (renewDeadline >= leaseDuration)
    throw new UsageError(
      `--leader-elect-renew-deadline ${renewDeadline}ms: write less than the lease duration, ${leaseDuration}ms`,
    );
  if (retryPeriod <= 0 || retryPeriod * TRY_FACTOR >= renewDeadline)
    throw new UsageError(
      `--leader-elect-retry-period ${retryPeriod}ms: write more than 0 and less than the renew deadline (${renewDeadline}ms) divided by ${TRY_FACTOR}`,
    );
  return { leaseDuration, renewDeadline, retryPeriod };
}

export function leaderElection({ api, log }: Process, options: LeaderOptions): LeaderElection {
  return new LeaderElection({
    api,
    lease: { name: options.leaderElectResourceName, namespace: options.leaderElectResourceNamespace },
    // Of this process alone: a second one on the same host is another candidate.
    identity: `${hostname()}_${randomUUID()}`,
    times: leaseTimes(options),
    clock: systemClock,
    random: Math.random,
    log,
  });
}
