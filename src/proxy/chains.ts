// Chains that come with Services: they pick one of so many endpoints, or remember which one a client has.
import type { Pick } from './balancing.ts';
import type { TableName } from './rules.ts';

/** Chains that pick at random from up to so many are there from the start; others are added when they are needed. */
const COMMON_WIDTH = 16;

export const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
export type ProtocolName = (typeof PROTOCOLS)[number];

/** Where the rules keep which client has which endpoint: written by the rules themselves as connections come. */
export interface AffinityMaps {
  readonly address: string;
  readonly port: string;
}

export function affinityMaps(protocol: ProtocolName, digit: 4 | 6): AffinityMaps {
  return { address: `${protocol}-affinity${digit}`, port: `${protocol}-affinity-port${digit}` };
}

/** How a chain picks: one of `width` slots. */
export interface Choice {
  readonly pick: Pick;
  readonly width: number;
  /** The list's mark: who takes turns has a chain of its own, since a chain counts once for all that go through it. */
  readonly mark: number;
}

/** The chain that picks one of the slots. */
export function pickChain(protocol: ProtocolName, digit: 4 | 6, choice: Choice): string {
  return `pick${digit}-${protocol}-${suffixOf(choice)}`;
}

/** The chain that goes on with the endpoint that the client has, and otherwise picks one of the slots. */
export function stickyChain(protocol: ProtocolName, digit: 4 | 6, choice: Choice): string {
  return `sticky${digit}-${protocol}-${suffixOf(choice)}`;
}

function suffixOf({ pick, width, mark }: Choice): string {
  switch (pick) {
    case 'random':
      return `${width}`;
    case 'hash':
      return `${width}-hash`;
    case 'turn':
      return `${width}-turn-${mark.toString(16)}`;
  }
}

/** The chain that remembers which endpoint the client has, for so many seconds. */
export function rememberChain(protocol: ProtocolName, digit: 4 | 6, seconds: number): string {
  return `remember${digit}-${protocol}-${seconds}`;
}

/** Whether a chain belongs to one list of endpoints alone, and goes with it. */
export function isTurnChain(chain: string): boolean {
  return /-turn-[0-9a-f]+$/.test(chain);
}

/** The chains that a chain needs, itself included; those that lead to others come first. */
export function withNeeded(chain: string): string[] {
  return chain.startsWith('sticky') ? [chain, chain.replace('sticky', 'pick')] : [chain];
}

/** The chains that are there from the start. */
export function commonPickChains(): string[] {
  const widths = Array.from({ length: COMMON_WIDTH }, (_, i) => i + 1);
  const choices = widths.map((width): Choice => ({ pick: 'random', width, mark: 0 }));
  return PROTOCOLS.flatMap((protocol) =>
    choices.flatMap((choice) => [pickChain(protocol, 4, choice), pickChain(protocol, 6, choice)]),
  );
}

/** One of each kind: their text is a part of what the rules are. */
export const EVERY_KIND_OF_CHAIN: readonly string[] = [
  ...(['random', 'hash', 'turn'] as const).map((pick) => pickChain('tcp', 6, { pick, width: 1, mark: 0 })),
  stickyChain('tcp', 6, { pick: 'random', width: 1, mark: 0 }),
  rememberChain('tcp', 6, 1),
];

/**
 * The statements that add a chain that one of the three has named; harmless where it is there. Each protocol has its
 * own maps: nft 1.0.6 adds no rule on a map already in the kernel whose ports are those of any protocol, and aborts
 * on a rule that stores an IPv6 address and a port at once, so that affinity has two maps.
 */
export function chainText(table: TableName, chain: string): string {
  const [, kind, digit, protocol, number, pick] =
    /^([a-z]+)([46])-([a-z]+)-(\d+)(?:-(hash|turn))?/.exec(chain) ?? [];
  const family = digit === '4' ? 4 : 6;
  const maps = affinityMaps(protocol as ProtocolName, family); // the functions above name no others
  const ip = family === 4 ? 'ip' : 'ip6';
  const client = `meta mark . ${clientText(family)}`;
  const slot = {
    random: `numgen random mod ${number}`,
    hash: `jhash ${ip} saddr mod ${number} seed 0xfa`,
    turn: `numgen inc mod ${number}`,
  }[pick === 'hash' || pick === 'turn' ? pick : 'random'];
  const rules =
    kind === 'pick'
      ? [`meta l4proto ${protocol} dnat ${ip} to meta mark . ${slot} map @${protocol}-endpoints${digit}`]
      : kind === 'sticky'
        ? [
            `meta l4proto ${protocol} dnat ${ip} to ${client} map @${maps.address} : ${client} map @${maps.port}`,
            `goto ${chain.replace('sticky', 'pick')}`,
          ]
        : [
            `update @${maps.address} { ${client} timeout ${number}s : ${ip} daddr }`,
            `meta l4proto ${protocol} update @${maps.port} { ${client} timeout ${number}s : ${protocol} dport }`,
            'goto settled',
          ];
  const needed = kind === 'sticky' ? chainText(table, chain.replace('sticky', 'pick')) : '';
  return `${needed}add chain inet ${table} ${chain}
flush chain inet ${table} ${chain}
${rules.map((rule) => `add rule inet ${table} ${chain} ${rule}\n`).join('')}`;
}

/**
 * The client in a key of the affinity maps. An IPv6 address is there as 96 bits of hash, which no two of a million
 * clients share in 10^17 nodes: behind a mark the whole would overlap with the endpoint that is stored, since nft
 * 1.0.6 gives that a register too near (seen with `nft --debug=netlink`).
 */
function clientText(digit: 4 | 6): string {
  if (digit === 4) return 'ip saddr';
  return [0xfa, 0xfb, 0xfc]
    .map((seed) => `jhash ip6 saddr mod 4294967295 seed 0x${seed.toString(16)}`)
    .join(' . ');
}

/** As many parts as `clientText` has, of the same sizes, as the declaration of a map names them. */
export function clientType(digit: 4 | 6): string {
  return digit === 4 ? 'ip saddr' : Array(3).fill('numgen random mod 65536').join(' . ');
}

/** How many rules a chain that one of the three has named holds. */
export function rulesIn(chain: string): number {
  return chain.startsWith('pick') ? 1 : chain.startsWith('sticky') ? 2 : 3;
}

/** The statements that remove these chains, which nothing may lead to any more. */
export function chainRemovalText(table: TableName, chains: readonly string[]): string {
  const inOrder = chains.toSorted().toReversed(); // "sticky…" leads to "pick…"
  return [
    ...inOrder.map((chain) => `flush chain inet ${table} ${chain}\n`),
    ...inOrder.map((chain) => `delete chain inet ${table} ${chain}\n`),
  ].join('');
}
