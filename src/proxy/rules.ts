// The constant rules, as text for `nft -f`: written once, and not changed by any Service or endpoint.
// A person reads the same in `nft list ruleset`. Needs kernel 5.13 and nft 1.0.1.
import { createHash } from 'node:crypto';
import type { Family } from '../net/address.ts';
import { formatRange, type Range } from '../net/range.ts';
import {
  affinityMaps,
  chainText,
  clientType,
  commonPickChains,
  EVERY_KIND_OF_CHAIN,
  PROTOCOLS,
} from './chains.ts';

/**
 * Our table, and the name that a successor with other rules fills its own under: both are there only from its start
 * until its elements are complete, and then it takes the hooks over in one transaction.
 */
export const TABLES = ['fairlead', 'fairlead-2'] as const;
export type TableName = (typeof TABLES)[number];

/**
 * A packet for a Service carries a mark between two of our own chains of one hook, and nowhere else: these eight bits
 * say that the mark is ours, the lowest 21 are an id, and the three between them how to go on.
 */
export const MARK_PREFIX = 0xfa00_0000;
/** Its source decides between the two lists of endpoints: those of the cluster, and those of this node. */
export const MARK_BY_SOURCE = 0x0080_0000;
/** The list of this node's endpoints. */
export const MARK_LOCAL = 0x0040_0000;
/** The Service has externalTrafficPolicy Local. */
export const MARK_KEEPS_SOURCE = 0x0020_0000;
export const MOST_IDS = 0x001f_ffff;

/** Clients that one protocol and family remember the endpoint of; past it new ones have no affinity. */
const MOST_REMEMBERED = 1_000_000;

/** How pods are told from others where it is not by address: the interface that their packets come in by. */
export interface PodInterface {
  readonly name: string;
  /** Whether the name is only the beginning. */
  readonly prefix: boolean;
}

/** What is counted for each Service: nothing, new connections, or packets and bytes too. */
export const COUNTINGS = ['nothing', 'connections', 'traffic'] as const;
export type Counting = (typeof COUNTINGS)[number];

/** What the constant rules depend on, besides nothing. */
export interface RuleOptions {
  /** Absent: pods are told from others by address. */
  readonly podInterface?: PodInterface | undefined;
  /** 0 to 31: the bit of the mark that says, until postrouting, that a packet is to be masqueraded. */
  readonly masqueradeBit: number;
  readonly counting: Counting;
}

/** Bit 14, as kube-proxy. */
export const DEFAULT_RULES: RuleOptions = { masqueradeBit: 14, counting: 'connections' };

/**
 * Sets and maps, by what they hold; each once for IPv4 and once for IPv6. What leads to others comes behind them:
 * endpoints are there before frontends lead to them, and go after.
 */
const SETS = [
  'tcp-endpoints',
  'udp-endpoints',
  'sctp-endpoints',
  'hairpins',
  'connections',
  'node-connections',
  'received',
  'node-received',
  'sent',
  'node-sent',
  'timeouts',
  'widths',
  'sources',
  'guards',
  'nodes',
  'frontends',
  'nodeports',
  'refused',
  'cluster',
  'pooled',
] as const;
export type SetName = `${(typeof SETS)[number]}${4 | 6}`;
export const SET_NAMES: readonly SetName[] = SETS.flatMap((set): SetName[] => [`${set}4`, `${set}6`]);

/** Whether a set's elements are ranges: the lowest key and the highest, one behind the other. */
export function holdsRanges(set: SetName): boolean {
  return set.startsWith('sources');
}

export function digitOf(family: Family): 4 | 6 {
  return family === 'IPv4' ? 4 : 6;
}

const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;

