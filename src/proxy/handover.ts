// Connections outlive the move of an address to this node: what belongs to one that this kernel does not know goes on,
// unchanged, to the node that had the address before and knows its endpoint. The kernel forgets that by itself.
import type { Clock } from '../clock/clock.ts';
import { type Family, familyOf, fromBytes, type Ip, toBytes } from '../net/address.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import type { NetlinkError } from '../netlink/netlink-error.ts';
import { changeElements, type Element, type ElementChanges, listElements } from '../netlink/nftables.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { runNft } from './nft-command.ts';

const TABLE = 'fairlead-handover';
const MAP = 'former';
/** For how long packets go on to the node that had an address. */
const LASTS = '10m';
const FAMILIES = ['IPv4', 'IPv6'] as const satisfies readonly Family[];
/** `dup` knows these two families of tables, and not inet, which has both. */
const TABLE_FAMILIES = { IPv4: 'ip', IPv6: 'ip6' } as const;
/** Between our look at the map and its change, the kernel may forget an element of it. */
const TRIES = 5;

/** Behind conntrack (-200), which calls what it does not know new or invalid, and before translation (-100). */
function text(): string {
  return FAMILIES.map((family) => {
    const ip = TABLE_FAMILIES[family];
    const type = family === 'IPv4' ? 'ipv4_addr' : 'ipv6_addr';
    return `table ${ip} ${TABLE} {
  # address of a load balancer -> the node that had it
  map ${MAP} { type ${type} : ${type}; flags timeout; timeout ${LASTS}; }
  chain forward-on { type filter hook prerouting priority -150; policy accept; }
}
flush chain ${ip} ${TABLE} forward-on
add rule ${ip} ${TABLE} forward-on tcp flags & (fin | syn | rst | ack) != syn ct state { invalid, new } dup to ${ip} daddr map @${MAP} drop
`;
  }).join('');
}

/** Removes it; harmless where there is nothing. */
export function handoverRemovalText(): string {
  return Object.values(TABLE_FAMILIES)
    .map((ip) => `add table ${ip} ${TABLE}\ndelete table ${ip} ${TABLE}\n`)
    .join('');
}

export class Handover {
  readonly #connection: NetlinkConnection;
  /** Where packets go on to, by the address that they are for, as far as the kernel has not forgotten it. */
  readonly #former = new Map<Ip, Ip>();
  #last: Promise<unknown> = Promise.resolve();

  /** Takes over what a predecessor left. Rejects where the kernel cannot do it (it needs CONFIG_NFT_DUP_IPV4, _IPV6). */
  static async start(options: {
    readonly open: OpenNetlinkSocket;
    readonly clock: Clock;
  }): Promise<Handover> {
    await runNft(['-f', '-'], text());
    const handover = new Handover(options);
    for (const family of FAMILIES)
      for (const { key, data } of await handover.#list(family))
        if (data.kind === 'value') handover.#former.set(addressIn(key), addressIn(data.bytes));
    return handover;
  }

  private constructor(options: { readonly open: OpenNetlinkSocket; readonly clock: Clock }) {
    this.#connection = new NetlinkConnection({ ...options, protocol: NETLINK_NETFILTER });
  }

  /** Each address, and the one of the node that its unknown packets go on to. */
  get former(): ReadonlyMap<Ip, Ip> {
    return this.#former;
  }

  /**
   * From now on unknown packets for an address go on to this address, of a node on a link of ours and of the same
   * family; undefined: to nobody. Rejects with NetlinkError, and nothing has changed of that family then.
   */
  change(changes: ReadonlyMap<Ip, Ip | undefined>): Promise<void> {
    const done = this.#last.then(async () => {
      for (const family of FAMILIES) {
        const own = [...changes].filter(([address]) => familyOf(address) === family);
        if (own.length > 0) await this.#change(family, new Map(own));
      }
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** What is under way is finished. The kernel goes on, and forgets by itself. */
  async close(): Promise<void> {
    await this.#last;
    this.#connection.close();
  }

  async #change(family: Family, changes: ReadonlyMap<Ip, Ip | undefined>): Promise<void> {
    for (let tries = 1; ; tries++) {
      const known = (await this.#list(family)).filter(({ key }) => changes.has(addressIn(key)));
      const added = [...changes].flatMap(([address, node]) =>
        node === undefined ? [] : [element(address, node)],
      );
      const steps = [
        { set: MAP, operation: 'delete', elements: known },
        { set: MAP, operation: 'add', elements: added },
      ] as const satisfies ElementChanges[];
      try {
        await changeElements(
          this.#connection,
          TABLE,
          steps.filter(({ elements }) => elements.length > 0),
          TABLE_FAMILIES[family],
        );
        break;
      } catch (error) {
        const { code } = error as NetlinkError; // it rejects with nothing else
        if (code !== 'ENOENT' || tries === TRIES) throw error;
      }
    }
    for (const [address, node] of changes) {
      if (node === undefined) this.#former.delete(address);
      else this.#former.set(address, node);
    }
  }

  #list(family: Family): Promise<Element[]> {
    return listElements(this.#connection, TABLE, MAP, TABLE_FAMILIES[family]);
  }
}

function element(address: Ip, node: Ip): Element {
  return { key: bytesOf(address), data: { kind: 'value', bytes: bytesOf(node) } };
}

function bytesOf(address: Ip): string {
  return Buffer.from(toBytes(address)).toString('latin1');
}

function addressIn(bytes: string): Ip {
  return fromBytes(Buffer.from(bytes, 'latin1'));
}
