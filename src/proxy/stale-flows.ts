// Flows that the kernel's connection table still sends where their Service no longer leads. A client of UDP that
// keeps its source port would never reach another endpoint; TCP ends by itself and opens anew, but where its endpoint
// vanished a client that only waits does so for long. Pure.
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
  readonly protocol: 'UDP' | 'TCP';

  constructor(protocol: 'UDP' | 'TCP') {
    this.protocol = protocol;
  }

  /** A Service's table changed. */
  note(before: ServiceTable, after: ServiceTable): void {
    const was = new Map(before.ports.map((port) => [port.key, port]));
    const is = new Map(after.ports.map((port) => [port.key, port]));
    for (const port of before.ports) if (this.#endsFlows(port, is.get(port.key))) this.#note(port, []);
    for (const port of after.ports)
      if (this.#endsFlows(was.get(port.key), port)) this.#note(port, this.#mayHave(port));
  }

  /** Flows to where a Service leads now may stay, whatever was noted of it before. */
  allow({ ports }: ServiceTable): void {
    for (const table of ports) {
      if (table.protocol !== this.protocol) continue;
      const { family, port, nodePort, frontends } = table;
      const places = placesOf(this.#mayHave(table));
      for (const { address } of frontends) widen(this.#frontends, place(address, port), places);
      if (nodePort !== undefined) widen(this.#nodePorts, `${family} ${nodePort}`, places);
    }
  }

  /** Those that may have stale flows. */
  get families(): readonly Family[] {
    return [...this.#families];
  }

  /** Whether a flow goes elsewhere than its Service leads. `own`: whether an address is this node's. */
  isStale({ original, reply }: Flow, own: (address: Ip) => boolean): boolean {
    const { destination, destinationPort } = original;
    const endpoints =
      this.#frontends.get(place(destination, destinationPort)) ??
      (own(destination) ? this.#nodePorts.get(`${familyOf(destination)} ${destinationPort}`) : undefined);
    return endpoints !== undefined && !endpoints.has(place(reply.source, reply.sourcePort));
  }

  /** What was noted later counts. */
  add(later: StaleFlows): void {
    for (const [key, endpoints] of later.#frontends) this.#frontends.set(key, endpoints);
    for (const [key, endpoints] of later.#nodePorts) this.#nodePorts.set(key, endpoints);
    for (const family of later.#families) this.#families.add(family);
  }

  /** Where flows that are under way may go. */
  #mayHave({ endpoints }: PortTable): readonly Endpoint[] {
    return this.protocol === 'UDP' ? endpoints.serving : endpoints.listed;
  }

  /** Of UDP any change may: before there were endpoints, flows went to the Service's address itself. */
  #endsFlows(before: PortTable | undefined, after: PortTable | undefined): boolean {
    if ((before ?? after)?.protocol !== this.protocol) return false;
    if (this.protocol === 'UDP') return this.#signature(before) !== this.#signature(after);
    const { port, nodePort } = after ?? {};
    if (!before || before.port !== port || before.nodePort !== nodePort) return before !== undefined;
    const addresses = new Set(after?.frontends.map(({ address }) => address));
    const places = placesOf(after?.endpoints.listed ?? []);
    return (
      before.frontends.some(({ address }) => !addresses.has(address)) ||
      before.endpoints.listed.some((each) => !places.has(place(each.address, each.port)))
    );
  }

  /** Equal where flows may stay as they are. */
  #signature(table: PortTable | undefined): string {
    if (!table) return '';
    const { port, nodePort, frontends } = table;
    const places = placesOf(this.#mayHave(table));
    return JSON.stringify([port, nodePort, frontends.map(({ address }) => address), ...places]);
  }

  #note({ family, port, nodePort, frontends }: PortTable, endpoints: readonly Endpoint[]): void {
    const places = placesOf(endpoints);
    for (const { address } of frontends) this.#frontends.set(place(address, port), places);
    if (nodePort !== undefined) this.#nodePorts.set(`${family} ${nodePort}`, places);
    this.#families.add(family);
  }
}

function placesOf(endpoints: readonly Endpoint[]): Set<Place> {
  return new Set(endpoints.map(({ address, port }) => place(address, port)));
}

function widen(known: Map<string, ReadonlySet<Place>>, key: string, places: ReadonlySet<Place>): void {
  const before = known.get(key);
  if (before) known.set(key, before.union(places));
}
