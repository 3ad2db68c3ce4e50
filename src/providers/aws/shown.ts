// What a Service shows of its load balancer.
import type { ServiceObject } from '../../kube/objects.ts';
import type { Finding, Ingress } from '../provider.ts';

export function keyOf({ metadata: { namespace = '', name } }: ServiceObject): string {
  return `${namespace}/${name}`;
}

export function hostnamesOf({ status }: ServiceObject): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ hostname = [] }) => hostname);
}

/** `errors`: reasons, by port. */
export function portsOf(
  { spec }: ServiceObject,
  errors?: ReadonlyMap<number, string>,
): NonNullable<Ingress['ports']> {
  return (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => {
    const error = errors?.get(port);
    // As the API asks of reasons that are not Kubernetes' own.
    return { port, protocol, ...(error ? { error: `fairlead.dev/${error}` } : {}) };
  });
}

/** What the Service says of its targets stays until somebody looks. */
export function shownHealth({ status }: ServiceObject): Finding | undefined {
  const shown = status?.conditions?.find(({ type }) => type === 'fairlead.dev/TargetsHealthy');
  return (
    shown && { type: 'TargetsHealthy', status: shown.status, reason: shown.reason, message: shown.message }
  );
}
