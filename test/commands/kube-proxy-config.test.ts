// A cluster's kube-proxy configuration as the agent's flags.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, expect, it } from 'vitest';
import { agentCommand } from '../../src/commands/agent.ts';
import {
  addConntrackFlags,
  type ConntrackFlags,
  conntrackSettings,
} from '../../src/commands/conntrack-options.ts';
import { type ForwardingFlags, trafficOptions } from '../../src/commands/forwarding-options.ts';
import { applyKubeProxyConfig, readKubeProxyConfig } from '../../src/commands/kube-proxy-config.ts';
import { formatRange } from '../../src/net/range.ts';

const folder = mkdtempSync(join(tmpdir(), 'fairlead-config-'));
const FILE = join(folder, 'config.conf');
afterAll(() => rmSync(folder, { recursive: true }));

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** The agent's options from a file with this text and these words. */
function read(text: string, ...words: readonly string[]) {
  writeFileSync(FILE, text);
  const command = agentCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  command.action(() => {}).parse(['--config', FILE, ...words], { from: 'user' });
  const config = readKubeProxyConfig(FILE);
  applyKubeProxyConfig(command, FILE, config);
  return { options: command.opts(), ignored: config.ignored };
}

/** As kubeadm writes it. */
const KUBEADM = `${HEAD}bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:244::/32
configSyncPeriod: 0s
conntrack:
  maxPerCore: 1000
  min: null
  tcpBeLiberal: true
  tcpCloseWaitTimeout: 1h30m0s
  tcpEstablishedTimeout: null
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: "node-7"
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs: {}
logging: {flushFrequency: 0}
metricsBindAddress: 0.0.0.0
mode: nftables
nftables:
  masqueradeAll: true
nodePortAddresses: [192.0.2.0/24, "primary"]
oomScoreAdj: null
portRange: ""
`;

it('is read into flags', () => {
  const { options } = read(KUBEADM);
  expect(options).toMatchObject({
    nodeName: 'node-7',
    kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
    metricsBindAddress: '0.0.0.0:10249',
    healthzBindAddress: '0.0.0.0:10256',
  });
  const { detection, masqueradeAll, nodePortAddresses } = trafficOptions(options as ForwardingFlags);
  expect(detection.kind === 'cluster-cidr' && detection.ranges.map(formatRange)[0]).toBe(
    '10.244.0.0-10.244.255.255',
  );
  expect(masqueradeAll).toBe(true);
  expect([nodePortAddresses.primary, nodePortAddresses.ranges.map(formatRange)]).toEqual([
    true,
    ['192.0.2.0-192.0.2.255'],
  ]);
  expect(conntrackSettings(options as ConntrackFlags)).toEqual({
    maxPerCore: 1_000,
    min: 131_072,
    tcpEstablishedTimeout: 86_400,
    tcpCloseWaitTimeout: 5_400,
    udpTimeout: 0,
    udpStreamTimeout: 0,
    tcpBeLiberal: true,
  });
});

it('is outranked by flags', () => {
  const { options } = read(
    KUBEADM,
    '--node-name',
    'other',
    '--metrics-bind-address',
    '[::1]:1',
    '--masquerade-all=false',
  );
  expect(options).toMatchObject({ nodeName: 'other', metricsBindAddress: '[::1]:1', masqueradeAll: false });
  expect(read(KUBEADM, '--hostname-override', 'other').options).toMatchObject({ nodeName: 'other' });
});

it('says which of its fields have no effect', () => {
  expect(read(KUBEADM).ignored).toEqual([
    'clientConnection.burst',
    'clientConnection.qps',
    'configSyncPeriod',
    'iptables.minSyncPeriod',
    'iptables.syncPeriod',
    'logging',
  ]);
  expect(read(`${HEAD}mode: ipvs\nipvs: {scheduler: lc}\nbindAddress: 192.0.2.1\n`).ignored).toEqual([
    'mode',
    'ipvs',
    'bindAddress',
  ]);
});

it('gives an address without a port the usual one', () => {
  expect(read(`${HEAD}healthzBindAddress: "::"\nmetricsBindAddress: "[::1]:99"\n`).options).toMatchObject({
    healthzBindAddress: '[::]:10256',
    metricsBindAddress: '[::1]:99',
  });
});

it.each([
  [`${HEAD}clusterCidr: 10.244.0.0/16`, 'there is no field clusterCidr; correct its name or remove it'],
  [`${HEAD}conntrack: {max: 5}`, 'there is no field conntrack.max'],
  [`${HEAD}conntrack: {min: many}`, 'conntrack.min: "many" is invalid. Write a whole number'],
  [`${HEAD}conntrack: {udpTimeout: 1.5s}`, 'Write a duration in whole seconds'],
  [`${HEAD}detectLocalMode: Guess`, 'Allowed choices are ClusterCIDR'],
  [`${HEAD}clusterCIDR: {a: b}`, 'clusterCIDR is a map; write a value'],
  [`${HEAD}conntrack: 5`, 'conntrack is no map'],
  ['kind: Pod\napiVersion: v1', 'apiVersion is "v1", kind "Pod"; write kubeproxy.config.k8s.io/v1alpha1'],
  ['- 1', 'this is no KubeProxyConfiguration'],
  ['a: [', 'this is no YAML'],
])('is refused: %j', (text, message) => {
  expect(() => read(text)).toThrow(message);
});

it('is to be there', () => {
  expect(() => readKubeProxyConfig('/nowhere/config.conf')).toThrow(
    '--config: "/nowhere/config.conf": cannot be read (ENOENT); name a file that exists',
  );
});

it.each([
  ['--conntrack-min', '-1', 'Write a whole number'],
  ['--conntrack-udp-timeout', '10', 'such as 24h, 1h30m or 90s'],
  ['--conntrack-udp-timeout', '', 'such as 24h, 1h30m or 90s'],
])('%s %s is refused', (flag, value, message) => {
  const command = addConntrackFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  expect(() => command.parse([`${flag}=${value}`], { from: 'user' })).toThrow(message);
});
