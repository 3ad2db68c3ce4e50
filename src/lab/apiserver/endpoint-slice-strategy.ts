// What the real server does to EndpointSlices: defaults of ports, addresses that fit their type
// (kube-apiserver: discovery/validation).
import { parseIp } from '../../net/address.ts';
import { type Cause, invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import {
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
} from './field-causes.ts';
import type { Strategy } from './kinds.ts';

const ADDRESS_TYPES = ['IPv4', 'IPv6', 'FQDN'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const MAX_ENDPOINTS = 1000;
const MAX_PORTS = 20_000;
const MAX_ADDRESSES = 100;

interface Port {
  name?: string;
  protocol?: string;
  port?: number;
}

interface Endpoint {
  readonly addresses?: readonly string[];
}

export const ENDPOINT_SLICE_STRATEGY: Strategy = {
  prepare(object, previous) {
    const slice = structuredClone(object);
    for (const port of (slice.ports ?? []) as Port[]) {
      port.name ??= '';
      port.protocol ||= 'TCP';
    }
    slice.endpoints ??= [];
    slice.ports ??= [];
    const causes = [...typeCauses(slice, previous), ...endpointCauses(slice), ...portCauses(slice.ports)];
    if (causes.length > 0) throw invalid('EndpointSlice', 'discovery.k8s.io', slice.metadata.name, causes);
    return slice;
  },
};

function typeCauses({ addressType }: ApiObject, previous: ApiObject | undefined): Cause[] {
  if (!addressType) return [fieldRequired('addressType')];
  if (!ADDRESS_TYPES.includes(addressType))
    return [fieldNotSupported('addressType', addressType, ADDRESS_TYPES)];
  const kept = previous === undefined || previous.addressType === addressType;
  return kept ? [] : [fieldInvalid('addressType', addressType, 'field is immutable')];
}

function endpointCauses({ addressType, endpoints }: ApiObject): Cause[] {
  const list: readonly Endpoint[] = endpoints;
  if (list.length > MAX_ENDPOINTS) return [fieldTooMany('endpoints', list.length, MAX_ENDPOINTS)];
  return list.flatMap(({ addresses = [] }, i) => {
    const at = `endpoints[${i}].addresses`;
    if (addresses.length === 0) return [fieldRequired(at, 'must contain at least 1 address')];
    if (addresses.length > MAX_ADDRESSES) return [fieldTooMany(at, addresses.length, MAX_ADDRESSES)];
    return addresses.flatMap((address) => addressCauses(addressType, address, at));
  });
}

function addressCauses(type: string, address: string, field: string): Cause[] {
  if (type === 'FQDN' || !ADDRESS_TYPES.includes(type)) return [];
  const fits = parseIp(address).kind === 'parsed' && address.includes(':') === (type === 'IPv6');
  return fits ? [] : [fieldInvalid(field, address, `must be an ${type} address`)];
}

function portCauses(ports: readonly Port[]): Cause[] {
  if (ports.length > MAX_PORTS) return [fieldTooMany('ports', ports.length, MAX_PORTS)];
  const names = new Set<string>();
  return ports.flatMap(({ name = '', protocol = '' }, i) => {
    const causes: Cause[] = names.has(name) ? [fieldDuplicate(`ports[${i}].name`, name)] : [];
    names.add(name);
    if (!PROTOCOLS.includes(protocol))
      causes.push(fieldNotSupported(`ports[${i}].protocol`, protocol, PROTOCOLS));
    return causes;
  });
}