function sets(digit: 4 | 6): string {
  const ip = digit === 4 ? 'ip' : 'ip6';
  const affinity = PROTOCOLS.map((protocol) => {
    const { address, port } = affinityMaps(protocol, digit);
    const key = `typeof meta mark . ${clientType(digit)}`;
    const rest = `flags dynamic,timeout; size ${MOST_REMEMBERED};`;
    return `  map ${address} { ${key} : ${ip} daddr; ${rest} }
  map ${port} { ${key} : ${protocol} dport; ${rest} }
`;
  }).join('');
  return `
  # address, protocol, port of a Service -> mark
  map frontends${digit} { typeof ${ip} daddr . meta l4proto . th dport : meta mark; }
  # protocol, port on the node's addresses -> mark
  map nodeports${digit} { typeof meta l4proto . th dport : meta mark; }
  # the node's addresses that serve node ports
  set nodes${digit} { typeof ${ip} daddr; }
  # mark -> the chain for as many endpoints as there are
  map widths${digit} { typeof meta mark : verdict; }
  # mark, index -> endpoint
${PROTOCOLS.map((protocol) => `  map ${protocol}-endpoints${digit} { typeof meta mark . numgen random mod 65536 : ${ip} daddr . ${protocol} dport; }`).join('\n')}
  # mark -> the chain that remembers a client's endpoint for as long as its Service wants
  map timeouts${digit} { typeof meta mark : verdict; }
  # mark, client -> endpoint
${affinity}  # endpoints of this node, as source and destination: they may reach themselves
  set hairpins${digit} { typeof ${ip} saddr . ${ip} daddr; }
  # address, protocol, port of a load balancer that lets in only a list of sources -> the list
  map guards${digit} { typeof ${ip} daddr . meta l4proto . th dport : meta mark; }
  set sources${digit} { typeof meta mark . ${ip} saddr; flags interval; }
  # address, protocol, port of a Service without endpoints, where the address may be a machine's own
  set refused${digit} { typeof ${ip} daddr . meta l4proto . th dport; }
  # what is counted, by address, protocol, port of a Service or by protocol, port on the node's addresses
  set connections${digit} { typeof ${ip} daddr . meta l4proto . th dport; counter; }
  set node-connections${digit} { typeof meta l4proto . th dport; counter; }
  set received${digit} { typeof ${ip} daddr . meta l4proto . th dport; counter; }
  set node-received${digit} { typeof meta l4proto . th dport; counter; }
  set sent${digit} { typeof ${ip} saddr . meta l4proto . th sport; counter; }
  set node-sent${digit} { typeof meta l4proto . th sport; counter; }
  # cluster addresses of Services: what arrives for one and has no frontend is refused
  set cluster${digit} { typeof ${ip} daddr; }
  # what our pools gave to load balancers: the same, and they answer ping
  set pooled${digit} { typeof ${ip} daddr; }
  # where pods are; what needs no masquerading on the way to a cluster address; where cluster addresses come from
  set pods${digit} { typeof ${ip} saddr; flags interval; }
  set inside${digit} { typeof ${ip} saddr; flags interval; }
  set allocated-from${digit} { typeof ${ip} daddr; flags interval; }
`;
}

/** The rules that differ by family. */
function familyChains(digit: 4 | 6, pods: PodInterface | undefined): string {
  const ip = digit === 4 ? 'ip' : 'ip6';
  const byInterface = pods && JSON.stringify(pods.prefix ? `${pods.name}*` : pods.name);
  const fromPod = pods ? `iifname ${byInterface}` : `${ip} saddr @pods${digit}`;
  const fromOutside = pods ? `iifname != ${byInterface} ` : '';
  return `
  chain pick${digit} {
    meta mark vmap @widths${digit}
    meta mark & ${hex(MARK_BY_SOURCE)} == ${hex(MARK_BY_SOURCE)} goto by-source${digit}
    # This node has no endpoint, but others do: the client tries elsewhere.
    meta mark & ${hex(MARK_LOCAL)} == ${hex(MARK_LOCAL)} drop
  }
  # externalTrafficPolicy Local: pods and the node itself reach every endpoint, all others those of this node.
  chain by-source${digit} {
    ${fromPod} goto every-endpoint${digit}
    fib saddr type local goto every-endpoint${digit}
    meta mark set meta mark ^ ${hex(MARK_BY_SOURCE | MARK_LOCAL)}
    meta mark vmap @widths${digit}
    drop
  }
  chain every-endpoint${digit} {
    meta mark set meta mark ^ ${hex(MARK_BY_SOURCE)}
    meta mark vmap @widths${digit}
  }
  # To a cluster address: from outside the cluster, the answer must come back through this node.
  chain internal${digit} {
    ${fromOutside}${ip} saddr != @inside${digit} goto masquerade-later
    goto unmark
  }
`;
}

