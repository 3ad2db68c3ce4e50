// `fairlead agent`: on one node, announces the addresses that this node owns and forwards Service traffic.
import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ConflictPolicy } from '../arp/address-checks.ts';
import { DEFAULT_EXCLUDED } from '../arp/eligible-interfaces.ts';
import { systemClock } from '../clock/clock.ts';
import { NODES, SERVICES } from '../kube/resources.ts';
import { MEMBERSHIP_PORT } from '../membership/udp.ts';
import { type Page, serveHttp } from '../observe/http-server.ts';
import { createLogger } from '../observe/logger.ts';
import { applyConntrackSettings, conntrackValues } from '../proxy/conntrack-settings.ts';
import { removeKubeProxyRules } from '../proxy/kube-proxy-rules.ts';
import { removeRules } from '../proxy/removal.ts';
import { startAnnouncing } from './agent-announcing.ts';
import { startForwarding } from './agent-forwarding.ts';
import { startHandovers } from './agent-handover.ts';
import type { WithoutQuorum } from './agent-leases.ts';
import { AgentState } from './agent-state.ts';
import { addConntrackFlags, type ConntrackFlags, conntrackSettings } from './conntrack-options.ts';
import { readExcluded } from './excluded-interfaces.ts';
import { addForwardingFlags, type ForwardingFlags, trafficOptions } from './forwarding-options.ts';
import { applyKubeProxyConfig, readKubeProxyConfig } from './kube-proxy-config.ts';
import { addKubeProxyFlags, flagsWithoutEffect } from './kube-proxy-flags.ts';
import { MachineError } from './machine-error.ts';
import {
  bindAddress,
  type CommonOptions,
  MEMBERSHIP_NAME,
  ownNamespace,
  processCommand,
  udpPort,
} from './options.ts';
import { followingOnce, type Process, startProcess } from './processes.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { UsageError } from './usage-error.ts';

interface AgentOptions extends CommonOptions, ForwardingFlags, ConntrackFlags {
  readonly nodeName: string;
  readonly cleanup: boolean;
  readonly removeKubeProxyRules: boolean;
  readonly announce: boolean;
  readonly proxy: boolean;
  readonly excludeInterfaces: RegExp;
  readonly excludeInterfacesFile?: string;
  readonly onConflict: ConflictPolicy;
  readonly avoidCordoned: boolean;
  readonly membershipNamespace: string;
  readonly membershipPort: number;
  readonly withoutQuorum: WithoutQuorum;
  readonly metricsBindAddress: string;
  readonly healthzBindAddress: string;
}

/** Milliseconds until what failed is tried again. */
const RETRY = 1_000;

export function agentCommand(): Command {
  const command = processCommand('agent', 'announces and forwards on one node (DaemonSet)')
    .option(
      '--hostname-override, --node-name <name>',
      'the Node object of this machine (or NODE_NAME)',
      process.env.NODE_NAME,
    )
    .option('--config <file>', 'a KubeProxyConfiguration; flags outrank what it says')
    .option('--remove-kube-proxy-rules', 'remove what kube-proxy left in the kernel, at the start', false)
    .option('--cleanup', 'take our rules out of the kernel, and end', false)
    .option('--no-announce', 'forward only: do not answer ARP or NDP')
    .option('--no-proxy', 'announce only: leave forwarding to another service proxy')
    .addOption(
      new Option('--exclude-interfaces <regex>', 'names of interfaces never announced on')
        .argParser(regularExpression)
        .default(new RegExp(DEFAULT_EXCLUDED), DEFAULT_EXCLUDED),
    )
    .option(
      '--exclude-interfaces-file <file>',
      'in its place: such expressions, one a line, in a file that is read again when it changes',
    )
    .addOption(
      new Option(
        '--on-conflict <what>',
        'an address that another host has: not announced, or announced all the same',
      )
        .choices(['withhold', 'keep'])
        .default('withhold'),
    )
    .option('--avoid-cordoned', 'no address is announced from a cordoned node, as while it is drained', false)
    .option(
      '--membership-namespace <name>',
      `of the ConfigMap and the Secret ${MEMBERSHIP_NAME}`,
      ownNamespace(),
    )
    .option('--membership-port <port>', 'UDP, the same on every node', udpPort, MEMBERSHIP_PORT)
    .addOption(
      new Option(
        '--without-quorum <what>',
        'while a majority of the voters is not heard: fall silent, or announce by Node readiness',
      )
        .choices(['wait', 'announce'])
        .default('wait'),
    )
    .option('--metrics-bind-address <host:port>', '/metrics', bindAddress, '127.0.0.1:10249')
    .option('--healthz-bind-address <host:port>', '/healthz, /livez, /readyz', bindAddress, '0.0.0.0:10256');
  addKubeProxyFlags(addConntrackFlags(addForwardingFlags(command)));
  return command.action(() => {
    const { config } = command.opts<{ readonly config?: string }>();
    const file = config === undefined ? undefined : readKubeProxyConfig(config);
    if (config !== undefined && file) applyKubeProxyConfig(command, config, file);
    const options = command.opts<Omit<AgentOptions, 'nodeName'> & { readonly nodeName?: string }>();
    if (options.cleanup) return runUntilSignal(() => cleanUp(options));
    const { nodeName } = options;
    if (nodeName === undefined)
      throw new UsageError("--node-name (or NODE_NAME) is missing; write the name of this machine's Node");
    const ignored = { fields: file?.ignored ?? [], flags: flagsWithoutEffect(command) };
    const { excludeInterfacesFile: patterns } = options;
    const excludeInterfaces = patterns === undefined ? options.excludeInterfaces : readExcluded(patterns);
    return runUntilSignal((signal) => runAgent({ ...options, excludeInterfaces, nodeName }, ignored, signal));
  });
}

