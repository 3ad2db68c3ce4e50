// The constant rules, as text for `nft -f`: written once, and not changed by any Service or endpoint.
// A person reads the same in `nft list ruleset`. Needs kernel 5.13 and nft 1.0.1.
import { createHash } from 'node:crypto';
import type { Family } from '../net/address.ts';

/**
 * Our table, and the name that a successor with other rules fills its own under: both are there only from its start
 * until its elements are complete, and then it takes the hooks over in one transaction.
 */
export const TABLES = ['fairlead', 'fairlead-2'] as const;
export type TableName = (typeof TABLES)[number];

/**
 * A packet for a Service carries a mark between two of our own chains of one hook, and nowhere else:
 * these eight bits say that the mark is ours, the next that the source is to be masqueraded, the rest is the id.
 */
export const MARK_PREFIX = 0xfa00_0000;
export const MARK_MASQUERADE = 0x0080_0000;
export const MOST_IDS = 0x007f_ffff;

/** What stays on the packet until postrouting: the bit that kube-proxy uses for the same. */
const MASQUERADE_BIT = 0x4000;

/** Chains for up to so many endpoints are there from the start; wider ones are added when they are needed. */
const COMMON_WIDTH = 16;

/**
 * Sets and maps, by what they hold; each once for IPv4 and once for IPv6. What leads to others comes behind them:
 * endpoints are there before frontends lead to them, and go after.
 */
const SETS = [
  'tcp-endpoints',
  'udp-endpoints',
  'sctp-endpoints',
  'hairpins',
  'widths',
  'frontends',
  'nodeports',
  'refused',
  'addresses',
  'pooled',
] as const;
export type SetName = `${(typeof SETS)[number]}${4 | 6}`;
export const SET_NAMES: readonly SetName[] = SETS.flatMap((set): SetName[] => [`${set}4`, `${set}6`]);

export function digitOf(family: Family): 4 | 6 {
  return family === 'IPv4' ? 4 : 6;
}

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
export type ProtocolName = (typeof PROTOCOLS)[number];

/** The chain that picks one of `width` endpoints. */
export function pickChain(protocol: ProtocolName, digit: 4 | 6, width: number): string {
  return `pick${digit}-${protocol}-${width}`;
}

/**
 * The statements that add a chain that `pickChain` has named; harmless where it is there. Each protocol has its own
 * map: nft 1.0.6 adds no rule on a map already in the kernel whose ports are those of any protocol.
 */
export function pickChainText(table: TableName, chain: string): string {
  const [digit, protocol, width] = chain.slice('pick'.length).split('-');
  const to = digit === '4' ? 'ip' : 'ip6';
  return `add chain inet ${table} ${chain}
flush chain inet ${table} ${chain}
add rule inet ${table} ${chain} meta l4proto ${protocol} dnat ${to} to meta mark . numgen random mod ${width} map @${protocol}-endpoints${digit}
`;
}

const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;

function sets(digit: 4 | 6): string {
  const ip = digit === 4 ? 'ip' : 'ip6';
  return `
  # address, protocol, port of a Service -> mark
  map frontends${digit} { typeof ${ip} daddr . meta l4proto . th dport : meta mark; }
  # protocol, port on any of the node's own addresses -> mark
  map nodeports${digit} { typeof meta l4proto . th dport : meta mark; }
  # mark -> the chain for as many endpoints as there are
  map widths${digit} { typeof meta mark : verdict; }
  # mark, index -> endpoint
${PROTOCOLS.map((protocol) => `  map ${protocol}-endpoints${digit} { typeof meta mark . numgen random mod 65536 : ${ip} daddr . ${protocol} dport; }`).join('\n')}
  # endpoints of this node, as source and destination: they may reach themselves
  set hairpins${digit} { typeof ${ip} saddr . ${ip} daddr; }
  # address, protocol, port of a Service without endpoints, where the address may be a machine's own
  set refused${digit} { typeof ${ip} daddr . meta l4proto . th dport; }
  # addresses that are nothing but Services': what arrives for one and has no frontend is refused
  set addresses${digit} { typeof ${ip} daddr; }
  # those of them that our pools gave to load balancers: they answer ping
  set pooled${digit} { typeof ${ip} daddr; }
`;
}

