// Who announces an address: a pure function of what is known, so that every agent comes to the same answer.
import { type Advertisement, selectsPool } from '../api/advertisement.ts';
import { matches } from '../api/selector.ts';
import type { Ip } from '../net/address.ts';
import { contains, type Range } from '../net/range.ts';
import type { AnnouncedAddress } from './announced-addresses.ts';

export interface CandidateNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Why it may not announce anything; undefined: it may. */
  readonly ineligible: string | undefined;
  /** The interfaces that it can announce on, with their subnets; undefined: that is not known. */
  readonly links?: readonly { readonly name: string; readonly subnets: readonly Range[] }[] | undefined;
}

/** Interfaces by exact name, or every one that is fit. */
export type InterfaceChoice = 'all' | ReadonlySet<string>;

export interface Election {
  /** Undefined where no node may announce the address. */
  readonly owner: string | undefined;
  /** On which interfaces the owner announces it. */
  readonly interfaces: InterfaceChoice;
  /** Why it is the owner, or why there is none. */
  readonly reason: string;
  /** Who would follow, first the next one. */
  readonly standbys: readonly string[];
  /** For every node that is not the owner, why. */
  readonly losers: ReadonlyMap<string, string>;
}

interface Standing {
  readonly node: CandidateNode;
  readonly interfaces: InterfaceChoice;
  readonly score: number;
}

/** Says nothing of why it came to have it. */
export const HAD_IT = 'it had the address already';
const FAR = 'no fit interface of the node is on the subnet of the address, and other nodes have one';
const NO_ENDPOINT = 'no ready endpoint is on the node (externalTrafficPolicy: Local)';

export function electOwner(
  announced: AnnouncedAddress,
  advertisements: readonly Advertisement[],
  nodes: readonly CandidateNode[],
  /** Who has the address now: keeps it unless another node is preferred. */
  incumbent?: string,
): Election {
  const losers = new Map<string, string>();
  const selecting = advertisements.filter((advertisement) => selectsPool(advertisement, announced.pool));
  const speaking = selecting.filter(({ serviceSelectors }) => selectsService(serviceSelectors, announced));
  const standing: Standing[] = [];
  for (const node of nodes) {
    const verdict = selecting.length === 0 ? { interfaces: 'all' as const, score: 0 } : stand(node, speaking);
    if (node.ineligible !== undefined) losers.set(node.name, node.ineligible);
    else if (announced.onlyNodes && !announced.onlyNodes.has(node.name)) losers.set(node.name, NO_ENDPOINT);
    else if (typeof verdict === 'string') losers.set(node.name, verdict);
    else if (!reaches(node, verdict.interfaces)) losers.set(node.name, unreachable(verdict.interfaces));
    else standing.push({ node, ...verdict });
  }
  const far = farFrom(announced.address, standing);
  for (const { node } of far) losers.set(node.name, FAR);
  const ranked = standing
    .filter((each) => !far.has(each))
    .map((each) => ({
      ...each,
      rank: each.node.name === incumbent ? -1 : rank(each.node.name, announced.address),
    }))
    .sort((a, b) => b.score - a.score || a.rank - b.rank || (a.node.name < b.node.name ? -1 : 1));
  const [winner, ...rest] = ranked;
  const standbys = rest.map(({ node }) => node.name);
  if (!winner)
    return { owner: undefined, interfaces: 'all', reason: 'no node may announce it', standbys, losers };
  const { name } = winner.node;
  const isSticky = name === incumbent;
  const ranking = isSticky ? `"${name}" has it already` : `"${name}" ranks before it for this address`;
  for (const { node, score } of rest)
    losers.set(node.name, score < winner.score ? `"${name}" is preferred` : ranking);
  const best = rest[0]?.score;
  let reason = isSticky ? HAD_IT : 'it ranks first for this address';
  if (best === undefined) reason = 'no other node may announce it';
  else if (best < winner.score) reason = `it is preferred, with weight ${winner.score}; the next has ${best}`;
  return { owner: name, interfaces: winner.interfaces, reason, standbys, losers };
}

/** Whether it has an interface that it may be announced on. */
function reaches({ links }: CandidateNode, interfaces: InterfaceChoice): boolean {
  return links?.some(({ name }) => interfaces === 'all' || interfaces.has(name)) ?? true;
}

function unreachable(interfaces: InterfaceChoice): string {
  if (interfaces === 'all') return 'no interface of the node is fit to be announced on';
  const names = [...interfaces].sort().map((name) => `"${name}"`);
  return `none of the interfaces that the advertisements name (${names.join(', ')}) is up on the node, and fit`;
}

/**
 * Those that are on no link with those who ask for the address, where others are: who has its interface chosen, or
 * whose links are not known, is none of them. An address of no subnet is routed here, and to any node as well.
 */
function farFrom(address: Ip, standing: readonly Standing[]): ReadonlySet<Standing> {
  const known = new Map<string, boolean>();
  const contain = (subnet: Range) => {
    const key = `${subnet.family} ${subnet.first} ${subnet.last}`;
    const answer = known.get(key) ?? contains(subnet, address);
    known.set(key, answer);
    return answer;
  };
  const isNear = ({ node: { links = [] }, interfaces }: Standing) =>
    links.some(
      ({ name, subnets }) => (interfaces === 'all' || interfaces.has(name)) && subnets.some(contain),
    );
  const others = standing.filter((each) => !isNear(each));
  if (others.length === standing.length) return new Set();
  return new Set(others.filter(({ node, interfaces }) => node.links !== undefined && interfaces === 'all'));
}

/** What the advertisements that select this node say of it; else why none does. */
function stand(
  node: CandidateNode,
  speaking: readonly Advertisement[],
): { interfaces: InterfaceChoice; score: number } | string {
  if (speaking.length === 0) return 'no advertisement of the pool selects the Service';
  const mine = speaking.filter(
    ({ nodeSelectors }) =>
      nodeSelectors.length === 0 || nodeSelectors.some((each) => matches(each, node.labels)),
  );
  if (mine.length === 0) return 'no advertisement of the pool selects the node';
  const everywhere = mine.some(({ interfaces }) => interfaces.length === 0);
  let score = 0;
  for (const { preferredNodes } of mine) {
    for (const { weight, selector } of preferredNodes) if (matches(selector, node.labels)) score += weight;
  }
  return { interfaces: everywhere ? 'all' : new Set(mine.flatMap(({ interfaces }) => interfaces)), score };
}

function selectsService(
  selectors: Advertisement['serviceSelectors'],
  { serviceLabels }: AnnouncedAddress,
): boolean {
  return (
    selectors.length === 0 ||
    serviceLabels.some((labels) => selectors.some((selector) => matches(selector, labels)))
  );
}

/**
 * Rendezvous hashing: each node ranks differently for each address, and one that leaves moves only what it had.
 * Two lanes of multiply and xor, and the finish of MurmurHash3: 53 bits, even enough, and 100 ns a rank where
 * SHA-256 takes microseconds, which a hundred nodes times thousands of addresses would feel.
 */
function rank(node: string, address: string): number {
  const text = `${node}#${address}`;
  let low = 0x9747_b28c;
  let high = 0x1b87_3593;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x9e37_79b1);
    high = Math.imul(high ^ code, 0x5f35_6495);
  }
  return (finish(high ^ (low >>> 15)) & 0x1f_ffff) * 2 ** 32 + finish(low ^ (high >>> 13));
}

/** MurmurHash3's: every bit of the input sways every bit of the result, an unsigned 32-bit integer. */
function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
