// Forwards Service traffic on this node: keeps the kernel's elements equal to Services and EndpointSlices.
import type { Clock } from '../clock/clock.ts';
import type { EndpointSliceObject, ServiceObject } from '../kube/objects.ts';
import type { Ip } from '../net/address.ts';
import { type Range, subtract } from '../net/range.ts';
import type { ForeignChange } from '../netlink/nftables-watch.ts';
import type { Logger } from '../observe/logger.ts';
import type { OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { AffinityPools } from './affinity.ts';
import { Claims } from './claims.ts';
import { addressElement, countedElements, elementsOf, type SetElement, sourcesIn } from './elements.ts';
import { type NodePlace, serviceKeyOf } from './endpoints.ts';
import { FlowCleaner } from './flow-cleaner.ts';
import type { HealthChecks } from './health-checks.ts';
import { IpForwarding } from './ip-forwarding.ts';
import { KernelTable, RefusedError } from './kernel-table.ts';
import type { LocalhostNodePorts } from './localhost-node-ports.ts';
import type { ProxyMetrics } from './metrics.ts';
import type { NodeView } from './node.ts';
import { PortIds } from './port-ids.ts';
import { type RangeSets, type RuleOptions, rangeText, SET_NAMES, TABLES } from './rules.ts';
import { ServiceCounters, type Traffic } from './service-counters.ts';
import { SourceLists } from './source-ranges.ts';
import { EMPTY_TABLE, type ServiceTable, serviceTable } from './table.ts';
import type { Difference } from './transactions.ts';

export interface ServiceProxyOptions {
  readonly open: OpenNetlinkSocket;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ProxyMetrics;
  readonly rules: RuleOptions;
  /** Connections of TCP whose endpoint is gone end by a reset with the client's next packet. */
  readonly resetStaleTcp: boolean;
  readonly healthChecks: HealthChecks;
  /** Absent: node ports are not served on loopback. */
  readonly localhost?: Pick<LocalhostNodePorts, 'set' | 'close'> | undefined;
  /** Somebody else changed our rules: `sync` is due. */
  readonly onForeignChange: () => void;
  /** What a Service's annotations ask for in vain, and why; again when that changes, empty when it is mended. */
  readonly onComplaints: (serviceKey: string, complaints: readonly string[]) => void;
}

interface KnownService {
  service: ServiceObject | undefined;
  readonly slices: Map<string, EndpointSliceObject>;
  table: ServiceTable;
}

/** Stands among the Services' keys for what a predecessor left in the kernel; no Service is called so. */
const PREDECESSOR = 'predecessor';
/** The same for what the node itself has. */
const NODE = 'node';

export class ServiceProxy {
  readonly #options: ServiceProxyOptions;
  readonly #kernel: KernelTable;
  readonly #claims = new Claims();
  readonly #ids: PortIds;
  readonly #sourceLists = new SourceLists();
  readonly #affinity = new AffinityPools();
  readonly #services = new Map<string, KnownService>();
  readonly #sliceOwners = new Map<string, string>();
  readonly #dirty = new Set<string>();
  /** Elements whose state in the kernel may not be what is wanted, by Service. */
  readonly #unsettled = new Map<string, readonly SetElement[]>();
  /** Services that the kernel refuses, with its words; they stay unsettled. */
  readonly #setAside = new Map<string, string>();
  /** Services whose annotations ask for what is not done. */
  readonly #complained = new Set<string>();
  /** The Services that a load balancer's address belongs to, as of the last sync. */
  readonly #holders = new Map<Ip, Set<string>>();
  readonly #flows: FlowCleaner;
  readonly #counters: ServiceCounters;
  readonly #forwarding: IpForwarding;
  #cleaning = Promise.resolve();
  #closed = false;
  #place: NodePlace;
  #own: readonly Ip[] = [];
  #ranges: RangeSets = { pods: [], inside: [], 'allocated-from': [] };
  /** As text: the sets of ranges as they should be, and as the kernel has them. */
  #rangesWanted = '';
  #rangesInForce: string | undefined;
  /** What somebody else changed since we looked. */
  #foreign: ForeignChange | undefined;
  /** Nothing is in force before the first sync. */
  #first = true;

  /** Opens a netlink socket: throws what `open` throws. */
  constructor(options: ServiceProxyOptions) {
    this.#options = options;
    this.#place = { node: options.nodeName, zone: undefined };
    this.#setRanges({});
    this.#kernel = new KernelTable({
      ...options,
      onForeignChange: (change) => {
        this.#foreign = this.#foreign === 'anything' ? 'anything' : change;
        options.onForeignChange();
      },
    });
    this.#ids = new PortIds(this.#kernel);
    this.#flows = new FlowCleaner(options);
    this.#counters = new ServiceCounters({ ...options, table: () => this.#kernel.name });
    this.#forwarding = new IpForwarding(options.log);
  }

  /**
   * Prepares the rules, or finds those of a predecessor, which forward on; the first sync puts ours in force.
   * Rejects when this kernel or machine cannot forward; the message says what is missing.
   */
  async start(): Promise<void> {
    const takenOver = (await this.#kernel.start()) === 'taken over';
    this.#ids.inherit();
    this.#inheritSourceLists();
    if (takenOver) this.#rangesInForce = rangeText(TABLES[0], await this.#kernel.ranges());
    const elements = this.#kernel.size;
    this.#options.log.info({ takenOver, elements }, 'prepared the forwarding rules');
  }

  /** The node, or what the flags make of it, changed. */
  setNode({ zone, own, nodePortAddresses, ranges }: NodeView): void {
    if (zone !== this.#place.zone || own.join() !== this.#own.join())
      for (const key of this.#services.keys()) this.#dirty.add(key);
    this.#place = { ...this.#place, zone };
    this.#own = own;
    this.#setRanges(ranges);
    const elements = nodePortAddresses.map((address) => addressElement('nodes', address));
    this.#unsettle(NODE, this.#claims.set(NODE, elements));
    this.#options.healthChecks.setAddresses(nodePortAddresses);
  }

  /** The ranges that the API server gives cluster addresses from. */
  setServiceCidrs(ranges: readonly Range[]): void {
    this.#setRanges({ 'allocated-from': subtract(ranges, []) });
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

  /**
   * Sends what changed; resolves when it is in the kernel. Services that the kernel refuses are set aside and said.
   * Rejects when the kernel cannot be reached; then nothing is forgotten, and it is to be called again.
   */
  async sync(): Promise<void> {
    const { clock, metrics } = this.#options;
    if (!this.#hasWork) return;
    const began = clock.now();
    metrics.changes.inc(this.#dirty.size);
    for (const key of this.#dirty) this.#recompute(key);
    this.#dirty.clear();
    if (this.#first) this.#unsettle(PREDECESSOR, this.#inKernel());
    try {
      if (this.#foreign) await this.#repair();
      await this.#settleAll();
      await this.#settleRanges();
      await this.#kernel.activate();
      await this.#forgetClients();
      await this.#kernel.removeSpareChains();
    } catch (error) {
      metrics.failures.inc();
      throw error;
    }
    this.#first = false;
    this.#ids.forgetInherited();
    this.#sourceLists.forgetInherited();
    metrics.elements.set(this.#kernel.size);
    metrics.setAside.set(this.#setAside.size);
    metrics.syncSeconds.observe((clock.now() - began) / 1000);
  }

  /**
   * Deletes flows to endpoints that are gone. To be called after `sync`, when nothing more urgent is to be done:
   * looking through the kernel's table takes some 9 ms a family however few flows there are. What it needs of this
   * process is in small pieces, and `sync` need not wait for it. Never rejects: what fails is tried with the next.
   */
  cleanFlows(): Promise<void> {
    this.#cleaning = this.#cleaning.then(() => this.#clean());
    return this.#cleaning;
  }

  async #clean(): Promise<void> {
    const { log, metrics } = this.#options;
    try {
      const { UDP, TCP } = await this.#flows.clean();
      metrics.staleFlows.inc({ protocol: 'UDP' }, UDP);
      metrics.staleFlows.inc({ protocol: 'TCP' }, TCP);
    } catch (error) {
      if (!this.#closed)
        log.warn({ error: (error as Error).message }, 'cannot delete flows to endpoints that are gone');
    }
  }

  /** Nodes that are known to be dead, whatever the API server says: their endpoints get nothing new. `sync` is due. */
  setDeadNodes(dead: ReadonlySet<string>): void {
    const before = this.#place.dead ?? new Set();
    const changed = dead.symmetricDifference(before);
    this.#place = { ...this.#place, dead };
    if (changed.size === 0) return;
    for (const [key, { slices }] of this.#services) {
      const touched = [...slices.values()].some(({ endpoints }) =>
        endpoints?.some(({ nodeName }) => nodeName !== undefined && changed.has(nodeName)),
      );
      if (touched) this.#dirty.add(key);
    }
  }

  /** Whether what arrives here for this load balancer's address is dealt with: forwarded, or refused. */
  serves(address: Ip): boolean {
    return [...(this.#holders.get(address) ?? [])].some((key) => !this.#unsettled.has(key));
  }

  /** What each Service has had so far, as the kernel has counted. Rejects when the kernel cannot be asked. */
  traffic(): Promise<ReadonlyMap<string, Traffic>> {
    return this.#counters.read((set, key) => this.#claims.ownerOf(set, key));
  }

  /** The rules stay in the kernel and forward on. */
  close(): void {
    this.#closed = true;
    this.#counters.close();
    this.#options.healthChecks.close();
    this.#options.localhost?.close();
    this.#kernel.close();
    this.#flows.close();
  }

  /** Computes a Service's elements anew. */
  #recompute(key: string): void {
    const known = this.#known(key);
    const before = known.table;
    const after = serviceTable(known.service, known.slices.values(), this.#place, this.#own);
    known.table = after;
    for (const list of sourceListsOf(after)) this.#sourceLists.hold(list);
    const elements = elementsOf(after, {
      port: (port) => this.#ids.idFor(port),
      sources: (list) => this.#sourceLists.idFor(list),
    });
    elements.push(...countedElements(after, this.#options.rules.counting));
    this.#unsettle(key, this.#claims.set(key, elements));
    this.#noteAffinity(before, after);
    const kept = new Set(after.ports.map((port) => port.key));
    for (const port of before.ports) if (!kept.has(port.key)) this.#ids.release(port.key);
    for (const list of sourceListsOf(before)) this.#sourceLists.release(list);
    this.#options.healthChecks.set(key, after.healthCheck);
    this.#options.localhost?.set(key, after.ports);
    if (before.complaints.join() !== after.complaints.join()) this.#complain(key, after.complaints);
    this.#hold(key, before.balanced, after.balanced);
    this.#flows.note(before, after);
    for (const { family } of after.ports) this.#forwarding.need(family);
    if (!known.service && known.slices.size === 0) this.#services.delete(key);
  }

  #complain(key: string, complaints: readonly string[]): void {
    const { log, metrics, onComplaints } = this.#options;
    if (complaints.length > 0) this.#complained.add(key);
    else this.#complained.delete(key);
    metrics.complaints.set(this.#complained.size);
    if (complaints.length > 0) log.warn({ service: key, complaints }, 'a Service asks in vain');
    onComplaints(key, complaints);
  }

  #noteAffinity(before: ServiceTable, after: ServiceTable): void {
    const was = new Map(before.ports.map((port) => [port.key, port]));
    const is = new Map(after.ports.map((port) => [port.key, port]));
    for (const key of new Set([...was.keys(), ...is.keys()])) {
      const [old, now] = [was.get(key), is.get(key)];
      const port = now ?? old;
      if (port && (old?.affinity !== undefined || now?.affinity !== undefined))
        this.#affinity.note(old, now, this.#ids.idFor(port));
    }
  }

  /** A client that was remembered for an endpoint that is gone picks anew. */
  async #forgetClients(): Promise<void> {
    if (!this.#affinity.stale) return;
    this.#affinity.stale = false;
    try {
      await this.#kernel.forgetClients((mark, place) => this.#affinity.keeps(mark, place));
    } catch (error) {
      this.#affinity.stale = true;
      throw error;
    }
  }

  #setRanges(ranges: Partial<RangeSets>): void {
    this.#ranges = { ...this.#ranges, ...ranges };
    this.#rangesWanted = rangeText(TABLES[0], this.#ranges);
  }

  async #settleRanges(): Promise<void> {
    const wanted = this.#rangesWanted;
    if (this.#rangesInForce === wanted) return;
    await this.#kernel.setRanges(this.#ranges);
    this.#rangesInForce = wanted;
  }

  #inheritSourceLists(): void {
    const lists = new Map<number, Range[]>();
    for (const set of ['sources4', 'sources6'] as const) {
      for (const [key] of this.#kernel.entries(set)) {
        const found = sourcesIn(key);
        if (found) lists.set(found.id, [...(lists.get(found.id) ?? []), found.range]);
      }
    }
    for (const [id, ranges] of lists) this.#sourceLists.inherit(id, subtract(ranges, []));
  }

  get #hasWork(): boolean {
    if (this.#first || this.#foreign || this.#dirty.size > 0 || this.#unsettled.size > 0) return true;
    return this.#affinity.stale || this.#rangesInForce !== this.#rangesWanted;
  }

  #hold(key: string, before: readonly Ip[], after: readonly Ip[]): void {
    for (const address of before) {
      const holders = this.#holders.get(address);
      holders?.delete(key);
      if (holders?.size === 0) this.#holders.delete(address);
    }
    for (const address of after) {
      const holders = this.#holders.get(address) ?? new Set();
      this.#holders.set(address, holders.add(key));
    }
  }

  #unsettle(key: string, elements: readonly SetElement[]): void {
    const already = this.#unsettled.get(key);
    this.#unsettled.set(key, already ? distinct([...already, ...elements]) : elements);
  }

  #inKernel(): SetElement[] {
    return SET_NAMES.flatMap((set) =>
      [...this.#kernel.entries(set)].map(([key, data]) => ({ set, key, data })),
    );
  }

  /** One refused element must not hold back other Services. */
  async #settleAll(): Promise<void> {
    const keys = [...this.#unsettled.keys()].filter((key) => !this.#setAside.has(key));
    const setAside = [...this.#setAside.keys()];
    try {
      await this.#settle(keys);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.#options.metrics.failures.inc();
      const { message } = error;
      this.#options.log.warn({ error: message, services: keys.length }, 'the kernel refused a transaction');
      // Perhaps our picture of it is wrong, or somebody removed everything.
      if (await this.#kernel.readBack()) await this.#settleOrSetAside(keys);
      else await this.#settleAnew();
    }
    for (const key of setAside) await this.#settleOrSetAside([key]);
  }

  async #settleAnew(): Promise<void> {
    await this.#startAnew();
    await this.#settleOrSetAside([...this.#unsettled.keys()]);
  }

  async #startAnew(): Promise<void> {
    this.#options.log.warn('somebody removed or changed our forwarding rules; putting them back');
    this.#options.metrics.repairs.inc();
    await this.#kernel.start({ anew: true });
    this.#unsettleEverything();
  }

  /** Looks what the kernel has after somebody else changed something; what is not ours to have goes, too. */
  async #repair(): Promise<void> {
    const change = this.#foreign;
    this.#foreign = undefined;
    try {
      const rulesStand = change === 'elements' || (await this.#kernel.isWhole());
      if (!rulesStand || !(await this.#kernel.readBack())) {
        await this.#startAnew();
        return;
      }
    } catch (error) {
      this.#foreign = change;
      throw error;
    }
    this.#options.log.warn(
      { change },
      'somebody changed our forwarding rules or their elements; putting them right',
    );
    this.#options.metrics.repairs.inc();
    this.#unsettleEverything();
  }

  #unsettleEverything(): void {
    this.#rangesInForce = undefined;
    this.#unsettle(PREDECESSOR, this.#inKernel());
    this.#unsettle(NODE, this.#claims.of(NODE));
    for (const key of this.#services.keys()) this.#unsettle(key, this.#claims.of(key));
  }

  /** Finds the Services that the kernel refuses by halves. */
  async #settleOrSetAside(keys: readonly string[]): Promise<void> {
    try {
      await this.#settle(keys);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const [key = ''] = keys;
      if (keys.length > 1) {
        const middle = keys.length >> 1;
        await this.#settleOrSetAside(keys.slice(0, middle));
        await this.#settleOrSetAside(keys.slice(middle));
        return;
      }
      const { message } = error;
      if (this.#setAside.get(key) !== message)
        this.#options.log.error(
          { service: key, error: message },
          'set a Service aside: the kernel refuses its rules',
        );
      this.#setAside.set(key, message);
    }
  }

  async #settle(keys: readonly string[]): Promise<void> {
    await this.#kernel.apply(this.#differences(keys));
    for (const key of keys) {
      this.#unsettled.delete(key);
      this.#setAside.delete(key);
    }
  }

  *#differences(keys: readonly string[]): Iterable<Difference> {
    for (const key of keys) {
      for (const { set, key: element } of this.#unsettled.get(key) ?? [])
        yield { set, key: element, wanted: this.#claims.wanted(set, element) };
    }
  }

  #known(key: string): KnownService {
    const known = this.#services.get(key) ?? { service: undefined, slices: new Map(), table: EMPTY_TABLE };
    this.#services.set(key, known);
    return known;
  }
}

function sourceListsOf({ ports }: ServiceTable): (readonly Range[])[] {
  return ports.flatMap(({ frontends }) => frontends.flatMap(({ sources }) => (sources ? [sources] : [])));
}

/** What stays unsettled for long must not grow with each change. */
function distinct(elements: readonly SetElement[]): SetElement[] {
  return [...new Map(elements.map((element) => [element.set + element.key, element])).values()];
}
