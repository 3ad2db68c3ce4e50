// Who is asked first, at a start, what it has: everybody is before anybody gets something new.
import type { ServiceRead, ServiceRequest } from '../api/service.ts';
import type { ServiceObject } from '../kube/objects.ts';

/**
 * The requests of Services that have, or had, addresses: those whose status shows some first, for what another lost
 * may have been given to them since; then the oldest. The Service that may stay wins over one that moves.
 */
export function firstClaims(
  services: Iterable<ServiceObject>,
  read: (service: ServiceObject) => ServiceRead,
): ServiceRequest[] {
  const [shown, others]: [ServiceRequest[], ServiceRequest[]] = [[], []];
  for (const service of services) {
    const found = read(service);
    const request = found.kind === 'valid' ? found.value : found.kind === 'invalid' ? found.keeps : undefined;
    if (!request || (request.held.length === 0 && !request.remembered)) continue;
    ((service.status?.loadBalancer?.ingress ?? []).length > 0 ? shown : others).push(request);
  }
  return [...shown.sort(byAge), ...others.sort(byAge)];
}

function byAge(a: ServiceRequest, b: ServiceRequest): number {
  return `${a.createdAt} ${a.key}` < `${b.createdAt} ${b.key}` ? -1 : 1;
}