/** A connection is counted with its first packet, before it is translated. */
function countConnections(): string {
  return `    ip daddr . meta l4proto . th dport @connections4
    ip6 daddr . meta l4proto . th dport @connections6
    ip daddr @nodes4 ip daddr != @pooled4 meta l4proto . th dport @node-connections4
    ip6 daddr @nodes6 ip6 daddr != @pooled6 meta l4proto . th dport @node-connections6
`;
}

/** All later packets of it: as the client addresses them, and as it gets the answers. Each passes one of two hooks. */
function countTraffic(): string {
  const received = `    ct status dnat ct direction original goto count-received`;
  const sent = `    ct status dnat ct direction reply goto count-sent`;
  return `
  chain count-received {
    ip daddr . meta l4proto . th dport @received4 accept
    ip6 daddr . meta l4proto . th dport @received6 accept
    ip daddr @nodes4 meta l4proto . th dport @node-received4
    ip6 daddr @nodes6 meta l4proto . th dport @node-received6
  }
  chain count-sent {
    ip saddr . meta l4proto . th sport @sent4 accept
    ip6 saddr . meta l4proto . th sport @sent6 accept
    ip saddr @nodes4 meta l4proto . th sport @node-sent4
    ip6 saddr @nodes6 meta l4proto . th sport @node-sent6
  }
  chain count-prerouting {
    type filter hook prerouting priority -101; policy accept;
${received}
  }
  chain count-output {
    type filter hook output priority -101; policy accept;
${received}
  }
  chain count-postrouting {
    type filter hook postrouting priority 101; policy accept;
${sent}
  }
  chain count-input {
    type filter hook input priority 101; policy accept;
${sent}
  }
`;
}

function definitions({ podInterface: pods, masqueradeBit, counting }: RuleOptions): string {
  const masquerade = (1 << masqueradeBit) >>> 0;
  return `${sets(4)}${sets(6)}
  chain services {
    ip daddr @pooled4 icmp type echo-request redirect
    ip6 daddr @pooled6 icmpv6 type echo-request redirect
    meta mark set ip daddr . meta l4proto . th dport map @guards4 meta mark . ip saddr != @sources4 drop
    meta mark set ip6 daddr . meta l4proto . th dport map @guards6 meta mark . ip6 saddr != @sources6 drop
${counting === 'nothing' ? '' : countConnections()}    meta mark set ip daddr . meta l4proto . th dport map @frontends4 goto pick4
    meta mark set ip6 daddr . meta l4proto . th dport map @frontends6 goto pick6
    # A port of the node: not on a load balancer's address, even where the node has it.
    ip daddr @nodes4 ip daddr != @pooled4 meta mark set meta l4proto . th dport map @nodeports4 goto pick4
    ip6 daddr @nodes6 ip6 daddr != @pooled6 meta mark set meta l4proto . th dport map @nodeports6 goto pick6
  }
${familyChains(4, pods)}${familyChains(6, pods)}
  # Behind each hook's translation, before the route is chosen: the id goes, at most the masquerade bit stays.
  chain settle {
    meta mark vmap @timeouts4
    meta mark vmap @timeouts6
    goto settled
  }
  chain settled {
    ct original ip daddr @cluster4 goto internal4
    ct original ip6 daddr @cluster6 goto internal6
    meta mark & ${hex(MARK_LOCAL | MARK_KEEPS_SOURCE)} == 0x00000000 goto masquerade-later
    meta mark & ${hex(MARK_LOCAL)} == 0x00000000 fib saddr type local goto masquerade-later
    goto unmark
  }
  chain masquerade-later {
    meta mark set ${hex(masquerade)}
  }
  chain unmark {
    meta mark set 0x00000000
  }
  # What is still addressed to a Service now has no frontend, or a frontend without endpoints.
  chain refuse-rest {
    # The announcer has its own copy of a solicitation for a load balancer's address; routing it on helps nobody.
    ip6 daddr @pooled6 icmpv6 type nd-neighbor-solicit drop
    ct state new goto refuse-new
  }
  chain refuse-new {
    ip daddr . meta l4proto . th dport @refused4 goto refuse
    ip6 daddr . meta l4proto . th dport @refused6 goto refuse
    ip daddr @cluster4 goto refuse
    ip6 daddr @cluster6 goto refuse
    ip daddr @pooled4 goto refuse
    ip6 daddr @pooled6 goto refuse
    # No Service has this address: it would only be routed in circles.
    ip daddr @allocated-from4 drop
    ip6 daddr @allocated-from6 drop
  }
  # A reset ends a local connect() at once, where an ICMP error would be met by a locked socket and a second's wait.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx type port-unreachable
  }
  chain nat-prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump services
  }
  chain filter-prerouting {
    type filter hook prerouting priority -99; policy accept;
    meta mark & 0xff000000 == ${hex(MARK_PREFIX)} ct status dnat jump settle
    jump refuse-rest
  }
  chain nat-output {
    type nat hook output priority -100; policy accept;
    jump services
  }
  chain filter-output {
    type filter hook output priority -99; policy accept;
    meta mark & 0xff000000 == ${hex(MARK_PREFIX)} ct status dnat jump settle
    jump refuse-rest
  }
  chain nat-postrouting {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat meta mark & ${hex(masquerade)} == ${hex(masquerade)} meta mark set meta mark & ${hex(~masquerade >>> 0)} masquerade fully-random
    ct status dnat ip saddr . ip daddr @hairpins4 masquerade fully-random
    ct status dnat ip6 saddr . ip6 daddr @hairpins6 masquerade fully-random
  }
${counting === 'traffic' ? countTraffic() : ''}`;
}

