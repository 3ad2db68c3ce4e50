// Forwards Service traffic on this node: keeps the kernel's elements equal to Services and EndpointSlices.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Clock } from '../clock/clock.ts';
import type { EndpointSliceObject, ServiceObject } from '../kube/objects.ts';
import { familyOf, type Ip } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import type { OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { Claims } from './claims.ts';
import { addressKey, elementsOf, frontendSet, identifyingKeys, idIn, type SetElement } from './elements.ts';
import { serviceKeyOf } from './endpoints.ts';
import { type Difference, KernelTable } from './kernel-table.ts';
import type { ProxyMetrics } from './metrics.ts';
import { digitOf, MOST_IDS, SETS, type SetName } from './rules.ts';
import { type PortTable, type ServiceTable, serviceTable } from './table.ts';

export interface ServiceProxyOptions {
  readonly open: OpenNetlinkSocket;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ProxyMetrics;
}

interface KnownService {
  service: ServiceObject | undefined;
  readonly slices: Map<string, EndpointSliceObject>;
  table: ServiceTable;
}

export class ServiceProxy {
  readonly #options: ServiceProxyOptions;
  readonly #kernel: KernelTable;
  readonly #claims = new Claims();
  readonly #services = new Map<string, KnownService>();
  readonly #sliceOwners = new Map<string, string>();
  readonly #dirty = new Set<string>();
  /** Services that the kernel refuses, with its words. */
  readonly #setAside = new Map<string, string>();
  readonly #ids = new Map<string, number>();
  readonly #usedIds = new Set<number>();
  /** Ids of a predecessor that no port has taken over yet. */
  readonly #inherited = new Set<number>();
  #nextId = 1;
  /** Elements that a predecessor left are compared with what is wanted in the first sync. */
  #tookOver = false;

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
    this.#kernel = new KernelTable(options);
  }

  /** Rejects when this kernel or machine cannot forward; the message says what is missing. */
  async start(): Promise<void> {
    const { log } = this.#options;
    for (const file of ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'])
      enableForwarding(file, log);
    this.#tookOver = (await this.#kernel.start()) === 'taken over';
    for (const family of ['IPv4', 'IPv6'] as const) {
      for (const [, data] of this.#kernel.entries(frontendSet(family))) {
        const id = data.kind === 'value' ? idIn(data.bytes) : undefined;
        if (id !== undefined) this.#inherited.add(id);
      }
    }
    log.info(
      { takenOver: this.#tookOver, elements: this.#kernel.size },
      'the forwarding rules are in the kernel',
    );
  }

  setService(key: string, service: ServiceObject | undefined): void {
    this.#known(key).service = service;
    this.#dirty.add(key);
  }

  setEndpointSlice(key: string, slice: EndpointSliceObject | undefined): void {
    const before = this.#sliceOwners.get(key);
    const now = slice && serviceKeyOf(slice);
    if (before !== undefined) {
      this.#known(before).slices.delete(key);
      this.#sliceOwners.delete(key);
      this.#dirty.add(before);
    }
    if (!slice || now === undefined) return;
    this.#known(now).slices.set(key, slice);
    this.#sliceOwners.set(key, now);
    this.#dirty.add(now);
  }

  /** Sends what changed; resolves when it is in the kernel. What the kernel refuses is set aside and said. */
  async sync(): Promise<void> {
    const { clock, metrics } = this.#options;
    if (this.#dirty.size === 0 && !this.#tookOver) return;
    const began = clock.now();
    const keys = [...this.#dirty, ...this.#setAside.keys()];
    this.#dirty.clear();
    const touched = keys.map((key) => ({ key, elements: this.#reclaim(key) }));
    const left = this.#tookOver ? this.#leftovers() : [];
    try {
      await this.#kernel.apply(this.#differences([...touched.flatMap(({ elements }) => elements), ...left]));
      for (const { key } of touched) this.#setAside.delete(key);
      this.#tookOver = false;
      this.#inherited.clear();
    } catch (error) {
      metrics.failures.inc();
      await this.#applyOneByOne(touched, error as Error);
    }
    metrics.changes.inc(touched.length);
    metrics.elements.set(this.#kernel.size);
    metrics.setAside.set(this.#setAside.size);
    metrics.syncSeconds.observe((clock.now() - began) / 1000);
  }

  /** Whether what arrives here for this load balancer's address is dealt with: forwarded, or refused. */
  serves(address: Ip): boolean {
    return this.#kernel.has(`balanced${digitOf(familyOf(address))}`, addressKey(address));
  }

  /** The rules stay in the kernel and forward on. */
  close(): void {
    this.#kernel.close();
  }

  /** Computes a Service's elements anew; returns those whose meaning may have changed. */
  #reclaim(key: string): SetElement[] {
    const known = this.#known(key);
    const before = known.table;
    known.table = serviceTable(known.service, known.slices.values(), this.#options.nodeName);
    const elements = this.#claims.set(
      key,
      elementsOf(known.table, (port) => this.#idFor(port)),
    );
    const kept = new Set(known.table.ports.map((port) => port.key));
    for (const port of before.ports) if (!kept.has(port.key)) this.#releaseId(port.key);
    if (!known.service && known.slices.size === 0) this.#services.delete(key);
    return elements;
  }

  /** Elements in the kernel that nobody claims: of Services that ended while nobody looked. */
  #leftovers(): SetElement[] {
    return SETS.flatMap((set): SetName[] => [`${set}4`, `${set}6`]).flatMap((set) =>
      [...this.#kernel.entries(set)].map(([key, data]) => ({ set, key, data })),
    );
  }

  *#differences(elements: Iterable<SetElement>): Iterable<Difference> {
    for (const { set, key } of elements) yield { set, key, wanted: this.#claims.wanted(set, key) };
  }

  /** One refused element must not hold back other Services. */
  async #applyOneByOne(
    touched: readonly { key: string; elements: readonly SetElement[] }[],
    cause: Error,
  ): Promise<void> {
    const { log } = this.#options;
    log.warn(
      { error: cause.message, services: touched.length },
      'the kernel refused a transaction; sending one Service at a time',
    );
    for (const { key, elements } of touched) {
      try {
        await this.#kernel.apply(this.#differences(elements));
        this.#setAside.delete(key);
      } catch (error) {
        const { message } = error as Error; // NetlinkError or nft's words
        if (this.#setAside.get(key) !== message)
          log.error({ service: key, error: message }, 'set a Service aside: the kernel refuses its rules');
        this.#setAside.set(key, message);
      }
    }
  }

  #idFor(port: PortTable): number {
    const known = this.#ids.get(port.key) ?? this.#inheritedId(port);
    const id = known ?? this.#freshId();
    this.#ids.set(port.key, id);
    this.#usedIds.add(id);
    return id;
  }

  /** The id that a predecessor gave to this port, so that nothing in the data path changes. */
  #inheritedId(port: PortTable): number | undefined {
    if (!this.#tookOver) return undefined;
    for (const key of identifyingKeys(port)) {
      const data = this.#kernel.get(frontendSet(port.family), key);
      const id = data?.kind === 'value' ? idIn(data.bytes) : undefined;
      // Another port has it already where an address went from one Service to the other meanwhile.
      if (id !== undefined && this.#inherited.delete(id)) return id;
    }
    return undefined;
  }

  #freshId(): number {
    while (this.#usedIds.has(this.#nextId) || this.#inherited.has(this.#nextId))
      this.#nextId = (this.#nextId % MOST_IDS) + 1;
    return this.#nextId;
  }

  #releaseId(portKey: string): void {
    const id = this.#ids.get(portKey);
    this.#ids.delete(portKey);
    if (id !== undefined) this.#usedIds.delete(id);
  }

  #known(key: string): KnownService {
    const known = this.#services.get(key) ?? {
      service: undefined,
      slices: new Map(),
      table: { ports: [], addresses: [], balanced: [] },
    };
    this.#services.set(key, known);
    return known;
  }
}

/** A node that does not forward drops Service traffic silently: switch it on, and say so. */
function enableForwarding(file: string, log: Logger): void {
  try {
    if (readFileSync(file, 'utf8').trim() !== '0') return;
    writeFileSync(file, '1');
    log.warn({ file }, 'forwarding was off on this node; switched it on');
  } catch (error) {
    log.warn({ file, error: (error as Error).message }, 'cannot switch forwarding on; set this to 1');
  }
}
