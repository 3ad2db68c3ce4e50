// kube-proxy's flags that mean nothing to us: taken all the same, so that a cluster changes over by changing the command.
import { type Command, Option } from 'commander';

/** kube-proxy 1.36. Not `--init-only`, `--master` and `--write-config-to`: who asks for those expects what they do. */
const VALUES = [
  'bind-address',
  'boot-id-file',
  'config-sync-period',
  'feature-gates',
  'iptables-min-sync-period',
  'iptables-sync-period',
  'ipvs-exclude-cidrs',
  'ipvs-min-sync-period',
  'ipvs-scheduler',
  'ipvs-sync-period',
  'ipvs-tcp-timeout',
  'ipvs-tcpfin-timeout',
  'ipvs-udp-timeout',
  'kube-api-burst',
  'kube-api-content-type',
  'kube-api-qps',
  'log-flush-frequency',
  'log-text-info-buffer-size',
  'logging-format',
  'machine-id-file',
  'oom-score-adj',
  'proxy-mode',
  'show-hidden-metrics-for-version',
  'v',
  'vmodule',
] as const;
const SWITCHES = [
  'bind-address-hard-fail',
  'iptables-localhost-nodeports',
  'ipvs-strict-arp',
  'log-text-split-stream',
  'profiling',
] as const;

export function addKubeProxyFlags(command: Command): Command {
  for (const name of VALUES) command.addOption(new Option(`--${name} <value>`).hideHelp());
  for (const name of SWITCHES) command.addOption(new Option(`--${name} [true|false]`).hideHelp());
  return command;
}

/** Those that were given and have no effect; a mode that is ours, and how much kube-proxy would log, go without saying. */
export function flagsWithoutEffect(command: Command): string[] {
  const given = [...VALUES, ...SWITCHES].filter((name) => {
    const option = command.options.find(({ long }) => long === `--${name}`);
    return option && command.getOptionValueSource(option.attributeName()) === 'cli';
  });
  const { proxyMode } = command.opts<{ readonly proxyMode?: string }>();
  const expected = new Set<string>(['v', ...(proxyMode === 'nftables' ? ['proxy-mode'] : [])]);
  return given.filter((name) => !expected.has(name)).map((name) => `--${name}`);
}