/** To be called when no agent runs on this node: it would put its rules back. */
async function cleanUp({ logLevel }: Pick<AgentOptions, 'logLevel'>): Promise<void> {
  await removeRules().catch((error: Error) => {
    throw new MachineError(`the agent cannot clean up: ${error.message}`);
  });
  createLogger({ component: 'agent', level: logLevel }).info('took our rules out of the kernel');
}

function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError(`Write a regular expression: ${(error as SyntaxError).message}.`);
  }
}

/** `ignored`: fields of the configuration file, and flags, that have no effect. */
async function runAgent(
  options: AgentOptions,
  ignored: { readonly fields: readonly string[]; readonly flags: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  const traffic = trafficOptions(options);
  const agent = followingOnce(await startProcess('agent', options, signal));
  const { fields, flags } = ignored;
  if (fields.length > 0)
    agent.log.warn({ fields }, 'these fields of the file that --config names have no effect');
  if (flags.length > 0) agent.log.warn({ flags }, 'these flags of kube-proxy have no effect');
  const services = agent.follow(SERVICES);
  const nodes = agent.follow(NODES);
  const changes = new Changes(signal);
  const onChange = () => changes.notice();
  const state = new AgentState(systemClock, () => nodes.store.get(options.nodeName));
  servePages(agent, options, state, signal);

  const classes = { classes: new Set(options.lbClass), classless: options.classless };
  if (options.proxy) await prepareMachine(agent, options);
  const handovers = options.proxy && options.announce ? startHandovers(agent, nodes.store) : undefined;
  const [forwarding, announcing] = await Promise.all([
    options.proxy
      ? startForwarding(
          agent,
          { services, nodes },
          {
            nodeName: options.nodeName,
            traffic,
            counting: options.serviceCounters,
            resetStaleTcp: options.resetStaleTcp,
            healthy: () => state.works,
          },
          onChange,
        )
      : undefined,
    options.announce
      ? startAnnouncing(agent, services, nodes, { ...options, classes }, handovers, onChange)
      : undefined,
  ]).catch((error: Error) => {
    throw new MachineError(`the agent cannot start: ${error.message}`);
  });
  while (!signal.aborted) {
    changes.begin();
    try {
      // Silence first, then rules, then answers: an address is never answered for without its rules.
      announcing?.withdraw();
      await forwarding?.sync();
      announcing?.announce((address) => forwarding?.serves(address) ?? true);
      // What a dead node had is claimed first: to pass over its endpoints may take as long as there are Services.
      if (announcing && forwarding?.skipNodes(announcing.deadNodes)) await forwarding.sync();
      forwarding?.cleanFlows();
      state.succeeded();
      if (!state.ready && (forwarding?.synced ?? true) && (announcing?.synced ?? true)) {
        state.ready = true;
        agent.log.info({ milliseconds: Math.round(performance.now()) }, 'ready');
      }
    } catch (error) {
      const { message } = error as Error; // NetlinkError, or nft's words
      if (state.problem !== message)
        agent.log.error({ error: message }, 'bringing this node up to date failed; will try again');
      state.failed(message);
      systemClock.setTimer(RETRY, onChange);
    }
    await changes.next();
  }
  await announcing?.close();
  await handovers?.close();
  forwarding?.close();
  await agent.stopped();
}

/** What the kernel is to be like before we forward; a machine where it cannot be changed forwards all the same. */
async function prepareMachine({ log }: Process, options: AgentOptions): Promise<void> {
  const values = conntrackValues(conntrackSettings(options), availableParallelism());
  applyConntrackSettings(values, log);
  if (!options.removeKubeProxyRules) return;
  const removed = await removeKubeProxyRules().catch((error: Error) => {
    throw new MachineError(`the agent cannot remove kube-proxy's rules: ${error.message}`);
  });
  log.info({ removed }, 'removed what kube-proxy left');
}

function servePages(
  { registry, log }: Process,
  { metricsBindAddress, healthzBindAddress }: AgentOptions,
  state: AgentState,
  signal: AbortSignal,
): void {
  const pages = { registry, health: (page: Page) => state.health(page), clock: systemClock, log, signal };
  for (const [flag, address] of [
    ['--metrics-bind-address', metricsBindAddress],
    ['--healthz-bind-address', healthzBindAddress],
  ] as const) {
    serveHttp({ ...pages, flag, address }).catch((error) => log.error({ error }, 'serving pages failed'));
  }
}

/** Gathers changes while one round of work is under way, for the next. */
class Changes {
  #noticed = Promise.withResolvers<void>();

  constructor(signal: AbortSignal) {
    signal.addEventListener('abort', () => this.notice());
  }

  notice(): void {
    this.#noticed.resolve();
  }

  /** What is noticed from now on asks for another round. */
  begin(): void {
    this.#noticed = Promise.withResolvers();
  }

  /** Resolves when there is something to do. */
  next(): Promise<void> {
    return this.#noticed.promise;
  }
}
