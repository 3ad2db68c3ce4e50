// The agent's flags for forwarding, under kube-proxy's names and with its meanings.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parsePrefix, type Range } from '../net/range.ts';
import type { LocalDetection, TrafficOptions } from '../proxy/node.ts';
import { COUNTINGS, type Counting, DEFAULT_RULES } from '../proxy/rules.ts';
import { boolean } from './conntrack-options.ts';
import { UsageError } from './usage-error.ts';

export interface ForwardingFlags {
  readonly clusterCidr: readonly Range[];
  readonly detectLocalMode: (typeof MODES)[number];
  readonly podBridgeInterface?: string;
  readonly podInterfaceNamePrefix?: string;
  readonly masqueradeAll: boolean;
  readonly iptablesMasqueradeBit: number;
  readonly serviceCounters: Counting;
  readonly resetStaleTcp: boolean;
  readonly nodeportAddresses: TrafficOptions['nodePortAddresses'];
}

const MODES = ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'] as const;

export function addForwardingFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--detect-local-mode <mode>', 'how pods are told from clients outside the cluster')
        .choices(MODES)
        .default('ClusterCIDR'),
    )
    .option('--cluster-cidr <prefixes>', 'addresses of all pods (mode ClusterCIDR)', prefixes, [])
    .option('--pod-bridge-interface <name>', 'the bridge that pods are behind (mode BridgeInterface)')
    .option('--pod-interface-name-prefix <text>', 'how pods’ interfaces begin (mode InterfaceNamePrefix)')
    .option(
      '--masquerade-all [true|false]',
      'masquerade everything that goes to a cluster address',
      boolean,
      false,
    )
    .option(
      '--iptables-masquerade-bit <number>',
      'the bit of the packet mark that means masquerading',
      markBit,
      DEFAULT_RULES.masqueradeBit,
    )
    .addOption(
      new Option('--service-counters <what>', 'what is counted for each Service')
        .choices(COUNTINGS)
        .default(DEFAULT_RULES.counting),
    )
    .option('--reset-stale-tcp [true|false]', 'reset connections whose endpoint is gone', boolean, false)
    .option(
      '--nodeport-addresses <list>',
      'addresses that serve node ports: "primary", "localhost", "all", prefixes',
      nodePortAddresses,
      { primary: true, localhost: false, ranges: [] },
    );
}

/** Throws UsageError for flags that do not fit together. */
export function trafficOptions(flags: ForwardingFlags): TrafficOptions {
  const { masqueradeAll, iptablesMasqueradeBit: masqueradeBit, nodeportAddresses } = flags;
  return {
    detection: detectionOf(flags),
    masqueradeAll,
    masqueradeBit,
    nodePortAddresses: nodeportAddresses,
  };
}

function detectionOf(flags: ForwardingFlags): LocalDetection {
  const { detectLocalMode, clusterCidr, podBridgeInterface, podInterfaceNamePrefix } = flags;
  switch (detectLocalMode) {
    case 'ClusterCIDR':
      return { kind: 'cluster-cidr', ranges: clusterCidr };
    case 'NodeCIDR':
      return { kind: 'node-cidr' };
    case 'BridgeInterface':
      return {
        kind: 'interface',
        pods: { name: needed('--pod-bridge-interface', podBridgeInterface), prefix: false },
      };
    case 'InterfaceNamePrefix':
      return {
        kind: 'interface',
        pods: { name: needed('--pod-interface-name-prefix', podInterfaceNamePrefix), prefix: true },
      };
  }
}

/** Linux: an interface's name has at most 15 bytes, and neither blanks nor slashes; quotes and stars mean more to nft. */
function needed(flag: string, name: string | undefined): string {
  if (name === undefined)
    throw new UsageError(`--detect-local-mode needs ${flag}; add it, or choose another mode`);
  if (!/^[^\s/"*]{1,15}$/.test(name))
    throw new UsageError(
      `${flag}: "${name}" is no name of an interface; write 1 to 15 characters, such as cni0`,
    );
  return name;
}

function markBit(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) > 31)
    throw new InvalidArgumentError('Write a number from 0 to 31.');
  return Number(text);
}

function prefixes(text: string): Range[] {
  return text.split(',').map((part) => {
    const read = parsePrefix(part.trim());
    if (read.kind === 'malformed') throw new InvalidArgumentError(`"${part.trim()}" ${read.problem}.`);
    return read.value;
  });
}

function nodePortAddresses(text: string): TrafficOptions['nodePortAddresses'] {
  const parts = text.split(',').map((part) => part.trim());
  const words = ['primary', 'localhost', 'all'];
  const rest = parts.filter((part) => !words.includes(part));
  if (parts.includes('all')) rest.push('0.0.0.0/0', '::/0');
  return {
    primary: parts.includes('primary'),
    localhost: parts.includes('localhost') || parts.includes('all'),
    ranges: rest.length > 0 ? prefixes(rest.join()) : [],
  };
}
