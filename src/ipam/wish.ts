// What of a request decides on what it is offered, as one text: where one Service cannot be served, no other with
// the same wish can.
import type { ServiceRequest } from '../api/service.ts';

const known = new WeakMap<ServiceRequest, string>();

/** For Services that hold nothing and have nothing reserved: these count, too. */
export function wishOf(request: ServiceRequest): string {
  const before = known.get(request);
  if (before !== undefined) return before;
  const { namespace, labels, namespaceLabels, families, bothRequired, addresses, pool } = request;
  const { sharingKey, ports, backend } = request;
  const sharing = sharingKey === undefined ? [] : [sharingKey, ports, backend];
  const wish = JSON.stringify([
    namespace,
    labels,
    namespaceLabels,
    families,
    bothRequired,
    addresses,
    pool,
    ...sharing,
  ]);
  known.set(request, wish);
  return wish;
}
