// What the server gives out to Services: cluster addresses from the service prefixes, node ports, health check ports.
import { type Family, familyOf, fromBigInt, type Ip } from '../../net/address.ts';
import { contains, type Range } from '../../net/range.ts';

export class ClusterAddresses {
  readonly prefixes: readonly Range[];
  readonly #used = new Set<string>();
  readonly #next = new Map<Family, bigint>();

  /** At most one prefix a family, the primary family first. */
  constructor(prefixes: readonly Range[]) {
    this.prefixes = prefixes;
  }

  /** Takes one address; undefined when none is left. */
  allocate(family: Family): Ip | undefined {
    const prefix = this.prefixes.find((each) => each.family === family);
    if (!prefix) return undefined;
    // The first address is the network's own; a round goes past every other once.
    let offset = this.#next.get(family) ?? 1n;
    const size = prefix.last - prefix.first;
    for (let tries = 0n; tries < size; tries++) {
      const address = fromBigInt(family, prefix.first + offset);
      offset = offset + 1n < size ? offset + 1n : 1n;
      if (this.#used.has(address)) continue;
      this.#next.set(family, offset);
      this.#used.add(address);
      return address;
    }
    return undefined;
  }

  /** Takes this one. Answers what is in the way. */
  take(address: Ip): 'taken' | 'in use' | 'out of range' {
    if (!this.prefixes.some((prefix) => prefix.family === familyOf(address) && contains(prefix, address)))
      return 'out of range';
    if (this.#used.has(address)) return 'in use';
    this.#used.add(address);
    return 'taken';
  }

  release(address: string): void {
    this.#used.delete(address);
  }
}

const FIRST_NODE_PORT = 30_000;
const LAST_NODE_PORT = 32_767;

/** Node ports: one number may serve two protocols of one Service, never two Services. */
export class NodePorts {
  readonly #used = new Map<string, number>();
  #next = FIRST_NODE_PORT;

  allocate(protocol: string): number | undefined {
    for (let tries = FIRST_NODE_PORT; tries <= LAST_NODE_PORT; tries++) {
      const port = this.#next;
      this.#next = port === LAST_NODE_PORT ? FIRST_NODE_PORT : port + 1;
      if (this.take(protocol, port) === 'taken') return port;
    }
    return undefined;
  }

  take(protocol: string, port: number): 'taken' | 'in use' | 'out of range' {
    if (port < FIRST_NODE_PORT || port > LAST_NODE_PORT) return 'out of range';
    const key = `${protocol}/${port}`;
    if (this.#used.has(key)) return 'in use';
    this.#used.set(key, port);
    return 'taken';
  }

  release(protocol: string, port: number): void {
    this.#used.delete(`${protocol}/${port}`);
  }
}