const DEFINITIONS = `${sets(4)}${sets(6)}
  chain services {
    ip daddr @pooled4 icmp type echo-request redirect
    ip6 daddr @pooled6 icmpv6 type echo-request redirect
    meta mark set ip daddr . meta l4proto . th dport map @frontends4 goto pick4
    meta mark set ip6 daddr . meta l4proto . th dport map @frontends6 goto pick6
    # A port of the node: not on loopback, and not on a load balancer's address.
    fib daddr type local ip daddr != 127.0.0.0/8 ip daddr != @pooled4 meta mark set meta l4proto . th dport map @nodeports4 goto pick4
    fib daddr type local ip6 daddr != ::1 ip6 daddr != @pooled6 meta mark set meta l4proto . th dport map @nodeports6 goto pick6
  }
  chain pick4 {
    meta mark vmap @widths4
  }
  chain pick6 {
    meta mark vmap @widths6
  }
  # Behind each hook's translation, before the route is chosen: the id goes, at most the masquerade bit stays.
  chain clear-mark {
    ct status dnat meta mark & ${hex((MARK_PREFIX | MARK_MASQUERADE) >>> 0)} == ${hex((MARK_PREFIX | MARK_MASQUERADE) >>> 0)} meta mark set ${hex(MASQUERADE_BIT)}
    ct status dnat meta mark & 0xff000000 == ${hex(MARK_PREFIX)} meta mark set 0x00000000
  }
  # What is still addressed to a Service now has no frontend, or a frontend without endpoints.
  chain refuse-rest {
    # The announcer has its own copy of a solicitation for a load balancer's address; routing it on helps nobody.
    ip6 daddr @pooled6 icmpv6 type nd-neighbor-solicit drop
    ct state new ip daddr . meta l4proto . th dport @refused4 goto refuse
    ct state new ip6 daddr . meta l4proto . th dport @refused6 goto refuse
    ct state new ip daddr @addresses4 goto refuse
    ct state new ip6 daddr @addresses6 goto refuse
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
    jump clear-mark
    jump refuse-rest
  }
  chain nat-output {
    type nat hook output priority -100; policy accept;
    jump services
  }
  chain filter-output {
    type filter hook output priority -99; policy accept;
    jump clear-mark
    jump refuse-rest
  }
  chain nat-postrouting {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat meta mark & ${hex(MASQUERADE_BIT)} == ${hex(MASQUERADE_BIT)} meta mark set meta mark & ${hex(~MASQUERADE_BIT >>> 0)} masquerade fully-random
    ct status dnat ip saddr . ip daddr @hairpins4 masquerade fully-random
    ct status dnat ip6 saddr . ip6 daddr @hairpins6 masquerade fully-random
  }
`;

/** The chains that `stagingText` makes. */
export function commonPickChains(): string[] {
  const widths = Array.from({ length: COMMON_WIDTH }, (_, i) => i + 1);
  return PROTOCOLS.flatMap((protocol) =>
    widths.flatMap((width) => [pickChain(protocol, 4, width), pickChain(protocol, 6, width)]),
  );
}

/** An empty chain of this name says that a table is in force, and by which rules. */
export const VERSION_CHAIN = `version-${createHash('sha256')
  .update(DEFINITIONS + pickChainText(TABLES[0], pickChain('tcp', 4, 1)))
  .digest('hex')
  .slice(0, 12)}`;

/** Makes this table, whatever was under its name, with the constant rules and empty sets; no packet sees it yet. */
export function stagingText(table: TableName): string {
  return `add table inet ${table} { flags dormant; }
delete table inet ${table}
table inet ${table} {
  flags dormant;
${DEFINITIONS}}
${commonPickChains()
  .map((chain) => pickChainText(table, chain))
  .join('')}`;
}

/** Hands the packets over to this table, in one transaction. */
export function activationText(table: TableName): string {
  return `${TABLES.filter((other) => other !== table)
    .map(removalText)
    .join('')}table inet ${table} {
  chain ${VERSION_CHAIN} {
  }
}
`;
}

/** Removes a table; harmless where there is none. */
export function removalText(table: TableName): string {
  return `add table inet ${table}\ndelete table inet ${table}\n`;
}
