// The controller's part in membership: makes the key, finds the agents, publishes who votes, and votes as a witness.
import { hostname } from 'node:os';
import { systemClock } from '../clock/clock.ts';
import { type KubeApi, KubeError, type NamespacedName, only } from '../kube/kube-api.ts';
import type { NodeObject } from '../kube/objects.ts';
import { CONFIG_MAPS, NODES, SECRETS } from '../kube/resources.ts';
import { newKeyData, parseKeys } from '../membership/keys.ts';
import { MembershipThread } from '../membership/membership-thread.ts';
import { parseRoster, type Roster, type Voter } from '../membership/roster.ts';
import { type Heard, RosterKeeper, WITNESS } from '../membership/roster-keeper.ts';
import { addressTowards } from '../membership/udp.ts';
import { type Ip, parseIp } from '../net/address.ts';
import type { Mac } from '../net/mac.ts';
import { MEMBERSHIP_NAME } from './options.ts';
import type { Process } from './processes.ts';

export interface MembershipPlace {
  readonly membershipNamespace: string;
  /** UDP, of the agents. */
  readonly membershipPort: number;
  /** UDP, of this process; 0: any that is free. */
  readonly witnessPort: number;
}

/** Milliseconds between two looks for agents, and at who should vote. */
const ROUND = 1_000;
const FIELD_MANAGER = 'fairlead-controller';

/** Has agents look at addresses on their links, once they have agreed who votes: each time another one. */
export class Lookout {
  #thread: MembershipThread | undefined;
  #agents: readonly string[] = [];
  #looks = 0;

  /** The MACs of the hosts that answer for it there; undefined: no agent is there, or answers. */
  async look(address: Ip): Promise<readonly Mac[] | undefined> {
    const agent = this.#agents[this.#looks++ % Math.max(1, this.#agents.length)];
    const seen = agent === undefined ? undefined : await this.#thread?.look(agent, address);
    return seen?.near ? seen.macs : undefined;
  }

  set(thread: MembershipThread, { voters }: Roster): void {
    this.#thread = thread;
    this.#agents = voters.map(({ id }) => id).filter((id) => !id.startsWith(WITNESS));
  }
}

/** Works until `signal` aborts, as `process` follows; no fault ends it. `api`: for what may be written while this controller leads. */
export async function keepMembership(
  process: Process,
  api: KubeApi,
  place: MembershipPlace,
  lookout: Lookout,
  signal: AbortSignal,
): Promise<void> {
  const { log } = process;
  const nodes = process.follow(NODES);
  const name = { namespace: place.membershipNamespace, name: MEMBERSHIP_NAME };
  const keys = process.follow(only(SECRETS, name));
  const rosters = process.follow(only(CONFIG_MAPS, name));
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  await Promise.race([stopped, Promise.all([nodes.synced, keys.synced, rosters.synced])]);

  const heard = new Map<string, Heard>();
  const keeper = new RosterKeeper(systemClock.now());
  let thread: MembershipThread | undefined;
  let port: number | undefined;
  let said = '';
  while (!signal.aborted) {
    try {
      const read = parseKeys(keys.store.values().next().value?.data ?? {});
      if (keys.store.size === 0) await createKey(api, name);
      else if (read.kind === 'malformed') throw new Error(`the Secret ${read.problem}`);
      else if (thread) thread.setKeys(read.value);
      else thread = startThread(process, place, read.value, nodes.store, heard, (ours) => (port = ours));
      if (thread && port !== undefined) {
        const object = rosters.store.values().next().value;
        const roster = rosterOf(object?.data?.roster);
        if (roster) {
          thread.setRoster(roster);
          lookout.set(thread, roster);
        }
        thread.probe(agents(nodes.store.values(), place.membershipPort));
        const next = keeper.next(systemClock.now(), roster, heard, {
          voter: await witness(nodes.store.values(), port),
          epoch: thread.epoch,
        });
        if (next) {
          await publish(api, name, next, object?.metadata.resourceVersion);
          log.info({ epoch: next.epoch, voters: next.voters.map(({ id }) => id) }, 'published who votes');
        }
      }
      said = '';
    } catch (error) {
      const { message } = error as Error; // KubeError, or what the system says of an address
      if (message !== said) log.warn({ error: message }, 'keeping membership failed; will try again');
      said = message;
    }
    await Promise.race([stopped, new Promise<void>((resolve) => systemClock.setTimer(ROUND, resolve))]);
  }
  await thread?.close();
}

function startThread(
  { log }: Process,
  { membershipPort, witnessPort }: MembershipPlace,
  keys: Parameters<MembershipThread['setKeys']>[0],
  nodes: { get(name: string): NodeObject | undefined },
  heard: Map<string, Heard>,
  onListening: (port: number) => void,
): MembershipThread {
  let said = false;
  return new MembershipThread({
    id: `${WITNESS}${hostname()}`,
    port: witnessPort,
    holds: false,
    keys,
    onChange: () => {},
    onGained: () => {},
    onFormer: () => {},
    onLook: async () => ({ near: false, macs: [] }),
    onHeard(id, epoch) {
      const node = nodes.get(id);
      const host = node && hostOf(node);
      if (!host) return;
      const before = heard.get(id)?.epoch ?? 0;
      const voter = { id, host, port: membershipPort };
      heard.set(id, { at: systemClock.now(), epoch: Math.max(epoch, before), voter });
    },
    onListening(port) {
      log.info({ port }, 'talking to the agents');
      onListening(port);
    },
    onProblem(error) {
      if (!said) log.error({ flag: '--witness-port', error }, 'cannot talk to the agents; will try again');
      said = true;
    },
  });
}

/** One that cannot be read is replaced like one that is not there. */
function rosterOf(text: string | undefined): Roster | undefined {
  const roster = parseRoster(text ?? '');
  return roster.kind === 'parsed' ? roster.value : undefined;
}

function agents(nodes: Iterable<NodeObject>, port: number): Voter[] {
  return [...nodes].flatMap((node) => {
    const host = hostOf(node);
    return host ? [{ id: node.metadata.name, host, port }] : [];
  });
}

/** The node's first InternalIP. */
function hostOf({ status }: NodeObject): Ip | undefined {
  const text = status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
  const parsed = parseIp(text);
  return parsed.kind === 'parsed' ? parsed.value : undefined;
}

/** This process as a voter: at the address from which it reaches the nodes. */
async function witness(nodes: Iterable<NodeObject>, port: number): Promise<Voter> {
  const [first] = agents(nodes, port);
  const host = parseIp(await addressTowards(first?.host ?? '127.0.0.1'));
  if (host.kind === 'malformed') throw new Error(`this machine's address ${host.problem}`);
  return { id: `${WITNESS}${hostname()}`, host: host.value, port };
}

async function createKey(api: KubeApi, metadata: NamespacedName): Promise<void> {
  try {
    await api.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata, data: newKeyData() });
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 409) throw error; // another one made it meanwhile
  }
}

/** `version`: of the object that the roster was computed from; it must be that still. */
async function publish(
  api: KubeApi,
  metadata: NamespacedName,
  roster: Roster,
  version: string | undefined,
): Promise<void> {
  const data = { roster: JSON.stringify(roster) };
  if (version === undefined) {
    await api.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    return;
  }
  const body = { metadata: { resourceVersion: version }, data };
  await api.patch(CONFIG_MAPS, metadata, body, { type: 'merge', fieldManager: FIELD_MANAGER });
}
