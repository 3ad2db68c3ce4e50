// What the server gives out to Services: cluster addresses from the service prefixes, node ports, health check ports.
// Choosing takes nothing: what a stored Service holds is taken when it is stored.
import { type Family, familyOf, fromBigInt, type Ip } from '../../net/address.ts';
import { contains, type Range } from '../../net/range.ts';

export type Availability = 'free' | 'in use' | 'out of range';

export class ClusterAddresses {
  readonly prefixes: readonly Range[];
  readonly #used = new Set<string>();
  readonly #next = new Map<Family, bigint>();

  /** At most one prefix a family, the primary family first. */
  constructor(prefixes: readonly Range[]) {
    this.prefixes = prefixes;
  }

  get families(): Family[] {
    return this.prefixes.map(({ family }) => family);
  }

  /** A free address; undefined when none is left. */
  choose(family: Family): Ip | undefined {
    const prefix = this.prefixes.find((each) => each.family === family);
    if (!prefix) return undefined;
    // The first address is the network's own, and IPv4's last the broadcast; a round goes past every other once.
    const usable = prefix.last - prefix.first - (family === 'IPv4' ? 1n : 0n);
    let offset = this.#next.get(family) ?? 1n + keptForRequests(usable);
    for (let tries = 0n; tries < usable; tries++) {
      const address = fromBigInt(family, prefix.first + offset);
      offset = offset < usable ? offset + 1n : 1n;
      if (this.#used.has(address)) continue;
      this.#next.set(family, offset);
      return address;
    }
    return undefined;
  }

  availability(address: Ip): Availability {
    const prefix = this.prefixes.find((each) => each.family === familyOf(address));
    if (!prefix || !contains(prefix, address)) return 'out of range';
    return this.#used.has(address) ? 'in use' : 'free';
  }

  take(address: string): void {
    this.#used.add(address);
  }

  release(address: string): void {
    this.#used.delete(address);
  }
}

/**
 * How many of the first addresses nobody gets who does not ask for one, until the others are gone (KEP-3070): a
 * sixteenth, at least 16 and at most 256.
 */
function keptForRequests(usable: bigint): bigint {
  const sixteenth = usable / 16n;
  if (usable < 16n) return 0n;
  if (sixteenth < 16n) return 16n;
  return sixteenth > 256n ? 256n : sixteenth;
}

/** kube-apiserver's --service-node-port-range by default. */
const FIRST_NODE_PORT = 30_000;
const LAST_NODE_PORT = 32_767;
/** The ports before it nobody gets who does not ask for one, until the others are gone (KEP-3668). */
const FIRST_CHOSEN_NODE_PORT = FIRST_NODE_PORT + 86;

/** A number belongs to one Service, whatever the protocol. */
export class NodePorts {
  readonly #used = new Set<number>();
  #next = FIRST_CHOSEN_NODE_PORT;

  /** A free one that is not in `besides`; undefined when none is left. */
  choose(besides: ReadonlySet<number>): number | undefined {
    for (let tries = FIRST_NODE_PORT; tries <= LAST_NODE_PORT; tries++) {
      const port = this.#next;
      this.#next = port === LAST_NODE_PORT ? FIRST_NODE_PORT : port + 1;
      if (!this.#used.has(port) && !besides.has(port)) return port;
    }
    return undefined;
  }

  availability(port: number): Availability {
    if (port < FIRST_NODE_PORT || port > LAST_NODE_PORT) return 'out of range';
    return this.#used.has(port) ? 'in use' : 'free';
  }

  take(port: number): void {
    this.#used.add(port);
  }

  release(port: number): void {
    this.#used.delete(port);
  }
}
