// What a Service shows of its load balancer.
import type { ServiceObject } from '../../kube/objects.ts';
import type { Finding, Ingress } from '../provider.ts';

export function keyOf({ metadata: { namespace = '', name } }: ServiceObject): string {
  return `${namespace}/${name}`;
}

export function hostnamesOf({ status }: ServiceObject): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ hostname = [] }) => hostname);
}

export function portsOf({ spec }: ServiceObject): NonNullable<Ingress['ports']> {
  return (spec.ports ?? []).map(({ port, protocol = 'TCP' }) => ({ port, protocol }));
}

/** What the Service says of its targets stays until somebody looks. */
export function shownHealth({ status }: ServiceObject): Finding | undefined {
  const shown = status?.conditions?.find(({ type }) => type === 'fairlead.dev/TargetsHealthy');
  return (
    shown && { type: 'TargetsHealthy', status: shown.status, reason: shown.reason, message: shown.message }
  );
}
