// The rules of allocation as a person would apply them with paper and pencil: lists, scanned whole, each time anew.
// Slow and plain on purpose; it shares no code with the allocator, whose oracle it is.
import type { ServiceRequest } from '../../src/api/service.ts';
import { familyOf, type Ip } from '../../src/net/address.ts';

export interface NaivePool {
  readonly name: string;
  /** In order, IPv4 first. */
  readonly addresses: readonly Ip[];
  readonly autoAssign: boolean;
  readonly avoidBuggyIPs: boolean;
  readonly allowNodeAddresses: boolean;
  readonly reuse: 'lowest' | 'least-recent';
  readonly drain: boolean;
  readonly maxPerNamespace: number | undefined;
  readonly allocation: { readonly priority: number; readonly namespaces: readonly string[] } | undefined;
}

export interface NaiveReservation {
  readonly addresses: readonly Ip[];
  readonly service?: string;
}

export interface NaiveQuota {
  readonly most: Readonly<Record<string, number | undefined>>;
  /** None: every namespace. */
  readonly namespaces: readonly string[];
}

interface Service {
  request: ServiceRequest;
  wants: boolean;
  waits: boolean;
  has: { address: Ip; pool: string }[];
  /** The request as which it came to what it has. */
  as: ServiceRequest;
  /** What it gave up, and as whom, while its status may still show it. */
  leaving: { address: Ip; request: ServiceRequest }[];
}

export class NaiveAllocator {
  readonly services = new Map<string, Service>();
  #pools: readonly NaivePool[] = [];
  #setAside: readonly string[] = [];
  #nodes: readonly Ip[] = [];
  #reservations: readonly NaiveReservation[] = [];
  #quotas: readonly NaiveQuota[] = [];
  /** By pool and address: when it was given up, on a clock that counts such moments. */
  readonly #usedAt = new Map<string, number>();
  #moment = 0;

  setPools(
    pools: readonly NaivePool[],
    {
      setAside,
      nodes,
      reservations,
      quotas,
    }: {
      readonly setAside: readonly string[];
      readonly nodes: readonly Ip[];
      readonly reservations: readonly NaiveReservation[];
      readonly quotas: readonly NaiveQuota[];
    },
  ): void {
    const keptBack = this.#keptBack();
    const before = this.#pools;
    this.#pools = pools.toSorted((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    this.#setAside = setAside;
    this.#nodes = nodes;
    this.#reservations = reservations;
    this.#quotas = quotas;
    for (const pool of before) {
      const after = pools.find(({ name }) => name === pool.name);
      const same =
        after?.addresses.join() === pool.addresses.join() &&
        after.avoidBuggyIPs === pool.avoidBuggyIPs &&
        after.reuse === pool.reuse;
      if (same) continue;
      for (const at of [...this.#usedAt.keys()]) if (at.startsWith(`${pool.name} `)) this.#usedAt.delete(at);
    }
    // What was kept back counts as given up when that ends.
    for (const address of keptBack)
      if (!this.#keptBack().includes(address) && !this.#isTaken(address)) this.#giveUp(address);
    for (const service of this.services.values()) this.#set(service, this.#mayStay(service));
    for (const service of this.services.values()) service.waits ||= service.wants && !this.isMet(service);
    for (const service of this.#byAge()) if (service.waits) this.#serve(service);
    this.#serveWaiting();
  }

  keep(request: ServiceRequest): void {
    const service = this.#know(request, false);
    service.waits = false;
    this.#set(service, this.#mayStay(service));
    this.#serveWaiting();
  }

  allocate(request: ServiceRequest): void {
    this.#serve(this.#know(request, true));
    this.#serveWaiting();
  }

  release(key: string): void {
    const service = this.services.get(key);
    if (!service) return;
    service.waits = false;
    this.#set(service, []);
    this.#leave(service);
    this.services.delete(key);
    this.#serveWaiting();
  }

  /** The first Service whose status may show what it does not have. */
  leaver(): string | undefined {
    return [...this.services.values()].find(({ leaving }) => leaving.length > 0)?.request.key;
  }

  /** The Service's status shows what it has. */
  shows(key: string): void {
    const service = this.services.get(key);
    if (service) this.#leave(service);
    this.#serveWaiting();
  }

  #leave(service: Service): void {
    const { leaving } = service;
    service.leaving = [];
    for (const { address } of leaving) if (!this.#isTaken(address)) this.#giveUp(address);
  }

  isMet({ request, has }: Service): boolean {
    return (
      has.length === request.families.length &&
      request.addresses.every((each) => has.some(({ address }) => address === each)) &&
      has.every(({ pool }) => request.pool === undefined || request.pool === pool)
    );
  }

  #know(request: ServiceRequest, wants: boolean): Service {
    const service = this.services.get(request.key) ?? {
      request,
      wants,
      waits: false,
      has: [],
      as: request,
      leaving: [],
    };
    Object.assign(service, { request, wants });
    this.services.set(request.key, service);
    return service;
  }

  #byAge(): Service[] {
    return [...this.services.values()].sort((a, b) => {
      const [first, second] = [a, b].map(({ request }) => `${request.createdAt} ${request.key}`);
      return (first ?? '') < (second ?? '') ? -1 : 1;
    });
  }

  #serveWaiting(): void {
    const served = this.#byAge().find((service) => service.waits && this.#serve(service));
    if (served) this.#serveWaiting();
  }

  /** Whether it has other addresses now. */
  #serve(service: Service): boolean {
    const { request } = service;
    const stays = this.#mayStay(service);
    const found = this.#search(service, stays);
    service.waits = !found || found.length < request.families.length;
    return this.#set(service, found ?? stays);
  }

