// The object that tells of one address: who answers for it, where, since when and why, and why the others do not.
import type { Condition, KubeObject } from '../kube/objects.ts';
import { familyOf, type Ip } from '../net/address.ts';
import { clip } from './service-status.ts';

export interface Announced {
  readonly address: Ip;
  /** namespace/name of every Service that shows it. */
  readonly services: readonly string[];
  readonly pool: string;
  /** Undefined: no node may announce it. */
  readonly node: string | undefined;
  /** Since when the node answers. */
  readonly since: Date | undefined;
  /** On which it is answered. */
  readonly interfaces: readonly string[];
  readonly reason: string;
  /** Who would follow, first the next one; names among `losers`. */
  readonly standbys: readonly string[];
  /** For every other node, why it is not the one. */
  readonly losers: ReadonlyMap<string, string>;
  readonly conflict: { readonly mac: string; readonly interfaceName: string } | undefined;
  /** Whether it is answered for in a conflict. */
  readonly keeps: boolean;
  /** What other nodes see of it on the wire; undefined: none has looked yet. */
  readonly verdict: 'verified' | 'other host' | 'not seen' | 'no witness' | undefined;
}

interface NodeReason {
  readonly node: string;
  readonly reason: string;
}

export interface AnnouncementObject extends KubeObject {
  readonly status: {
    readonly address: string;
    readonly services: readonly string[];
    readonly pool: string;
    readonly node?: string;
    readonly since?: string;
    readonly interfaces: readonly string[];
    readonly reason: string;
    readonly standbys: readonly NodeReason[];
    readonly excluded: readonly NodeReason[];
    readonly conditions: readonly Condition[];
  };
}

/** Nodes that each list names: the first ones. An object of thousands would help nobody. */
export const MOST_NODES = 100;

/** A name that an object may have: the address, with dashes for colons, and a zero where it would begin or end with one. */
export function announcementName(address: Ip): string {
  if (familyOf(address) === 'IPv4') return address;
  return address.replace(/^:/, '0:').replace(/:$/, ':0').replaceAll(':', '-');
}

/** `before`: what was written last; times of what has not changed are kept. */
export function announcementOf(
  announced: Announced,
  before: AnnouncementObject | undefined,
  now: Date,
): AnnouncementObject {
  const { address, services, pool, node, since, interfaces, reason, standbys, losers } = announced;
  const may = new Set(standbys);
  const reasons = (nodes: Iterable<string>) =>
    [...nodes].slice(0, MOST_NODES).map((each) => ({ node: each, reason: losers.get(each) ?? '' }));
  const said = [announcedCondition(announced), conflictCondition(announced), verifiedCondition(announced)];
  const conditions = said.map((each): Condition => {
    const earlier = before?.status.conditions.find(({ type }) => type === each.type);
    const lastTransitionTime = earlier?.status === each.status ? earlier.lastTransitionTime : seconds(now);
    return { ...each, message: clip(each.message), lastTransitionTime };
  });
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Announcement',
    metadata: { name: announcementName(address) },
    status: {
      address,
      services: services.slice(0, MOST_NODES),
      pool,
      ...(node === undefined ? {} : { node }),
      ...(since === undefined ? {} : { since: seconds(since) }),
      interfaces,
      reason,
      standbys: reasons(standbys),
      excluded: reasons([...losers.keys()].filter((each) => !may.has(each)).sort()),
      conditions,
    },
  };
}

/** What is said of an address that is kept out of use, and that no node has; undefined where that is said already. */
export function outOfUsePatch({ status }: AnnouncementObject, now: Date): object | undefined {
  if (status.services.length === 0 && status.node === undefined) return undefined;
  const conditions = status.conditions.map((each): Condition => {
    if (each.type !== 'Announced') return each;
    const message = 'no Service has it: it is out of use until no host outside the cluster has it';
    const lastTransitionTime = each.status === 'False' ? each.lastTransitionTime : seconds(now);
    return { ...each, status: 'False', reason: 'AddressConflict', message, lastTransitionTime };
  });
  const nobody = { node: null, since: null, services: [], interfaces: [], standbys: [], excluded: [] };
  return { status: { ...nobody, reason: 'out of use', conditions } };
}

type Said = Omit<Condition, 'lastTransitionTime'>;

function announcedCondition({ address, node, interfaces, conflict, keeps }: Announced): Said {
  const type = 'Announced';
  if (node === undefined) {
    const message = 'no node may announce it: .status.excluded says why';
    return { type, status: 'False', reason: 'NoEligibleNode', message };
  }
  if (conflict && !keeps) {
    const message = `another host has ${address}: it is withheld until that host gives it up`;
    return { type, status: 'False', reason: 'AddressConflict', message };
  }
  if (interfaces.length === 0) {
    const message = `node ${node} has no interface that is up and that the advertisements and --exclude-interfaces leave`;
    return { type, status: 'False', reason: 'NoInterface', message };
  }
  const message = `node ${node} answers on ${interfaces.join(', ')}`;
  return { type, status: 'True', reason: 'Announced', message };
}

function conflictCondition({ address, conflict }: Announced): Said {
  const type = 'Conflict';
  if (!conflict) return { type, status: 'False', reason: 'NoConflict', message: '' };
  const { mac, interfaceName } = conflict;
  const message = `${address} is in use by another host, ${mac}, heard on ${interfaceName}. Take the address from that host, or out of the pool`;
  return { type, status: 'True', reason: 'AddressConflict', message };
}

function verifiedCondition({ address, node, conflict, keeps, verdict }: Announced): Said {
  const type = 'Verified';
  if (verdict === undefined || node === undefined || (conflict && !keeps))
    return { type, status: 'Unknown', reason: 'NotLooked', message: '' };
  switch (verdict) {
    case 'verified':
      return { type, status: 'True', reason: 'Seen', message: `another node sees ${node} answer` };
    case 'no witness': {
      const message = 'no other agent that votes is on the link of the address';
      return { type, status: 'Unknown', reason: 'NoWitness', message };
    }
    case 'not seen': {
      const message = `no other node gets an answer for ${address}: look at what drops frames between the nodes`;
      return { type, status: 'False', reason: 'NotSeen', message };
    }
    case 'other host': {
      const message = `another node got an answer for ${address} from another host`;
      return { type, status: 'False', reason: 'AnotherHostAnswers', message };
    }
  }
}

/** As metav1.Time is written. */
function seconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
