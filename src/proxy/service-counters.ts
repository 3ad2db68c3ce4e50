// What each Service has had: read from the kernel's counters when somebody asks, and added up here, since an element
// that goes takes its count along.
import type { Clock } from '../clock/clock.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { listCounters } from '../netlink/nftables-counters.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import type { Counting, RuleOptions, SetName, TableName } from './rules.ts';

export interface Traffic {
  connections: number;
  /** From clients and to them; 0 where only connections are counted. */
  received: Volume;
  sent: Volume;
}

interface Volume {
  packets: number;
  bytes: number;
}

interface ServiceCountersOptions {
  readonly open: OpenNetlinkSocket;
  readonly clock: Clock;
  readonly rules: RuleOptions;
  readonly table: () => TableName;
}

type Kind = 'connections' | 'received' | 'sent';
const KINDS: Readonly<Record<Counting, readonly Kind[]>> = {
  nothing: [],
  connections: ['connections'],
  traffic: ['connections', 'received', 'sent'],
};
const NONE: Volume = { packets: 0, bytes: 0 };

export class ServiceCounters {
  readonly #options: ServiceCountersOptions;
  /** Of its own, so that no change of rules waits for a reading. */
  #connection: NetlinkConnection | undefined;
  /** What an element showed last. */
  readonly #seen = new Map<SetName, Map<string, Volume>>();
  readonly #traffic = new Map<string, Traffic>();
  #table: TableName | undefined;
  #reading: Promise<ReadonlyMap<string, Traffic>> | undefined;

  constructor(options: ServiceCountersOptions) {
    this.#options = options;
  }

  /** By Service, as `ownerOf` has it; those that had nothing are left out. */
  read(ownerOf: (set: SetName, key: string) => string | undefined): Promise<ReadonlyMap<string, Traffic>> {
    this.#reading ??= this.#read(ownerOf).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  close(): void {
    this.#connection?.close();
  }

  async #read(ownerOf: (set: SetName, key: string) => string | undefined) {
    const { rules, table } = this.#options;
    // Another table counts from the start.
    if (this.#table !== table()) this.#seen.clear();
    this.#table = table();
    try {
      this.#connection ??= new NetlinkConnection({ ...this.#options, protocol: NETLINK_NETFILTER });
      for (const kind of KINDS[rules.counting]) {
        for (const place of ['', 'node-'] as const) {
          for (const digit of [4, 6] as const) {
            const set: SetName = `${place}${kind}${digit}`;
            const seen = this.#seen.get(set) ?? new Map<string, Volume>();
            this.#seen.set(set, seen);
            // While the kernel rearranges a set a listing may repeat elements, and lack others.
            for (const { key, packets, bytes } of await listCounters(this.#connection, this.#table, set)) {
              const owner = ownerOf(set, key);
              if (owner === undefined) continue;
              const last = seen.get(key) ?? NONE;
              seen.set(key, { packets, bytes });
              // Fewer than before: the element went and came again meanwhile.
              const since = packets < last.packets ? NONE : last;
              this.#add(owner, kind, { packets: packets - since.packets, bytes: bytes - since.bytes });
            }
          }
        }
      }
    } catch (error) {
      this.#connection?.close();
      this.#connection = undefined;
      throw error;
    }
    const owners = new Set<string>();
    for (const [set, seen] of this.#seen) {
      for (const key of seen.keys()) {
        const owner = ownerOf(set, key);
        if (owner === undefined) seen.delete(key);
        else owners.add(owner);
      }
    }
    for (const owner of this.#traffic.keys()) if (!owners.has(owner)) this.#traffic.delete(owner);
    return this.#traffic;
  }

  #add(owner: string, kind: Kind, { packets, bytes }: Volume): void {
    if (packets === 0) return;
    const empty = () => ({ connections: 0, received: { ...NONE }, sent: { ...NONE } });
    const traffic = this.#traffic.get(owner) ?? empty();
    this.#traffic.set(owner, traffic);
    if (kind === 'connections') traffic.connections += packets;
    if (kind === 'connections' && this.#options.rules.counting !== 'traffic') return;
    // The first packet of each connection is counted there alone.
    const volume = kind === 'sent' ? traffic.sent : traffic.received;
    volume.packets += packets;
    volume.bytes += bytes;
  }
}