  #set(service: Service, has: Service['has']): boolean {
    const before = service.has;
    service.has = has;
    const isIn = (list: readonly { address: Ip }[], address: Ip) =>
      list.some((each) => each.address === address);
    const left = before.filter(({ address }) => !isIn(has, address));
    service.leaving = service.leaving.filter(({ address }) => !isIn(has, address));
    service.leaving.push(...left.map(({ address }) => ({ address, request: service.as })));
    service.as = service.request;
    return before.map(({ address }) => address).join() !== has.map(({ address }) => address).join();
  }

  #giveUp(address: Ip): void {
    const pool = this.#poolOf(address);
    if (pool) this.#usedAt.set(`${pool.name} ${address}`, ++this.#moment);
  }

  #isTaken(address: Ip): boolean {
    return this.#holders(address).length > 0;
  }

  /** Those who have the address, and those who are leaving it. */
  #holders(address: Ip): ServiceRequest[] {
    return [...this.services.values()].flatMap(({ as, has, leaving }) => [
      ...(has.some((each) => each.address === address) ? [as] : []),
      ...leaving.filter((each) => each.address === address).map(({ request }) => request),
    ]);
  }

  #usable({ addresses, avoidBuggyIPs }: NaivePool): Ip[] {
    return addresses.filter((address) => !(avoidBuggyIPs && /\.(0|255)$/.test(address)));
  }

  #poolOf(address: Ip): NaivePool | undefined {
    return this.#pools.find((pool) => this.#usable(pool).includes(address));
  }

  /** In the order in which they were named: reservations, then nodes. */
  #keptBack(): Ip[] {
    const nodes = this.#nodes.filter((address) => !this.#poolOf(address)?.allowNodeAddresses);
    return [...new Set([...this.#reservations.flatMap(({ addresses }) => addresses), ...nodes])];
  }

  #mayHave(address: Ip, { key }: ServiceRequest): boolean {
    if (this.#nodes.includes(address) && !this.#poolOf(address)?.allowNodeAddresses) return false;
    const reservation = this.#reservations.find(({ addresses }) => addresses.includes(address));
    return reservation === undefined || reservation.service === key;
  }

  #fits(address: Ip, request: ServiceRequest): boolean {
    return this.#holders(address).every((other) => other.key === request.key || canShare(other, request));
  }

  #mayStay({ request, has }: Service): Service['has'] {
    const stays: Service['has'] = [];
    for (const family of request.families) {
      const one = has.find(({ address }) => familyOf(address) === family);
      if (!one || !this.#fits(one.address, request)) continue;
      const pool = this.#poolOf(one.address);
      if (pool) {
        if (isFor(pool, request)) stays.push({ address: one.address, pool: pool.name });
        continue;
      }
      const aside = has.find((each) => this.#setAside.includes(each.pool))?.pool;
      const named = this.#pools.some(({ addresses }) => addresses.includes(one.address));
      if (aside !== undefined && !named) stays.push({ address: one.address, pool: aside });
    }
    return stays;
  }

  #search(service: Service, stays: Service['has']): Service['has'] | undefined {
    const { request } = service;
    const { families } = request;
    const inOrder = (list: Service['has']) =>
      list.toSorted((a, b) => families.indexOf(familyOf(a.address)) - families.indexOf(familyOf(b.address)));
    if (request.addresses.length > 0) {
      const named = request.addresses.map((address) => this.#named(service, address, stays));
      return named.some((each) => each === undefined)
        ? undefined
        : inOrder(named.flatMap((each) => each ?? []));
    }
    const wanted = stays.filter(({ pool }) => request.pool === undefined || pool === request.pool);
    const missing = families.filter((family) => !wanted.some(({ address }) => familyOf(address) === family));
    if (missing.length === 0) return wanted;
    const reserved = this.#reservations
      .filter((each) => each.service === request.key)
      .flatMap(({ addresses }) => addresses.map((address) => this.#poolOf(address)));
    const near = this.#pools.find(({ name }) => name === wanted[0]?.pool);
    const order = [...new Set([...reserved, near, ...this.#pools])].filter((pool) => pool !== undefined);
    const pools = order.filter(({ name }) => request.pool === undefined || request.pool === name);
    const offers = (pool: NaivePool) =>
      missing.map((family) => this.#offer(service, pool, family)).filter((each) => each !== undefined);
    const whole = pools.map(offers).find((each) => each.length === missing.length);
    const parts = missing.flatMap((family) => {
      const found = pools
        .map((pool) => this.#offer(service, pool, family))
        .find((each) => each !== undefined);
      return found ? [found] : [];
    });
    const all = inOrder([...wanted, ...(whole ?? parts)]);
    return all.length >= (request.bothRequired ? families.length : 1) ? all : undefined;
  }

  #named(service: Service, address: Ip, stays: Service['has']): Service['has'][number] | undefined {
    const { request } = service;
    const pool = this.#poolOf(address);
    const stay = stays.find((each) => each.address === address);
    const name = pool?.name ?? stay?.pool;
    if (name === undefined || (request.pool !== undefined && request.pool !== name)) return undefined;
    if (stay) return { address, pool: name };
    if (!pool || pool.drain || !isFor(pool, request) || !this.#mayHave(address, request)) return undefined;
    if (!this.#fits(address, request) || this.#isAtLimit(service, pool, familyOf(address))) return undefined;
    return { address, pool: name };
  }

  #isAtLimit({ request }: Service, pool: NaivePool, family: string): boolean {
    const others: Ip[] = [];
    for (const { request: other, has } of this.services.values()) {
      if (other.key === request.key || other.namespace !== request.namespace) continue;
      others.push(...has.map(({ address }) => address).filter((each) => familyOf(each) === family));
    }
    const here = others.filter((address) => this.#poolOf(address) === pool);
    if (pool.maxPerNamespace !== undefined && here.length >= pool.maxPerNamespace) return true;
    return this.#quotas.some(({ most, namespaces }) => {
      const limits = namespaces.length === 0 || namespaces.includes(request.namespace);
      return limits && others.length >= (most[family] ?? Number.POSITIVE_INFINITY);
    });
  }

  #offer(service: Service, pool: NaivePool, family: string): Service['has'][number] | undefined {
    const { request } = service;
    if (pool.drain || (!pool.autoAssign && request.pool !== pool.name) || !isFor(pool, request))
      return undefined;
    if (this.#isAtLimit(service, pool, family)) return undefined;
    const possible = this.#usable(pool).filter(
      (address) =>
        familyOf(address) === family && this.#mayHave(address, request) && this.#fits(address, request),
    );
    const reserved = this.#reservations
      .filter((each) => each.service === request.key)
      .flatMap(({ addresses }) => addresses)
      .find((address) => possible.includes(address));
    const usedAt = (address: Ip) => this.#usedAt.get(`${pool.name} ${address}`) ?? 0;
    const reserves = this.#reservations.flatMap(({ addresses }) => addresses);
    const free = possible.filter((address) => !this.#isTaken(address) && !reserves.includes(address));
    const shared = possible.find(
      (address) =>
        this.#isTaken(address) && this.#holders(address).every((other) => canShare(other, request)),
    );
    const next = pool.reuse === 'lowest' ? free[0] : free.toSorted((a, b) => usedAt(a) - usedAt(b))[0];
    const address = reserved ?? shared ?? next;
    return address && { address, pool: pool.name };
  }
}

function canShare(a: ServiceRequest, b: ServiceRequest): boolean {
  return (
    a.sharingKey !== undefined &&
    a.sharingKey === b.sharingKey &&
    a.backend === b.backend &&
    !a.ports.some((port) => b.ports.includes(port))
  );
}

function rank({ allocation }: NaivePool): number {
  return allocation ? allocation.priority || 1000 : 2000;
}

function isFor({ allocation }: NaivePool, { namespace }: ServiceRequest): boolean {
  const namespaces = allocation?.namespaces ?? [];
  return namespaces.length === 0 || namespaces.includes(namespace);
}
