// Which addresses are to be announced at all: those that the status of our Services shows and a pool holds.
import { isOurs, POOL_ANNOTATION, type ServiceClasses } from '../api/service.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { type Ip, parseIp } from '../net/address.ts';
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
  /** Labels of every Service that has it; several share it. */
  readonly serviceLabels: readonly Readonly<Record<string, string>>[];
}

export function announcedAddresses(
  services: Iterable<ServiceObject>,
  pools: readonly AnnouncedPool[],
  classes: ServiceClasses,
): Map<Ip, AnnouncedAddress> {
  const announced = new Map<Ip, AnnouncedAddress>();
  for (const service of services) {
    if (!isOurs(service, classes)) continue;
    for (const { ip: text = '', ipMode = 'VIP' } of service.status?.loadBalancer?.ingress ?? []) {
      const parsed = parseIp(text);
      if (parsed.kind === 'malformed' || ipMode !== 'VIP') continue;
      const address = parsed.value;
      const pool = poolOf(address, service, pools);
      if (!pool) continue;
      const serviceLabels = [...(announced.get(address)?.serviceLabels ?? []), service.metadata.labels ?? {}];
      announced.set(address, { address, pool, serviceLabels });
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
