// Who holds which address, and whether another may share it.
import type { ServiceRequest } from '../api/service.ts';
import type { Ip } from '../net/address.ts';

/** What of a Service decides on sharing. */
export interface Sharer {
  readonly sharingKey: string | undefined;
  readonly backend: string;
  readonly ports: readonly string[];
}

export function sharerOf({ sharingKey, backend, ports }: ServiceRequest): Sharer {
  return { sharingKey, backend, ports };
}

export class Holdings {
  readonly #holders = new Map<Ip, Map<string, Sharer>>();
  readonly #addresses = new Map<string, readonly Ip[]>();
  /** Addresses held under a sharing key, for those who look for company. */
  readonly #byKey = new Map<string, Set<Ip>>();

  isTaken(address: Ip): boolean {
    return this.#holders.has(address);
  }

  of(key: string): readonly Ip[] {
    return this.#addresses.get(key) ?? [];
  }

  /** Every address that somebody holds. */
  taken(): IterableIterator<Ip> {
    return this.#holders.keys();
  }

  sharedUnder(sharingKey: string): Iterable<Ip> {
    return this.#byKey.get(sharingKey) ?? [];
  }

  /** Who keeps `key` from this address, and why; undefined if nobody does. */
  conflict(
    address: Ip,
    key: string,
    wanted: Sharer,
  ): { readonly holder: string; readonly why: string } | undefined {
    for (const [holder, sharer] of this.#holders.get(address) ?? []) {
      if (holder === key) continue;
      const why = whyNotShared(sharer, wanted);
      if (why) return { holder, why };
    }
    return undefined;
  }

  /** `key` holds exactly these addresses from now on. Returns those that are free because of it. */
  set(key: string, addresses: readonly Ip[], sharer: Sharer): Ip[] {
    const before = this.of(key);
    for (const address of before) this.#drop(address, key);
    for (const address of addresses) this.#hold(address, key, sharer);
    if (addresses.length > 0) this.#addresses.set(key, addresses);
    else this.#addresses.delete(key);
    return before.filter((address) => !this.#holders.has(address));
  }

  #hold(address: Ip, key: string, sharer: Sharer): void {
    const holders = this.#holders.get(address) ?? new Map<string, Sharer>();
    holders.set(key, sharer);
    this.#holders.set(address, holders);
    if (sharer.sharingKey === undefined) return;
    const shared = this.#byKey.get(sharer.sharingKey) ?? new Set<Ip>();
    shared.add(address);
    this.#byKey.set(sharer.sharingKey, shared);
  }

  #drop(address: Ip, key: string): void {
    const holders = this.#holders.get(address);
    const sharingKey = holders?.get(key)?.sharingKey;
    holders?.delete(key);
    if (holders?.size === 0) this.#holders.delete(address);
    if (sharingKey === undefined) return;
    const stillShared = [...(holders?.values() ?? [])].some((sharer) => sharer.sharingKey === sharingKey);
    const shared = this.#byKey.get(sharingKey);
    if (!stillShared) shared?.delete(address);
    if (shared?.size === 0) this.#byKey.delete(sharingKey);
  }
}

function whyNotShared(held: Sharer, wanted: Sharer): string | undefined {
  if (
    held.sharingKey === undefined ||
    wanted.sharingKey === undefined ||
    held.sharingKey !== wanted.sharingKey
  ) {
    return 'the two do not have the same fairlead.dev/allow-shared-ip key';
  }
  const port = wanted.ports.find((each) => held.ports.includes(each));
  if (port !== undefined) return `both have the port ${port}`;
  if (held.backend !== wanted.backend) {
    return 'they can share only if both have externalTrafficPolicy Cluster, or both Local and the same selector';
  }
  return undefined;
}
