// Deletes from the kernel's connection table the UDP flows that go where their Service no longer leads.
import { networkInterfaces } from 'node:os';
import type { Clock } from '../clock/clock.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { deleteFlows, type Flow } from '../netlink/conntrack.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { StaleFlows } from './stale-flows.ts';
import type { ServiceTable } from './table.ts';

export class FlowCleaner {
  readonly #options: { readonly open: OpenNetlinkSocket; readonly clock: Clock };
  readonly #stale = new StaleFlows();
  #connection: NetlinkConnection | undefined;

  constructor(options: { readonly open: OpenNetlinkSocket; readonly clock: Clock }) {
    this.#options = options;
  }

  /** A Service's table changed. */
  note(before: ServiceTable, after: ServiceTable): void {
    this.#stale.note(before, after);
  }

  /**
   * To be called when the kernel has the tables that were noted. Resolves with the number of deleted flows; rejects
   * when the kernel cannot be asked, and then what was noted is for the next time.
   */
  async clean(): Promise<number> {
    const { families } = this.#stale;
    if (families.length === 0) return 0;
    const own = ownAddresses();
    const matches = (flow: Flow) => this.#stale.isStale(flow, (address) => own.has(address));
    let deleted = 0;
    try {
      this.#connection ??= new NetlinkConnection({ ...this.#options, protocol: NETLINK_NETFILTER });
      for (const family of families)
        deleted += await deleteFlows(this.#connection, { protocol: 'UDP', family, matches });
    } catch (error) {
      this.close();
      this.#connection = undefined;
      throw error;
    }
    this.#stale.clear();
    return deleted;
  }

  close(): void {
    this.#connection?.close();
  }
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)),
  );
}
