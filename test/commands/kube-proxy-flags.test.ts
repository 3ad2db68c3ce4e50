// A command line of kube-proxy, given to the agent.
import { Command } from 'commander';
import { expect, it } from 'vitest';
import { agentCommand } from '../../src/commands/agent.ts';
import { addKubeProxyFlags, flagsWithoutEffect } from '../../src/commands/kube-proxy-flags.ts';

/** All flags of kube-proxy 1.36.3, from its --help, but those that print and end. */
const FLAGS =
  `bind-address bind-address-hard-fail boot-id-file cleanup cluster-cidr config config-sync-period conntrack-max-per-core
  conntrack-min conntrack-tcp-be-liberal conntrack-tcp-timeout-close-wait conntrack-tcp-timeout-established
  conntrack-udp-timeout conntrack-udp-timeout-stream detect-local-mode feature-gates healthz-bind-address hostname-override
  iptables-localhost-nodeports iptables-masquerade-bit iptables-min-sync-period iptables-sync-period ipvs-exclude-cidrs
  ipvs-min-sync-period ipvs-scheduler ipvs-strict-arp ipvs-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout ipvs-udp-timeout
  kube-api-burst kube-api-content-type kube-api-qps kubeconfig log-flush-frequency log-text-info-buffer-size
  log-text-split-stream logging-format machine-id-file masquerade-all metrics-bind-address nodeport-addresses oom-score-adj
  pod-bridge-interface pod-interface-name-prefix profiling proxy-mode show-hidden-metrics-for-version v vmodule`.split(
    /\s+/,
  );

const parse = (...words: readonly string[]) =>
  addKubeProxyFlags(new Command()).exitOverride().parse(words, { from: 'user' });

it('every flag of kube-proxy is one of the agent', () => {
  const known = agentCommand().options.flatMap(({ long, short }) => [long, short]);
  expect(FLAGS.filter((name) => !known.includes(`--${name}`))).toEqual([]);
});

it('those without effect are named, in any of the forms that kube-proxy takes', () => {
  const command = parse('--ipvs-scheduler=rr', '--profiling', '--iptables-sync-period', '30s');
  expect(flagsWithoutEffect(command)).toEqual(['--iptables-sync-period', '--ipvs-scheduler', '--profiling']);
  expect(flagsWithoutEffect(parse('--profiling=false'))).toEqual(['--profiling']);
});

it('the mode that is ours and a level of logging go without saying; another mode does not', () => {
  expect(flagsWithoutEffect(parse('--proxy-mode=nftables', '--v=2'))).toEqual([]);
  expect(flagsWithoutEffect(parse('--proxy-mode=ipvs'))).toEqual(['--proxy-mode']);
  expect(flagsWithoutEffect(parse())).toEqual([]);
});
