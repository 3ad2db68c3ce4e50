// Which addresses one node announces, and where: the elections of all addresses, as one value.
import type { Advertisement } from '../api/advertisement.ts';
import type { NodeObject } from '../kube/objects.ts';
import type { Membership } from '../membership/membership.ts';
import type { Links } from '../membership/message.ts';
import type { Ip } from '../net/address.ts';
import { parsePrefix } from '../net/range.ts';
import type { AnnouncedAddress } from './announced-addresses.ts';
import { type CandidateNode, type Election, electOwner, type InterfaceChoice } from './election.ts';

/** Nodes with this label take no traffic from load balancers (kubernetes.io well-known labels). */
const EXCLUDED_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

export function candidateNodes(
  nodes: Iterable<NodeObject>,
  membership: Membership,
  { avoidCordoned = false } = {},
): CandidateNode[] {
  return Array.from(nodes, (node) => ({
    name: node.metadata.name,
    labels: node.metadata.labels ?? {},
    ineligible: reasonAgainst(node, membership, avoidCordoned),
    links: linksOf(membership.linksOf?.(node.metadata.name)),
  }));
}

function linksOf(links: Links): CandidateNode['links'] {
  return links?.map(({ name, subnets }) => ({
    name,
    subnets: subnets.flatMap((text) => {
      const read = parsePrefix(text);
      return read.kind === 'parsed' ? [read.value] : [];
    }),
  }));
}

function reasonAgainst(
  { metadata: { name, labels = {} }, spec }: NodeObject,
  membership: Membership,
  avoidCordoned: boolean,
): string | undefined {
  if (!membership.isAlive(name)) return membership.reasonAgainst?.(name) ?? 'the node is not Ready';
  if (labels[EXCLUDED_LABEL] !== undefined) return `the node has the label ${EXCLUDED_LABEL}`;
  return avoidCordoned && spec?.unschedulable ? 'the node is cordoned (--avoid-cordoned)' : undefined;
}

export interface Elections {
  /** Of the addresses that this node has and another one is to: who that is. */
  readonly given: ReadonlyMap<Ip, string>;
  /** Of the addresses that this node is to announce. */
  readonly own: ReadonlyMap<Ip, Election>;
  /** Of those that no node may announce. */
  readonly nobodys: ReadonlyMap<Ip, Election>;
}

export function elections(
  announced: Iterable<AnnouncedAddress>,
  advertisements: readonly Advertisement[],
  nodes: readonly CandidateNode[],
  nodeName: string,
  /** What this node has now: it keeps that unless another node is preferred, so that nothing moves back to a node that returns. */
  has: (address: Ip) => boolean = () => false,
): Elections {
  const given = new Map<Ip, string>();
  const own = new Map<Ip, Election>();
  const nobodys = new Map<Ip, Election>();
  for (const each of announced) {
    const isOurs = has(each.address);
    const election = electOwner(each, advertisements, nodes, isOurs ? nodeName : undefined);
    if (isOurs && election.owner !== undefined && election.owner !== nodeName)
      given.set(each.address, election.owner);
    if (election.owner === nodeName) own.set(each.address, election);
    else if (election.owner === undefined) nobodys.set(each.address, election);
  }
  return { given, own, nobodys };
}

export function interfacesOf(own: Elections['own']): Map<Ip, InterfaceChoice> {
  return new Map(Array.from(own, ([address, { interfaces }]) => [address, interfaces]));
}
