// Deletes from the kernel's connection table the flows that go where their Service no longer leads. The next packet of
// a UDP flow goes to another endpoint; that of a TCP connection gets a reset, from there or from us.
import { networkInterfaces } from 'node:os';
import type { Clock } from '../clock/clock.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { deleteFlows, type Flow } from '../netlink/conntrack.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { StaleFlows } from './stale-flows.ts';
import type { ServiceTable } from './table.ts';

export interface FlowCleanerOptions {
  readonly open: OpenNetlinkSocket;
  readonly clock: Clock;
  /** Connections of TCP to endpoints that are gone, too. */
  readonly resetStaleTcp: boolean;
}

/** How many flows were deleted. */
export type Cleaned = Readonly<Record<StaleFlows['protocol'], number>>;

export class FlowCleaner {
  readonly #options: FlowCleanerOptions;
  /** Of tables that are not in force yet, and of those that are. */
  #noted: readonly StaleFlows[];
  #due: readonly StaleFlows[];
  /** Of those that are being looked for. */
  #underWay: readonly StaleFlows[] = [];
  /** Of its own, so that no change of rules waits for it. */
  #connection: NetlinkConnection | undefined;

  constructor(options: FlowCleanerOptions) {
    this.#options = options;
    this.#noted = this.#nothing();
    this.#due = this.#nothing();
  }

  /** A Service's table changed, and is not in force yet. */
  note(before: ServiceTable, after: ServiceTable): void {
    for (const stale of this.#noted) stale.note(before, after);
    for (const stale of [...this.#noted, ...this.#due, ...this.#underWay]) stale.allow(after);
  }

  /** The tables that were noted are in force. Before that a flow that is deleted comes back with its next packet. */
  inForce(): void {
    for (const [i, due] of this.#due.entries()) due.add(this.#noted[i] ?? due);
    this.#noted = this.#nothing();
  }

  /**
   * For tables that are in force; not to be called while it runs. Resolves with undefined where there was nothing to
   * look for. Rejects when the kernel cannot be asked, and then it is for the next time.
   */
  async clean(): Promise<Cleaned | undefined> {
    const deleted = { UDP: 0, TCP: 0 };
    const due = this.#due;
    if (due.every(({ families }) => families.length === 0)) return undefined;
    this.#due = this.#nothing();
    this.#underWay = due;
    const own = ownAddresses();
    try {
      this.#connection ??= new NetlinkConnection({ ...this.#options, protocol: NETLINK_NETFILTER });
      for (const stale of due) {
        const { protocol, families } = stale;
        const matches = (flow: Flow) => stale.isStale(flow, (address) => own.has(address));
        for (const family of families)
          deleted[protocol] += await deleteFlows(this.#connection, { protocol, family, matches });
      }
    } catch (error) {
      this.close();
      this.#connection = undefined;
      for (const [i, stale] of due.entries()) stale.add(this.#due[i] ?? stale);
      this.#due = due;
      throw error;
    } finally {
      this.#underWay = [];
    }
    return deleted;
  }

  close(): void {
    this.#connection?.close();
  }

  #nothing(): readonly StaleFlows[] {
    const udp = new StaleFlows('UDP');
    return this.#options.resetStaleTcp ? [udp, new StaleFlows('TCP')] : [udp];
  }
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)),
  );
}