/** Sets of ranges that hardly ever change, and are written by `nft`. */
export const RANGE_SETS = ['pods', 'inside', 'allocated-from'] as const;
export type RangeSets = Readonly<Record<(typeof RANGE_SETS)[number], readonly Range[]>>;

/** Replaces what is in the sets of ranges; ranges of one set must not overlap. */
export function rangeText(table: TableName, ranges: RangeSets): string {
  return RANGE_SETS.flatMap((set) =>
    (['IPv4', 'IPv6'] as const).map((family) => {
      const name = `inet ${table} ${set}${digitOf(family)}`;
      const elements = ranges[set].filter((range) => range.family === family).map(formatRange);
      const added = elements.length > 0 ? `add element ${name} { ${elements.join(', ')} }\n` : '';
      return `flush set ${name}\n${added}`;
    }),
  ).join('');
}

export const VERSION_PREFIX = 'version-';
/** Of the empty chain whose name says how the kernel has the rules: see `intactChain`. */
export const INTACT_PREFIX = 'intact-';

/** An empty chain of this name says that a table is in force, and by which rules. */
export function versionChain(options: RuleOptions): string {
  const text =
    definitions(options) + EVERY_KIND_OF_CHAIN.map((chain) => chainText(TABLES[0], chain)).join('');
  return `${VERSION_PREFIX}${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
}

/** Makes this table, whatever was under its name, with the constant rules and empty sets; no packet sees it yet. */
export function stagingText(table: TableName, options: RuleOptions): string {
  return `add table inet ${table} { flags dormant; }
delete table inet ${table}
table inet ${table} {
  flags dormant;
${definitions(options)}}
${commonPickChains()
  .map((chain) => chainText(table, chain))
  .join('')}`;
}

/** Hands the packets over to this table, which gets these empty chains, in one transaction. */
export function activationText(table: TableName, chains: readonly string[]): string {
  return `${TABLES.filter((other) => other !== table)
    .map(removalText)
    .join('')}table inet ${table} {
${chains.map((chain) => `  chain ${chain} {\n  }\n`).join('')}}
`;
}

/** Removes a table; harmless where there is none. */
export function removalText(table: TableName): string {
  return `add table inet ${table}\ndelete table inet ${table}\n`;
}
