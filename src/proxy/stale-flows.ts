// UDP flows that the kernel's connection table still sends where their Service no longer leads: a client that keeps
// its source port would never reach another endpoint. Pure; TCP ends by itself, and opens anew.
import { type Family, familyOf, type Ip } from '../net/address.ts';
import type { Flow } from '../netlink/conntrack.ts';
import type { Endpoint } from './endpoints.ts';
import type { PortTable, ServiceTable } from './table.ts';

/** What an address and port are called in here. */
type Place = string;

const place = (address: Ip, port: number): Place => `${address} ${port}`;

export class StaleFlows {
  /** Where the flows to a changed frontend may go. */
  readonly #frontends = new Map<Place, ReadonlySet<Place>>();
  readonly #nodePorts = new Map<string, ReadonlySet<Place>>();
  readonly #families = new Set<Family>();

  /** A Service's table changed. */
  note(before: ServiceTable, after: ServiceTable): void {
    const was = new Map(before.ports.map((port) => [port.key, signature(port)]));
    const is = new Map(after.ports.map((port) => [port.key, signature(port)]));
    for (const port of before.ports) if (was.get(port.key) !== is.get(port.key)) this.#note(port, []);
    for (const port of after.ports)
      if (was.get(port.key) !== is.get(port.key)) this.#note(port, port.endpoints.serving);
  }

  /** Those that may have stale flows. */
  get families(): readonly Family[] {
    return [...this.#families];
  }

  /** Whether a UDP flow goes elsewhere than its Service leads. `own`: whether an address is this node's. */
  isStale({ original, reply }: Flow, own: (address: Ip) => boolean): boolean {
    const { destination, destinationPort } = original;
    const endpoints =
      this.#frontends.get(place(destination, destinationPort)) ??
      (own(destination) ? this.#nodePorts.get(`${familyOf(destination)} ${destinationPort}`) : undefined);
    return endpoints !== undefined && !endpoints.has(place(reply.source, reply.sourcePort));
  }

  /** The flows are gone. */
  clear(): void {
    this.#frontends.clear();
    this.#nodePorts.clear();
    this.#families.clear();
  }

  #note({ family, protocol, port, nodePort, frontends }: PortTable, endpoints: readonly Endpoint[]): void {
    if (protocol !== 'UDP') return;
    const places = new Set(endpoints.map((endpoint) => place(endpoint.address, endpoint.port)));
    for (const { address } of frontends) this.#frontends.set(place(address, port), places);
    if (nodePort !== undefined) this.#nodePorts.set(`${family} ${nodePort}`, places);
    this.#families.add(family);
  }
}

/** Equal where flows may stay as they are. */
function signature({ protocol, port, nodePort, frontends, endpoints }: PortTable): string {
  const addresses = frontends.map(({ address }) => address);
  return protocol === 'UDP' ? JSON.stringify([port, nodePort, addresses, endpoints.serving]) : '';
}
