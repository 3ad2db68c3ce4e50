// What makes a Service invalid, in kube-apiserver's words (API reference, Service v1).
import { parseIp } from '../../net/address.ts';
import { parsePrefix } from '../../net/range.ts';
import type { Cause } from './api-error.ts';
import { type ApiObject, sameJson } from './api-object.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const DNS_1035 = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export function serviceCauses(service: ApiObject, previous: ApiObject | undefined): Cause[] {
  const { spec, metadata } = service;
  const causes: Cause[] = [];
  const bad = (field: string, value: unknown, why: string) =>
    causes.push({
      reason: 'FieldValueInvalid',
      field,
      message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
    });
  const unsupported = (field: string, value: unknown, values: readonly string[]) => {
    const supported = values.map((each) => JSON.stringify(each)).join(', ');
    const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`;
    causes.push({ reason: 'FieldValueNotSupported', field, message });
  };
  if (!DNS_1035.test(metadata.name)) {
    bad(
      'metadata.name',
      metadata.name,
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    );
  }
  if (!TYPES.includes(spec.type)) unsupported('spec.type', spec.type, TYPES);
  if (spec.type !== 'ExternalName' && spec.clusterIP !== 'None' && spec.ports.length === 0) {
    causes.push({ reason: 'FieldValueRequired', field: 'spec.ports', message: 'Required value' });
  }
  checkPorts(spec.ports, causes, bad, unsupported);
  for (const field of ['externalTrafficPolicy', 'internalTrafficPolicy'] as const) {
    if (spec[field] !== undefined && !['Cluster', 'Local'].includes(spec[field]))
      unsupported(`spec.${field}`, spec[field], ['Cluster', 'Local']);
  }
  if (!['None', 'ClientIP'].includes(spec.sessionAffinity))
    unsupported('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  for (const [i, range] of (spec.loadBalancerSourceRanges ?? []).entries()) {
    if (parsePrefix(String(range).trim()).kind === 'malformed')
      bad(
        `spec.loadBalancerSourceRanges[${i}]`,
        range,
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      );
  }
  for (const [i, address] of (spec.externalIPs ?? []).entries()) {
    if (parseIp(String(address)).kind === 'malformed')
      bad(`spec.externalIPs[${i}]`, address, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)');
  }
  if (spec.type !== 'LoadBalancer' && spec.loadBalancerClass !== undefined) {
    causes.push({
      reason: 'FieldValueForbidden',
      field: 'spec.loadBalancerClass',
      message: "Forbidden: may only be used when `type` is 'LoadBalancer'",
    });
  }
  if (previous) checkImmutable(spec, previous.spec, bad);
  return causes;
}

type Bad = (field: string, value: unknown, why: string) => void;
type Unsupported = (field: string, value: unknown, values: readonly string[]) => void;

// biome-ignore lint/suspicious/noExplicitAny: a client's JSON, read field by field
function checkPorts(ports: any[], causes: Cause[], bad: Bad, unsupported: Unsupported): void {
  const names = new Set<string>();
  const numbers = new Set<string>();
  const duplicate = (field: string, value: unknown) =>
    causes.push({
      reason: 'FieldValueDuplicate',
      field,
      message: `Duplicate value: ${JSON.stringify(value)}`,
    });
  for (const [i, { name, port, protocol, nodePort, targetPort }] of ports.entries()) {
    const at = `spec.ports[${i}]`;
    if (name === undefined && ports.length > 1)
      causes.push({ reason: 'FieldValueRequired', field: `${at}.name`, message: 'Required value' });
    if (name !== undefined && !DNS_LABEL.test(name))
      bad(
        `${at}.name`,
        name,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'",
      );
    if (name !== undefined && names.has(name)) duplicate(`${at}.name`, name);
    names.add(name);
    if (!isPort(port)) bad(`${at}.port`, port ?? 0, 'must be between 1 and 65535, inclusive');
    if (!PROTOCOLS.includes(protocol)) unsupported(`${at}.protocol`, protocol, PROTOCOLS);
    if (typeof targetPort === 'number' && !isPort(targetPort))
      bad(`${at}.targetPort`, targetPort, 'must be between 1 and 65535, inclusive');
    if (nodePort !== undefined && nodePort !== 0 && !isPort(nodePort))
      bad(`${at}.nodePort`, nodePort, 'must be between 1 and 65535, inclusive');
    if (numbers.has(`${protocol}/${port}`)) duplicate(at, { port, protocol });
    numbers.add(`${protocol}/${port}`);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a client's JSON, read field by field
function checkImmutable(spec: any, before: any, bad: Bad): void {
  const hasAddress = (each: { clusterIP?: string }) => each.clusterIP !== undefined && each.clusterIP !== '';
  if (
    before.type !== 'ExternalName' &&
    spec.type !== 'ExternalName' &&
    hasAddress(before) &&
    spec.clusterIP !== before.clusterIP
  ) {
    bad('spec.clusterIPs[0]', spec.clusterIP, 'may not change once set');
  }
  if (
    before.type === 'LoadBalancer' &&
    spec.type === 'LoadBalancer' &&
    !sameJson(before.loadBalancerClass, spec.loadBalancerClass)
  ) {
    bad('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set');
  }
  const needsCheck = (each: { type: string; externalTrafficPolicy?: string }) =>
    each.type === 'LoadBalancer' && each.externalTrafficPolicy === 'Local';
  if (needsCheck(before) && needsCheck(spec) && before.healthCheckNodePort !== spec.healthCheckNodePort) {
    bad('spec.healthCheckNodePort', spec.healthCheckNodePort, 'field is immutable');
  }
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}
