// The constant rules, as text for `nft -f`: written once, and not changed by any Service or endpoint.
// A person reads the same in `nft list ruleset`. Needs kernel 5.13 and nft 1.0.1.
import { createHash } from 'node:crypto';
import type { Family } from '../net/address.ts';

export const TABLE = 'fairlead';

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

/** Sets and maps, by what they hold; each once for IPv4 and once for IPv6. */
export const SETS = [
  'frontends',
  'nodeports',
  'widths',
  'endpoints',
  'hairpins',
  'addresses',
  'balanced',
] as const;
export type SetName = `${(typeof SETS)[number]}${4 | 6}`;

export function digitOf(family: Family): 4 | 6 {
  return family === 'IPv4' ? 4 : 6;
}

/** The chain that picks one of `width` endpoints. */
export function pickChain(digit: 4 | 6, width: number): string {
  return `pick${digit}-${width}`;
}

/** The statements that add such a chain; harmless where it is there. */
export function pickChainText(digit: 4 | 6, width: number): string {
  const chain = `inet ${TABLE} ${pickChain(digit, width)}`;
  const to = digit === 4 ? 'ip' : 'ip6';
  return `add chain ${chain}
flush chain ${chain}
add rule ${chain} meta l4proto { tcp, udp, sctp } dnat ${to} to meta mark . numgen random mod ${width} map @endpoints${digit}
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
  map endpoints${digit} { typeof meta mark . numgen random mod 65536 : ${ip} daddr . th dport; }
  # endpoints of this node, as source and destination: they may reach themselves
  set hairpins${digit} { typeof ${ip} saddr . ${ip} daddr; }
  # every address of a Service: what arrives for one and is no frontend with endpoints is refused
  set addresses${digit} { typeof ${ip} daddr; }
  # those of them that load balancers announce: they answer ping
  set balanced${digit} { typeof ${ip} daddr; }
`;
}

const DEFINITIONS = `${sets(4)}${sets(6)}
  chain services {
    meta mark set ip daddr . meta l4proto . th dport map @frontends4 goto pick4
    meta mark set ip6 daddr . meta l4proto . th dport map @frontends6 goto pick6
    # A port of the node: not on loopback, and not on an address that a load balancer announces.
    fib daddr type local ip daddr != 127.0.0.0/8 ip daddr != @balanced4 meta mark set meta l4proto . th dport map @nodeports4 goto pick4
    fib daddr type local ip6 daddr != ::1 ip6 daddr != @balanced6 meta mark set meta l4proto . th dport map @nodeports6 goto pick6
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
    ip6 daddr @balanced6 icmpv6 type nd-neighbor-solicit drop
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
    ip daddr @balanced4 icmp type echo-request redirect
    ip6 daddr @balanced6 icmpv6 type echo-request redirect
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
    meta mark & ${hex(MASQUERADE_BIT)} == ${hex(MASQUERADE_BIT)} meta mark set meta mark & ${hex(~MASQUERADE_BIT >>> 0)} masquerade fully-random
    ct status dnat ip saddr . ip daddr @hairpins4 masquerade fully-random
    ct status dnat ip6 saddr . ip6 daddr @hairpins6 masquerade fully-random
  }
`;

/** An empty chain of this name says which rules the kernel has. */
export const VERSION_CHAIN = `version-${createHash('sha256').update(DEFINITIONS).digest('hex').slice(0, 12)}`;

/** Replaces whatever the table was by the constant rules and empty sets, in one transaction. */
export function constantRules(): string {
  const widths = Array.from({ length: COMMON_WIDTH }, (_, i) => i + 1);
  const picks = widths.flatMap((width) => [pickChainText(4, width), pickChainText(6, width)]);
  return `add table inet ${TABLE}
delete table inet ${TABLE}
table inet ${TABLE} {
  chain ${VERSION_CHAIN} {
  }
${DEFINITIONS}}
${picks.join('')}`;
}

/** The widths whose chains `constantRules` has made. */
export function commonWidths(): number[] {
  return Array.from({ length: COMMON_WIDTH }, (_, i) => i + 1);
}
