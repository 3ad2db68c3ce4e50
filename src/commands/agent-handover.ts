// Which node packets of connections go on to that began before an address came here.
import { systemClock } from '../clock/clock.ts';
import type { NodeObject } from '../kube/objects.ts';
import type { Store } from '../kube/store.ts';
import { NodeReadiness } from '../membership/membership.ts';
import { familyOf, type Ip } from '../net/address.ts';
import { Handover } from '../proxy/handover.ts';
import { primaryAddresses } from '../proxy/node.ts';
import { openNetlinkSocket } from '../sockets/open-netlink-socket.ts';
import type { Process } from './processes.ts';

export interface Handovers {
  /** These addresses come here from nodes that gave them up; resolves when the kernel knows of it, or cannot. */
  take(former: ReadonlyMap<Ip, string>): Promise<void>;
  /** This address goes to that node: what it does not know must not come back from there in a circle. */
  give(address: Ip, successor: string | undefined): void;
  close(): Promise<void>;
}

/** A machine that cannot do it forwards all the same; then connections end where an address moves. */
export function startHandovers({ log }: Process, nodes: Store<NodeObject>): Handovers {
  const starting = Handover.start({ open: openNetlinkSocket, clock: systemClock }).catch((error: Error) => {
    log.warn({ error: error.message }, 'connections will not survive the move of their address to this node');
    return undefined;
  });
  const readiness = new NodeReadiness(nodes);
  const addressOf = (node: string, of: Ip) =>
    primaryAddresses(nodes.get(node)).find((each) => familyOf(each) === familyOf(of));
  const change = async (decide: (former: ReadonlyMap<Ip, Ip>) => ReadonlyMap<Ip, Ip | undefined>) => {
    const handover = await starting;
    const changes = handover && decide(handover.former);
    if (!changes || changes.size === 0) return;
    await handover.change(changes).catch(({ message }: Error) => {
      log.warn({ error: message }, 'connections to addresses that moved may end');
    });
  };
  // What a node that is down would have forwarded is to meet a reset, not silence.
  const unfollow = nodes.subscribe(() => {
    void change((former) => {
      if (former.size === 0) return former;
      const ready = [...nodes.values()].filter(({ metadata }) => readiness.isAlive(metadata.name));
      const useful = new Set(ready.flatMap((node) => primaryAddresses(node)));
      return new Map(
        [...former].flatMap(([address, node]) => (useful.has(node) ? [] : [[address, undefined]])),
      );
    });
  });
  return {
    take: (former) =>
      change(() => new Map(Array.from(former, ([address, node]) => [address, addressOf(node, address)]))),
    give(address, successor) {
      const node = successor === undefined ? undefined : addressOf(successor, address);
      void change((former) =>
        node !== undefined && former.get(address) === node ? new Map([[address, undefined]]) : new Map(),
      );
    },
    async close() {
      unfollow();
      await (await starting)?.close();
    },
  };
}
