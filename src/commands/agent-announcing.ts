// The announcing half of an agent: elections from what the API server says, answers on this node's interfaces.
import { type Advertisement, readAdvertisement } from '../api/advertisement.ts';
import { checkPools } from '../api/pool.ts';
import type { ServiceClasses } from '../api/service.ts';
import type { ConflictPolicy } from '../arp/address-checks.ts';
import { type AnnouncedAddress, type AnnouncedPool, announcedAddresses } from '../arp/announced-addresses.ts';
import { Announcer } from '../arp/announcer.ts';
import type { InterfaceChoice } from '../arp/election.ts';
import { LocalEndpoints } from '../arp/local-endpoints.ts';
import { arpMetrics } from '../arp/metrics.ts';
import { NewAddresses } from '../arp/new-addresses.ts';
import { candidateNodes, type Elections, elections, interfacesOf } from '../arp/ownership.ts';
import { WireChecks } from '../arp/wire-checks.ts';
import { systemClock } from '../clock/clock.ts';
import type { KubeObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { ENDPOINT_SLICES, IP_ADDRESS_POOLS, L2_ADVERTISEMENTS } from '../kube/resources.ts';
import { onSpecChange } from '../kube/spec-changes.ts';
import type { Membership } from '../membership/membership.ts';
import type { Ip } from '../net/address.ts';
import { watchInterfaces } from '../netlink/rtnetlink-watch.ts';
import { openAnsweringSocket } from '../sockets/open-answering-socket.ts';
import { openNetlinkSocket } from '../sockets/open-netlink-socket.ts';
import { Announcements } from './agent-announcements.ts';
import { conflictTeller, unseenTeller } from './agent-conflicts.ts';
import type { Handovers } from './agent-handover.ts';
import { interfaceTeller } from './agent-interfaces.ts';
import { Leases, type WithoutQuorum } from './agent-leases.ts';
import { ServiceNews } from './agent-service-news.ts';
import { followExcluded } from './excluded-interfaces.ts';
import type { Followed, Process } from './processes.ts';

export interface AnnouncingOptions {
  readonly nodeName: string;
  readonly classes: ServiceClasses;
  readonly excludeInterfaces: RegExp;
  /** What was read for it, if anything, and is followed. */
  readonly excludeInterfacesFile?: string;
  readonly onConflict: ConflictPolicy;
  readonly avoidCordoned: boolean;
  readonly membershipNamespace: string;
  readonly membershipPort: number;
  readonly withoutQuorum: WithoutQuorum;
}

export interface AnnouncingHalf {
  /** Whether it has done its work once, from whole lists. */
  readonly synced: boolean;
  /** Nodes that membership calls dead. */
  readonly deadNodes: ReadonlySet<string>;
  /** Falls silent for what is no longer ours. */
  withdraw(): void;
  /** Answers for what is ours, as far as this node `serves` it. */
  announce(serves: (address: Ip) => boolean): void;
  /** Hands what is ours over to the other nodes, as far as they ask for it, and falls silent. */
  close(): Promise<void>;
}

/** Rejects when the interfaces cannot be read. */
export async function startAnnouncing(
  agent: Process,
  services: Followed<ServiceObject>,
  nodes: Followed<NodeObject>,
  options: AnnouncingOptions,
  handovers: Handovers | undefined,
  onChange: () => void,
): Promise<AnnouncingHalf> {
  const { log } = agent;
  const pools = agent.follow(IP_ADDRESS_POOLS);
  const advertisements = agent.follow(L2_ADVERTISEMENTS);
  const slices = agent.follow(ENDPOINT_SLICES);
  const endpoints = new LocalEndpoints();
  let stale = true;
  let synced = false;
  /** Whether there may be something to do, or to tell, though every address is served as it was. */
  let touched = true;
  const onTouched = () => {
    touched = true;
    onChange();
  };
  const onInput = () => {
    stale = true;
    onTouched();
  };
  const leases = new Leases(agent, nodes.store, {
    ...options,
    onChange: onInput,
    onGained: onTouched,
    onFormer(former) {
      if (!handovers) return;
      // What belongs to their connections is to find its way from the first packet on.
      for (const address of former.keys()) if (!announced.has(address)) coming.add(address);
      void handovers.take(former).then(() => {
        for (const address of former.keys()) coming.delete(address);
        onTouched();
      });
    },
    async onLook(address) {
      const macs = await announcer.lookUp(address);
      return { near: macs !== undefined, macs: macs ?? [] };
    },
  });
  /** Ours, or about to be, with connections that the kernel is being told of. */
  const coming = new Set<Ip>();
  const metrics = arpMetrics(agent.registry);
  const { excludeInterfacesFile: file } = options;
  const tellConflict = conflictTeller(agent, services, options);
  const announcements = new Announcements(agent, {
    nodeName: options.nodeName,
    keeps: options.onConflict === 'keep',
    holds: (address) => announced.has(address) && leases.holds(address),
    // Any one would do, if it lives and all agree on it.
    speaksForNobodys: () =>
      options.nodeName ===
      firstOf(
        [...nodes.store.values()].map(({ metadata }) => metadata.name),
        leases,
      ),
    interfacesOf: (address) => announcer.interfacesOf(address),
  });
  const announcer = new Announcer({
    open: openAnsweringSocket,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
    right: leases.right,
    excluded: options.excludeInterfaces,
    onConflict: options.onConflict,
    tellConflict(address, conflict) {
      tellConflict(address, conflict);
      announcements.setConflict(address, conflict);
      onTouched();
    },
    onInterfaces: onTouched,
    onAnswered: (address, answers) => (answers ? wire.begin(address) : wire.end(address)),
  });
  const unfollow =
    file === undefined
      ? undefined
      : followExcluded(file, options.excludeInterfaces, log, (excluded) => {
          announcer.setExcluded(excluded);
          leases.setLinks(announcer.links());
        });
  const tellUnseen = unseenTeller(agent, services, options.nodeName);
  const wire = new WireChecks({
    clock: systemClock,
    look: (address) => leases.look(address),
    ours: () => announcer.macs(),
    announce: (address) => announcer.announceAgain(address),
    onVerdict(address, verdict, before) {
      metrics.wireChecks.inc({ result: verdict });
      announcements.setVerdict(address, verdict);
      tellUnseen(address, verdict, before);
      onTouched();
    },
  });
  const interfacesTold = interfaceTeller(agent, options.nodeName, nodes, advertisements);
  const interfaces = await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    onChange(found) {
      announcer.setInterfaces(found);
      leases.setLinks(announcer.links());
      interfacesTold.setInterfaces(found.map(({ name }) => name));
    },
    onError: (error) => log.warn({ error: error.message }, 'lost sight of the interfaces; will try again'),
  });

  slices.store.subscribe((key, slice) => {
    if (endpoints.set(key, slice)) onInput();
  });
  const news = new ServiceNews(services.store, options.classes, systemClock, onInput);
  for (const { store } of [nodes, advertisements]) store.subscribe(onInput);
  // How full a pool is changes with every Service, and is nothing to an agent.
  onSpecChange(pools.store, onInput);
  Promise.all([services, nodes, pools, advertisements, slices, leases].map((each) => each.synced)).then(
    () => {
      synced = true;
      onInput();
      if (!nodes.store.get(options.nodeName))
        log.warn(
          { node: options.nodeName },
          'there is no Node of this name (--node-name); nothing is announced',
        );
    },
  );

  const newAddresses = new NewAddresses(systemClock);
  /** Milliseconds that the last election took. */
  let electing = 0;
  let wanted: ReadonlyMap<Ip, AnnouncedAddress> = new Map();
  let elected: Elections = { given: new Map(), own: new Map(), nobodys: new Map() };
  let owned: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  let announced: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  let claimed: ReadonlySet<Ip> = new Set();
  const elect = () => {
    if (!stale || !synced || !leases.settled) return;
    stale = false;
    const began = performance.now();
    wanted = announcedAddresses(
      services.store.values(),
      poolsOf(pools.store.values()),
      options.classes,
      (service) => endpoints.nodesOf(service),
    );
    newAddresses.see(wanted.keys());
    const candidates = candidateNodes(nodes.store.values(), leases, options);
    elected = elections(
      wanted.values(),
      advertisementsOf(advertisements.store.values()),
      candidates,
      options.nodeName,
      (address) => leases.has(address),
    );
    owned = interfacesOf(elected.own);
    for (const [address, successor] of elected.given) handovers?.give(address, successor);
    const { own, nobodys } = elected;
    metrics.elections.inc({ outcome: 'this node' }, own.size);
    metrics.elections.inc({ outcome: 'no node' }, nobodys.size);
    metrics.elections.inc({ outcome: 'another node' }, wanted.size - own.size - nobodys.size);
    electing = performance.now() - began;
  };
  const tell = (now: ReadonlyMap<Ip, InterfaceChoice>) => {
    for (const address of announced.keys()) if (!now.has(address)) log.info({ address }, 'withdrawn');
    for (const address of now.keys()) if (!announced.has(address)) log.info({ address }, 'announced');
    announced = now;
    announcer.reconcile(now, (address) => newAddresses.has(address));
  };
  return {
    get synced() {
      return synced;
    },
    get deadNodes() {
      return leases.dead;
    },
    withdraw() {
      announcer.renew();
      elect();
      const kept = [...announced].filter(([address]) => owned.has(address) && leases.holds(address));
      if (kept.length < announced.size) tell(new Map(kept));
    },
    announce(serves) {
      const began = performance.now();
      const served = [...owned].filter(([address]) => serves(address));
      const now = new Map(served.filter(([address]) => leases.holds(address) && !coming.has(address)));
      const same = served.length === claimed.size && served.every(([address]) => claimed.has(address));
      if (!touched && same && now.size === announced.size) return;
      touched = false;
      try {
        // Silence first: what is not claimed any more, another node may have at once.
        tell(now);
        claimed = new Set(served.map(([address]) => address));
        leases.want(claimed);
        announcements.tell(announced.keys(), elected, wanted);
      } catch (error) {
        touched = true;
        throw error;
      }
      news.took(electing + performance.now() - began);
    },
    async close() {
      await leases.handOver(new Set(announced.keys()), (address) => {
        const kept = new Map(announced);
        if (!kept.delete(address)) return;
        handovers?.give(address, elected.own.get(address)?.standbys[0]);
        tell(kept);
      });
      unfollow?.();
      news.close();
      wire.close();
      announcements.close();
      interfaces.close();
      interfacesTold.close();
      announcer.close();
      await leases.close();
    },
  };
}

/** The first by name of those that live. */
function firstOf(names: readonly string[], membership: Membership): string | undefined {
  return names.filter((name) => membership.isAlive(name)).sort()[0];
}

/** Pools that are set aside are there by name: who has an address from them keeps it, and it is announced on. */
function poolsOf(objects: Iterable<KubeObject>): AnnouncedPool[] {
  const all = [...objects];
  const { pools } = checkPools(all);
  const valid = new Set(pools.map(({ name }) => name));
  const aside = all
    .filter(({ metadata }) => !valid.has(metadata.name))
    .map(({ metadata: { name, labels = {} } }) => ({ name, labels, ranges: [] }));
  return [...pools, ...aside];
}

/** Advertisements that are not valid say nothing; the controller tells why in their conditions. */
function advertisementsOf(objects: Iterable<KubeObject>): Advertisement[] {
  return [...objects].flatMap((object) => {
    const read = readAdvertisement(object);
    return read.kind === 'valid' ? [read.value] : [];
  });
}
