// What of a request that waits decides on what it can be offered, as one text: where one Service cannot be served, no
// other with the same wish can.
import type { ServiceRequest } from '../api/service.ts';
import { familyOf, type Ip } from '../net/address.ts';
import type { PoolSet } from './pool-set.ts';

/** `held`: what the Service has. Good for as long as that and the pools are what they are. */
export function wishOf(request: ServiceRequest, held: readonly Ip[], pools: PoolSet): string {
  const { key, namespace, families, bothRequired, addresses, pool } = request;
  // Who may move, or has something kept back for it, is like nobody else.
  const named = addresses.length > 0 || pool !== undefined;
  if ((held.length > 0 && named) || pools.reservedFor(key).length > 0) return key;
  const missing = families.filter((family) => !held.some((address) => familyOf(address) === family));
  const { sharingKey, ports, backend } = request;
  const open = pools.inOrder.map((state) => (state.refuses(request) ? '-' : '+')).join('');
  return JSON.stringify([
    open,
    missing,
    held.length > 0,
    bothRequired,
    addresses,
    pool,
    ...(pools.hasLimits ? [namespace, pools.quotas.limits(request)] : []),
    ...(sharingKey === undefined ? [] : [sharingKey, ports, backend]),
  ]);
}
