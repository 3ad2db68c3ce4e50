// Who holds which address, and whether another may share it.
import type { ServiceRequest } from '../api/service.ts';
import { type Family, familyOf, fromBigInt, type Ip, toBigInt } from '../net/address.ts';
import type { Range } from '../net/range.ts';
import { SharedAddresses } from './shared-addresses.ts';

/** What of a Service decides on sharing. */
export interface Sharer {
  readonly sharingKey: string | undefined;
  readonly backend: string;
  readonly ports: readonly string[];
}

export function sharerOf({ sharingKey, backend, ports }: ServiceRequest): Sharer {
  return { sharingKey, backend, ports };
}

export interface Conflict {
  readonly holder: string;
  readonly why: string;
}

/** One address: all who hold it agree on the key and the backend, and no two have a port in common. */
interface Tenancy {
  readonly tenants: Map<string, Sharer>;
  /** Who has which port. */
  readonly ports: Map<string, string>;
}

interface Change {
  /** Addresses that others are with, or that are shared otherwise, than before. */
  readonly touched: Iterable<Ip>;
  /** Addresses that nobody holds any more. */
  readonly freed: readonly Ip[];
  /** Whether somebody with a sharing key may find room at an address that is held. */
  readonly loosened: boolean;
}

const NOTHING: readonly Ip[] = [];
const UNCHANGED: Change = { touched: NOTHING, freed: NOTHING, loosened: false };
/** Behind a Service's key: the tenant that it still is of addresses that it gave up. */
const LEAVING = ' (leaving it)';

export class Holdings {
  readonly #tenancies = new Map<Ip, Tenancy>();
  /** Addresses that Services with one key share before one backend. */
  readonly #companies = new Map<string, SharedAddresses>();
  readonly #held = new Map<string, { readonly addresses: readonly Ip[]; readonly sharer: Sharer }>();

  isTaken(address: Ip): boolean {
    return this.#tenancies.has(address);
  }

  /** The same array until it changes. */
  of(key: string): readonly Ip[] {
    return this.#held.get(key)?.addresses ?? NOTHING;
  }

