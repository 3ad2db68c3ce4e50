// A Service's status as a client writes it: ipMode filled in, addresses checked (core/v1 LoadBalancerStatus).
import { parseIp } from '../../net/address.ts';
import { type Cause, invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { fieldForbidden, fieldInvalid, fieldNotSupported } from './field-causes.ts';

interface Ingress {
  ip?: string;
  hostname?: string;
  ipMode?: string;
}

export function completeStatus(object: ApiObject): ApiObject {
  const service = structuredClone(object);
  service.status ??= {};
  service.status.loadBalancer ??= {};
  const ingress: Ingress[] = service.status.loadBalancer.ingress ?? [];
  const causes = ingress.flatMap((each, i) => check(each, `status.loadBalancer.ingress[${i}]`));
  if (ingress.length > 0 && service.spec.type !== 'LoadBalancer')
    causes.push(
      fieldForbidden('status.loadBalancer.ingress', "may only be used when `spec.type` is 'LoadBalancer'"),
    );
  if (causes.length > 0) throw invalid('Service', '', service.metadata.name, causes);
  for (const each of ingress) if (each.ip) each.ipMode ??= 'VIP';
  return service;
}

function check({ ip, hostname, ipMode }: Ingress, field: string): Cause[] {
  const causes: Cause[] = [];
  if (ip && parseIp(ip).kind === 'malformed')
    causes.push(
      fieldInvalid(`${field}.ip`, ip, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    );
  if (ipMode !== undefined && !ip)
    causes.push(fieldForbidden(`${field}.ipMode`, 'may not be set when `ip` is not set'));
  if (ip && ipMode !== undefined && !['Proxy', 'VIP'].includes(ipMode))
    causes.push(fieldNotSupported(`${field}.ipMode`, ipMode, ['Proxy', 'VIP']));
  if (hostname && parseIp(hostname).kind !== 'malformed')
    causes.push(fieldInvalid(`${field}.hostname`, hostname, 'must be a DNS name, not an IP address'));
  return causes;
}
