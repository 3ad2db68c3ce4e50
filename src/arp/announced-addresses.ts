// Which addresses are to be announced at all: those at which our Services are served and that a pool holds.
import { isOurs, type ServiceClasses } from '../api/service.ts';
import { POOL_ANNOTATION, servedAddresses } from '../api/service-addresses.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { keyOf } from '../kube/store.ts';
import type { Ip } from '../net/address.ts';
import { contains, type Range } from '../net/range.ts';

/** A pool as advertisements select it. */
export interface AnnouncedPool {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Empty where the pool is not valid now: its Services keep their addresses, and name it in their annotation. */
  readonly ranges: readonly Range[];
}

export interface AnnouncedAddress {
  readonly address: Ip;
  readonly pool: AnnouncedPool;
  /** namespace/name of every Service that has it. */
  readonly services: readonly string[];
  /** Labels of every Service that has it; several share it. */
  readonly serviceLabels: readonly Readonly<Record<string, string>>[];
  /** The nodes that its traffic may come to: where every Service that has it has externalTrafficPolicy Local. */
  readonly onlyNodes?: ReadonlySet<string> | undefined;
}

export function announcedAddresses(
  services: Iterable<ServiceObject>,
  pools: readonly AnnouncedPool[],
  classes: ServiceClasses,
  /** The nodes with endpoints of a Service, by namespace/name. */
  endpointNodes: (service: string) => ReadonlySet<string>,
): Map<Ip, AnnouncedAddress> {
  const announced = new Map<Ip, AnnouncedAddress>();
  for (const service of services) {
    if (!isOurs(service, classes)) continue;
    for (const address of servedAddresses(service)) {
      const pool = poolOf(address, service, pools);
      if (!pool) continue;
      const known = announced.get(address);
      const serviceLabels = [...(known?.serviceLabels ?? []), service.metadata.labels ?? {}];
      const names = [...(known?.services ?? []), keyOf(service)];
      const isLocal = service.spec.externalTrafficPolicy === 'Local';
      const nodes = isLocal ? endpointNodes(keyOf(service)) : undefined;
      const onlyNodes = known && nodes ? known.onlyNodes && new Set([...known.onlyNodes, ...nodes]) : nodes;
      announced.set(address, { address, pool, services: names, serviceLabels, onlyNodes });
    }
  }
  return announced;
}

function poolOf(
  address: Ip,
  { metadata }: ServiceObject,
  pools: readonly AnnouncedPool[],
): AnnouncedPool | undefined {
  const holder = pools.find(({ ranges }) => ranges.some((range) => contains(range, address)));
  if (holder) return holder;
  const named = metadata.annotations?.[POOL_ANNOTATION]?.split(',') ?? [];
  return pools.find(({ name, ranges }) => ranges.length === 0 && named.includes(name));
}