  /** The first who came to the address of those who have it; none who is leaving it. */
  holderOf(address: Ip): string | undefined {
    for (const tenant of this.#tenancies.get(address)?.tenants.keys() ?? [])
      if (!tenant.endsWith(LEAVING)) return tenant;
    return undefined;
  }

  /** Every address that somebody holds. */
  taken(): Iterable<Ip> {
    return this.#tenancies.keys();
  }

  /** Who keeps `key` from this address, and why; undefined if nobody does. */
  conflict(address: Ip, key: string, wanted: Sharer): Conflict | undefined {
    const tenancy = this.#tenancies.get(address);
    if (!tenancy) return undefined;
    const other = anotherThan(key, tenancy.tenants);
    if (!other) return undefined;
    const [holder, held] = other;
    const own = key + LEAVING;
    if (wanted.sharingKey === undefined || held.sharingKey !== wanted.sharingKey)
      return { holder, why: 'the two do not have the same fairlead.dev/allow-shared-ip key' };
    for (const port of wanted.ports) {
      const user = tenancy.ports.get(port);
      if (user !== undefined && user !== key && user !== own)
        return { holder: user, why: `both have the port ${port}` };
    }
    if (held.backend !== wanted.backend) {
      const why =
        'they can share only if both have externalTrafficPolicy Cluster, or both Local and the same selector';
      return { holder, why };
    }
    return undefined;
  }

  /** The lowest address of the range where others share under the sharer's key and have none of its ports. */
  company(range: Range, sharer: Sharer): Ip | undefined {
    const value = this.#companies.get(companyName(range.family, sharer))?.lowest(range, sharer.ports);
    return value === undefined ? undefined : fromBigInt(range.family, value);
  }

  /**
   * `key` holds exactly these addresses from now on. The caller has asked for conflicts. What it gives up stays with it
   * as something that it is leaving if `lingers`.
   */
  set(key: string, addresses: readonly Ip[], sharer: Sharer, lingers: boolean): Change {
    const before = this.#held.get(key) ?? { addresses: NOTHING, sharer };
    const left = this.#held.get(key + LEAVING);
    const same = sameTexts(before.addresses, addresses) && sameSharer(before.sharer, sharer);
    if (same && (lingers || !left)) return UNCHANGED;
    const stillLeft = left?.addresses.filter((address) => !addresses.includes(address)) ?? NOTHING;
    const given = before.addresses.filter((address) => !addresses.includes(address));
    // In this order no port is the Service's and its former self's at one time.
    if (left) this.#put(key + LEAVING, stillLeft, left.sharer);
    this.#put(key, addresses, sharer);
    if (left || given.length > 0)
      this.#put(key + LEAVING, lingers ? [...stillLeft, ...given] : NOTHING, before.sharer);
    const had = left ? [...before.addresses, ...left.addresses] : before.addresses;
    return {
      touched: had.length > 0 ? new Set([...had, ...addresses]) : addresses,
      freed: had.filter((address) => !this.#tenancies.has(address)),
      loosened:
        before.sharer.sharingKey !== undefined || (addresses.length > 0 && sharer.sharingKey !== undefined),
    };
  }

  /** The Service, which had these addresses before anybody was asked, is leaving them. */
  linger(key: string, addresses: readonly Ip[], sharer: Sharer): void {
    this.#put(key + LEAVING, addresses, sharer);
  }

  /** Of what it is leaving, the Service has left all but these. */
  leave(key: string, but: readonly Ip[]): Change {
    const left = this.#held.get(key + LEAVING);
    if (!left) return UNCHANGED;
    const stillLeft = left.addresses.filter((address) => but.includes(address));
    this.#put(key + LEAVING, stillLeft, left.sharer);
    return {
      touched: left.addresses,
      freed: left.addresses.filter((address) => !this.#tenancies.has(address)),
      loosened: left.sharer.sharingKey !== undefined,
    };
  }

  #put(key: string, addresses: readonly Ip[], sharer: Sharer): void {
    for (const address of this.of(key)) this.#leave(address, key);
    for (const address of addresses) this.#enter(address, key, sharer);
    if (addresses.length > 0) this.#held.set(key, { addresses, sharer });
    else this.#held.delete(key);
  }

  #enter(address: Ip, key: string, sharer: Sharer): void {
    const tenancy = this.#tenancies.get(address) ?? { tenants: new Map(), ports: new Map() };
    this.#tenancies.set(address, tenancy);
    tenancy.tenants.set(key, sharer);
    for (const port of sharer.ports) tenancy.ports.set(port, key);
    if (sharer.sharingKey === undefined) return;
    const name = companyName(familyOf(address), sharer);
    const company = this.#companies.get(name) ?? new SharedAddresses(familyOf(address));
    this.#companies.set(name, company);
    const value = toBigInt(address);
    if (tenancy.tenants.size === 1) company.add(value);
    company.takePorts(value, sharer.ports);
  }

  #leave(address: Ip, key: string): void {
    const tenancy = this.#tenancies.get(address);
    const sharer = tenancy?.tenants.get(key);
    if (!tenancy || !sharer) return;
    tenancy.tenants.delete(key);
    for (const port of sharer.ports) tenancy.ports.delete(port);
    if (tenancy.tenants.size === 0) this.#tenancies.delete(address);
    if (sharer.sharingKey === undefined) return;
    const name = companyName(familyOf(address), sharer);
    const company = this.#companies.get(name);
    if (!company) return;
    const value = toBigInt(address);
    company.givePorts(value, sharer.ports);
    if (tenancy.tenants.size === 0) company.remove(value);
    if (company.size === 0) this.#companies.delete(name);
  }
}

function anotherThan(key: string, tenants: ReadonlyMap<string, Sharer>): [string, Sharer] | undefined {
  for (const tenant of tenants) if (tenant[0] !== key && tenant[0] !== key + LEAVING) return tenant;
  return undefined;
}

function companyName(family: Family, { sharingKey, backend }: Sharer): string {
  return JSON.stringify([family, sharingKey, backend]);
}

function sameSharer(a: Sharer, b: Sharer): boolean {
  return a.sharingKey === b.sharingKey && a.backend === b.backend && sameTexts(a.ports, b.ports);
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
