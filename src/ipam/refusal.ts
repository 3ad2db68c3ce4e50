// Why a Service does not get what it asks for: as a value for machines, and in words for its condition.
import type { Family, Ip } from '../net/address.ts';
import type { QuotaLimit } from './quotas.ts';

/** Why one pool did not serve. */
export interface PoolRefusal {
  readonly pool: string;
  readonly why:
    | 'SetAside'
    | 'Drained'
    | 'NotAutomatic'
    | 'OtherNamespaces'
    | 'OtherServices'
    | 'NoIPv4'
    | 'NoIPv6'
    | 'FullIPv4'
    | 'FullIPv6'
    | 'LimitIPv4'
    | 'LimitIPv6'
    | 'QuotaIPv4'
    | 'QuotaIPv6';
  /** With a quota: which. */
  readonly by?: QuotaLimit;
}

/** Reasons are stable, CamelCase: they become condition reasons. */
export type Refusal =
  | { readonly reason: 'NoPools' }
  | { readonly reason: 'UnknownPool'; readonly pool: string; readonly known: readonly string[] }
  /** `inPool`: where the address is instead, `asked`: the pool that the Service names. */
  | {
      readonly reason: 'AddressNotInPool';
      readonly address: Ip;
      readonly known: readonly string[];
      readonly inPool?: string;
      readonly asked?: string;
    }
  | {
      readonly reason: 'AddressInUse';
      readonly address: Ip;
      readonly holder: string;
      readonly why: string;
    }
  /** Kept back: `why` completes "is kept back …". */
  | { readonly reason: 'AddressReserved'; readonly address: Ip; readonly why: string }
  /** `address`: the one that was asked for, if it was. */
  | { readonly reason: 'NoMatchingPool'; readonly pools: readonly PoolRefusal[]; readonly address?: Ip }
  | { readonly reason: 'PoolExhausted'; readonly pools: readonly PoolRefusal[] }
  /** The namespace has as many addresses as a pool or a quota allows; `address` as above. */
  | { readonly reason: 'LimitReached'; readonly pools: readonly PoolRefusal[]; readonly address?: Ip };

export type RefusalReason = Refusal['reason'];

export function lacks(family: Family): PoolRefusal['why'] {
  return family === 'IPv4' ? 'NoIPv4' : 'NoIPv6';
}

export function full(family: Family): PoolRefusal['why'] {
  return family === 'IPv4' ? 'FullIPv4' : 'FullIPv6';
}

export function atLimit(family: Family): PoolRefusal['why'] {
  return family === 'IPv4' ? 'LimitIPv4' : 'LimitIPv6';
}

export function atQuota(family: Family): PoolRefusal['why'] {
  return family === 'IPv4' ? 'QuotaIPv4' : 'QuotaIPv6';
}

const WHY: Readonly<Record<PoolRefusal['why'], string>> = {
  SetAside: 'set aside because it is not valid (see its Valid condition)',
  Drained: 'drained and gives out nothing (drain: true)',
  NotAutomatic: 'only for Services that ask for it by name (autoAssign: false)',
  OtherNamespaces: 'for other namespaces (spec.serviceAllocation)',
  OtherServices: 'for Services with other labels (spec.serviceAllocation)',
  NoIPv4: 'without IPv4 addresses',
  NoIPv6: 'without IPv6 addresses',
  FullIPv4: 'without a free IPv4 address',
  FullIPv6: 'without a free IPv6 address',
  LimitIPv4: 'at the limit of IPv4 addresses for the namespace (maxPerNamespace)',
  LimitIPv6: 'at the limit of IPv6 addresses for the namespace (maxPerNamespace)',
  QuotaIPv4: 'closed to the namespace, which has as many IPv4 addresses as spec.maxIPv4',
  QuotaIPv6: 'closed to the namespace, which has as many IPv6 addresses as spec.maxIPv6',
};

/** A readable sentence that names every pool considered. */
export function explain(refusal: Refusal): string {
  switch (refusal.reason) {
    case 'NoPools':
      return 'there is no IPAddressPool; create one';
    case 'UnknownPool':
      return `there is no pool "${refusal.pool}"; ${poolList(refusal.known)}`;
    case 'AddressNotInPool':
      return refusal.inPool === undefined
        ? `no pool gives out ${refusal.address}; ${poolList(refusal.known)}`
        : `${refusal.address} is in the pool "${refusal.inPool}", but the Service asks for the pool "${refusal.asked}"`;
    case 'AddressInUse':
      return `${refusal.address} is held by the Service ${refusal.holder}: ${refusal.why}`;
    case 'AddressReserved':
      return `${refusal.address} is kept back ${refusal.why}`;
    case 'LimitReached':
    case 'NoMatchingPool': {
      const pools = explainPools(refusal.pools);
      return refusal.address === undefined
        ? `no pool serves the Service: ${pools}`
        : `${refusal.address} cannot be given: ${pools}`;
    }
    case 'PoolExhausted':
      return `no address is free: ${explainPools(refusal.pools)}`;
  }
}

function explainPools(pools: readonly PoolRefusal[]): string {
  const byWhy = new Map<string, string[]>();
  for (const { pool, why, by } of pools) {
    const text = by ? `${WHY[why]} of the AddressQuota "${by.quota}" allows: ${by.most}` : WHY[why];
    const names = byWhy.get(text);
    if (names) names.push(`"${pool}"`);
    else byWhy.set(text, [`"${pool}"`]);
  }
  const parts: string[] = [];
  for (const [why, names] of byWhy)
    parts.push(names.length === 1 ? `pool ${names[0]} is ${why}` : `pools ${names.join(', ')} are ${why}`);
  return parts.join('; ');
}

function poolList(names: readonly string[]): string {
  return names.length === 0
    ? 'there are no pools'
    : `the pools are ${names.map((name) => `"${name}"`).join(', ')}`;
}
