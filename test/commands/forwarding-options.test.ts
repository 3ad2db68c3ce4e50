// kube-proxy's flags, with its meanings.
import { Command } from 'commander';
import { expect, it } from 'vitest';
import {
  addForwardingFlags,
  type ForwardingFlags,
  trafficOptions,
} from '../../src/commands/forwarding-options.ts';
import { formatRange } from '../../src/net/range.ts';

function parse(...words: readonly string[]) {
  const command = addForwardingFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return trafficOptions(command.parse(words, { from: 'user' }).opts<ForwardingFlags>());
}

it('has kube-proxy’s defaults', () => {
  expect(parse()).toEqual({
    detection: { kind: 'cluster-cidr', ranges: [] },
    masqueradeAll: false,
    masqueradeBit: 14,
    nodePortAddresses: { primary: true, localhost: false, ranges: [] },
  });
});

it('reads lists of prefixes with commas', () => {
  const { detection, nodePortAddresses } = parse(
    '--cluster-cidr',
    '10.244.0.0/16,fd00:244::/32',
    '--nodeport-addresses',
    'primary, 192.0.2.0/24',
  );
  expect(detection.kind === 'cluster-cidr' && detection.ranges.map(formatRange)).toHaveLength(2);
  expect(nodePortAddresses.primary).toBe(true);
  expect(nodePortAddresses.ranges.map(formatRange)).toEqual(['192.0.2.0-192.0.2.255']);
});

it('serves node ports on loopback, and on every address, by word', () => {
  expect(parse('--nodeport-addresses', 'primary,localhost').nodePortAddresses).toEqual({
    primary: true,
    localhost: true,
    ranges: [],
  });
  const all = parse('--nodeport-addresses', 'all').nodePortAddresses;
  expect(all).toMatchObject({ primary: false, localhost: true });
  expect(all.ranges.map(formatRange)).toEqual(['0.0.0.0-255.255.255.255', expect.stringMatching(/^::-ffff/)]);
});

it('tells pods by their bridge, or by how their interfaces begin', () => {
  expect(parse('--detect-local-mode', 'BridgeInterface', '--pod-bridge-interface', 'cni0').detection).toEqual(
    {
      kind: 'interface',
      pods: { name: 'cni0', prefix: false },
    },
  );
  const prefix = parse('--detect-local-mode', 'InterfaceNamePrefix', '--pod-interface-name-prefix', 'cali');
  expect(prefix.detection).toEqual({ kind: 'interface', pods: { name: 'cali', prefix: true } });
  expect(parse('--detect-local-mode', 'NodeCIDR').detection).toEqual({ kind: 'node-cidr' });
});

it.each([
  [['--detect-local-mode', 'Guess'], 'Allowed choices are ClusterCIDR'],
  [['--detect-local-mode', 'BridgeInterface'], '--detect-local-mode needs --pod-bridge-interface'],
  [['--detect-local-mode', 'InterfaceNamePrefix'], 'needs --pod-interface-name-prefix'],
  [
    ['--detect-local-mode', 'BridgeInterface', '--pod-bridge-interface', 'a"; drop'],
    '"a"; drop" is no name of an interface',
  ],
  [['--cluster-cidr', '10.244.0.1/16'], 'write 10.244.0.0/16'],
  [['--nodeport-addresses', 'everything'], '"everything" is not a prefix'],
  [['--iptables-masquerade-bit', '32'], 'from 0 to 31'],
  [['--service-counters', 'all'], 'nothing, connections, traffic'],
])('refuses %j', (words, message) => {
  expect(() => parse(...words)).toThrow(message);
});
