// Resolves addresses on the links of this node for another one: asks as any host would, and collects who answers.
import type { Clock } from '../clock/clock.ts';
import { familyOf, type Ip, type Ipv4, type Ipv6 } from '../net/address.ts';
import { BROADCAST, type Mac, multicastMac, solicitedNodeGroup, UNSPECIFIED_MAC } from '../net/mac.ts';
import { buildArp } from './arp-frame.ts';
import { buildSolicitation } from './ndp-frame.ts';

/** Milliseconds after each question. A host on the link answers within a few. */
const WAITS = [50, 100, 150];

export interface LookupPlace {
  /** An address of this node on the link, of the address's family. */
  readonly ownAddress: Ip;
  readonly mac: Mac;
  readonly send: (frame: Uint8Array) => void;
}

export class LinkLookups {
  readonly #clock: Clock;
  readonly #under = new Map<Ip, Set<Mac>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Another host speaks for an address. */
  heard(address: Ip, mac: Mac): void {
    this.#under.get(address)?.add(mac);
  }

  isUnderWay(address: Ip): boolean {
    return this.#under.has(address);
  }

  /** Asks on all `places` until somebody answers; once that is so, for one wait more, whether others do. */
  async lookUp(address: Ip, places: readonly LookupPlace[]): Promise<Mac[]> {
    const macs = this.#under.get(address) ?? new Set<Mac>();
    this.#under.set(address, macs);
    for (const wait of WAITS) {
      for (const { ownAddress, mac, send } of places) send(question(address, ownAddress, mac));
      const had = macs.size > 0;
      await new Promise<void>((resolve) => void this.#clock.setTimer(wait, resolve));
      if (had) break;
    }
    this.#under.delete(address);
    return [...macs];
  }
}

function question(address: Ip, ownAddress: Ip, mac: Mac): Uint8Array {
  if (familyOf(address) === 'IPv4')
    return buildArp({
      operation: 'request',
      source: mac,
      destination: BROADCAST,
      senderMac: mac,
      senderIp: ownAddress as Ipv4, // of one family
      targetMac: UNSPECIFIED_MAC,
      targetIp: address as Ipv4, // by its family
    });
  const target = address as Ipv6; // by its family
  const group = solicitedNodeGroup(target);
  const senderIp = ownAddress as Ipv6; // of one family
  const solicitation = { source: mac, destination: multicastMac(group), senderIp, targetIp: target };
  return buildSolicitation({ ...solicitation, senderMac: mac }, group);
}
