// The announcing half of an agent: elections from what the API server says, answers on this node's interfaces.
import { type Advertisement, readAdvertisement } from '../api/advertisement.ts';
import { checkPools } from '../api/pool.ts';
import type { ServiceClasses } from '../api/service.ts';
import type { ConflictPolicy } from '../arp/address-checks.ts';
import { type AnnouncedPool, announcedAddresses } from '../arp/announced-addresses.ts';
import { Announcer } from '../arp/announcer.ts';
import type { InterfaceChoice } from '../arp/election.ts';
import { LocalEndpoints } from '../arp/local-endpoints.ts';
import { arpMetrics } from '../arp/metrics.ts';
import { NewAddresses } from '../arp/new-addresses.ts';
import { candidateNodes, ownedAddresses } from '../arp/ownership.ts';
import { systemClock } from '../clock/clock.ts';
import type { KubeObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { ENDPOINT_SLICES, IP_ADDRESS_POOLS, L2_ADVERTISEMENTS } from '../kube/resources.ts';
import { onSpecChange } from '../kube/spec-changes.ts';
import { NodeReadiness } from '../membership/membership.ts';
import type { Ip } from '../net/address.ts';
import { watchInterfaces } from '../netlink/rtnetlink-watch.ts';
import { openAnsweringSocket } from '../sockets/open-answering-socket.ts';
import { openNetlinkSocket } from '../sockets/open-netlink-socket.ts';
import { conflictTeller } from './agent-conflicts.ts';
import { interfaceTeller } from './agent-interfaces.ts';
import type { Followed, Process } from './processes.ts';

export interface AnnouncingOptions {
  readonly nodeName: string;
  readonly classes: ServiceClasses;
  readonly excludeInterfaces: RegExp;
  readonly onConflict: ConflictPolicy;
  readonly avoidCordoned: boolean;
}

export interface AnnouncingHalf {
  /** Whether it has done its work once, from whole lists. */
  readonly synced: boolean;
  /** Falls silent for what is no longer ours. */
  withdraw(): void;
  /** Answers for what is ours, as far as this node `serves` it. */
  announce(serves: (address: Ip) => boolean): void;
  close(): void;
}

/** Rejects when the interfaces cannot be read. */
export async function startAnnouncing(
  agent: Process,
  services: Followed<ServiceObject>,
  nodes: Followed<NodeObject>,
  options: AnnouncingOptions,
  onChange: () => void,
): Promise<AnnouncingHalf> {
  const { log } = agent;
  const announcer = new Announcer({
    open: openAnsweringSocket,
    clock: systemClock,
    random: Math.random,
    log,
    metrics: arpMetrics(agent.registry),
    right: { holds: () => true, until: () => Number.POSITIVE_INFINITY },
    excluded: options.excludeInterfaces,
    onConflict: options.onConflict,
    tellConflict: conflictTeller(agent, services, options),
  });
  const advertisements = agent.follow(L2_ADVERTISEMENTS);
  const interfacesTold = interfaceTeller(agent, options.nodeName, nodes, advertisements);
  const interfaces = await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    onChange: (found) => {
      announcer.setInterfaces(found);
      interfacesTold.setInterfaces(found.map(({ name }) => name));
    },
    onError: (error) => log.warn({ error: error.message }, 'lost sight of the interfaces; will try again'),
  });

  const pools = agent.follow(IP_ADDRESS_POOLS);
  const slices = agent.follow(ENDPOINT_SLICES);
  const endpoints = new LocalEndpoints();
  let stale = true;
  let synced = false;
  const onInput = () => {
    stale = true;
    onChange();
  };
  slices.store.subscribe((key, slice) => {
    if (endpoints.set(key, slice)) onInput();
  });
  for (const { store } of [services, nodes, advertisements]) store.subscribe(onInput);
  // How full a pool is changes with every Service, and is nothing to an agent.
  onSpecChange(pools.store, onInput);
  Promise.all([services, nodes, pools, advertisements, slices].map((each) => each.synced)).then(() => {
    synced = true;
    onInput();
    if (!nodes.store.get(options.nodeName))
      log.warn(
        { node: options.nodeName },
        'there is no Node of this name (--node-name); nothing is announced',
      );
  });

  const membership = new NodeReadiness(nodes.store);
  const newAddresses = new NewAddresses(systemClock);
  let owned: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  let announced: ReadonlyMap<Ip, InterfaceChoice> = new Map();
  const elect = () => {
    if (!stale || !synced) return;
    stale = false;
    const wanted = announcedAddresses(
      services.store.values(),
      poolsOf(pools.store.values()),
      options.classes,
      (service) => endpoints.nodesOf(service),
    );
    newAddresses.see(wanted.keys());
    const candidates = candidateNodes(nodes.store.values(), membership, options);
    owned = ownedAddresses(
      wanted.values(),
      advertisementsOf(advertisements.store.values()),
      candidates,
      options.nodeName,
    );
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
    withdraw() {
      elect();
      const kept = [...announced].filter(([address]) => owned.has(address));
      if (kept.length < announced.size) tell(new Map(kept));
    },
    announce(serves) {
      tell(new Map([...owned].filter(([address]) => serves(address))));
    },
    close() {
      interfaces.close();
      interfacesTold.close();
      announcer.close();
    },
  };
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
