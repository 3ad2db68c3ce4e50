// What makes a Service invalid, in kube-apiserver's words (core/validation: ValidateService, ValidateServiceUpdate).
import { parseIp } from '../../net/address.ts';
import { parsePrefix } from '../../net/range.ts';
import type { Cause } from './api-error.ts';
import { type ApiObject, sameJson } from './api-object.ts';
import { fieldForbidden, fieldInvalid, fieldNotSupported, fieldRequired } from './field-causes.ts';
import { portCauses } from './service-port-validation.ts';
import {
  isExternallyReachable,
  isHeadless,
  needsClusterIp,
  needsHealthCheckPort,
  type ServiceSpec,
} from './service-spec.ts';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const POLICIES = ['Cluster', 'Local'];
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$/;
const CLASS = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const MAX_AFFINITY_SECONDS = 86_400;

export function serviceCauses({ spec, metadata }: ApiObject, previous: ApiObject | undefined): Cause[] {
  const causes: Cause[] = [];
  if (!DNS_LABEL.test(metadata.name)) {
    const why =
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    causes.push(fieldInvalid('metadata.name', metadata.name, why));
  }
  causes.push(...typeCauses(spec), ...portCauses(spec), ...policyCauses(spec), ...addressCauses(spec));
  if (previous) causes.push(...updateCauses(spec, previous.spec));
  return causes;
}

function typeCauses(spec: ServiceSpec): Cause[] {
  const { type = '', clusterIPs = [], externalName } = spec;
  if (!TYPES.includes(type)) return [fieldNotSupported('spec.type', type, TYPES)];
  const causes: Cause[] = [];
  if (isHeadless(spec) && (type === 'LoadBalancer' || type === 'NodePort'))
    causes.push(fieldInvalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  if (type === 'ExternalName') {
    if (clusterIPs.length > 0)
      causes.push(fieldForbidden('spec.clusterIPs', 'may not be set for ExternalName services'));
    if (!externalName) causes.push(fieldRequired('spec.externalName'));
    else if (!SUBDOMAIN.test(externalName))
      causes.push(
        fieldInvalid(
          'spec.externalName',
          externalName,
          "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        ),
      );
  }
  if (type === 'LoadBalancer') {
    if (spec.loadBalancerClass !== undefined && !CLASS.test(spec.loadBalancerClass))
      causes.push(
        fieldInvalid(
          'spec.loadBalancerClass',
          spec.loadBalancerClass,
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        ),
      );
  } else {
    const only = "may only be used when `type` is 'LoadBalancer'";
    if (spec.loadBalancerClass !== undefined) causes.push(fieldForbidden('spec.loadBalancerClass', only));
    if (spec.allocateLoadBalancerNodePorts !== undefined)
      causes.push(fieldForbidden('spec.allocateLoadBalancerNodePorts', only));
    if ((spec.loadBalancerSourceRanges ?? []).length > 0)
      causes.push(fieldForbidden('spec.loadBalancerSourceRanges', only));
  }
  return causes;
}

function policyCauses(spec: ServiceSpec): Cause[] {
  const causes: Cause[] = [];
  const { externalTrafficPolicy, internalTrafficPolicy, sessionAffinity = '', sessionAffinityConfig } = spec;
  if (externalTrafficPolicy !== undefined && !isExternallyReachable(spec))
    causes.push(
      fieldInvalid(
        'spec.externalTrafficPolicy',
        externalTrafficPolicy,
        'may only be set for externally-accessible services',
      ),
    );
  else if (externalTrafficPolicy !== undefined && !POLICIES.includes(externalTrafficPolicy))
    causes.push(fieldNotSupported('spec.externalTrafficPolicy', externalTrafficPolicy, POLICIES));
  if (internalTrafficPolicy !== undefined && !POLICIES.includes(internalTrafficPolicy))
    causes.push(fieldNotSupported('spec.internalTrafficPolicy', internalTrafficPolicy, POLICIES));
  const { ipFamilyPolicy } = spec;
  const stacks = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
  if (ipFamilyPolicy !== undefined && !stacks.includes(ipFamilyPolicy))
    causes.push(fieldNotSupported('spec.ipFamilyPolicy', ipFamilyPolicy, stacks));
  for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
    if (!['IPv4', 'IPv6'].includes(family))
      causes.push(fieldNotSupported(`spec.ipFamilies[${i}]`, family, ['IPv4', 'IPv6']));
  }
  if (!['ClientIP', 'None'].includes(sessionAffinity))
    causes.push(fieldNotSupported('spec.sessionAffinity', sessionAffinity, ['ClientIP', 'None']));
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds !== undefined && !(seconds > 0 && seconds <= MAX_AFFINITY_SECONDS)) {
    const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
    causes.push(fieldInvalid(field, seconds, `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`));
  }
  if (spec.healthCheckNodePort !== undefined && !needsHealthCheckPort(spec))
    causes.push(
      fieldInvalid(
        'spec.healthCheckNodePort',
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      ),
    );
  return causes;
}

const BAD_CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
const BAD_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
/** Addresses that are nobody's to serve, as validation.ValidateNonSpecialIP has them. */
const SPECIAL: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/^(0\.0\.0\.0|::)$/, 'may not be unspecified (0.0.0.0 or ::)'],
  [/^(127\.|::1$)/, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  [/^(169\.254\.|fe[89ab])/, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'],
  [/^(224\.0\.0\.|ff.2:)/, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'],
];

function addressCauses({ loadBalancerSourceRanges = [], externalIPs = [] }: ServiceSpec): Cause[] {
  const ranges = loadBalancerSourceRanges.flatMap((range, i) => {
    const text = String(range).trim();
    const known = text.includes('/') && parsePrefix(text).kind === 'parsed';
    return known ? [] : [fieldInvalid(`spec.LoadBalancerSourceRanges[${i}]`, range, BAD_CIDR)];
  });
  const addresses = externalIPs.flatMap((address, i) => {
    const field = `spec.externalIPs[${i}]`;
    if (parseIp(String(address)).kind === 'malformed') return [fieldInvalid(field, address, BAD_IP)];
    return SPECIAL.filter(([pattern]) => pattern.test(address)).map(([, why]) =>
      fieldInvalid(field, address, why),
    );
  });
  return [...ranges, ...addresses];
}

function updateCauses(spec: ServiceSpec, before: ServiceSpec): Cause[] {
  const causes: Cause[] = [];
  if (needsClusterIp(spec) && needsClusterIp(before)) causes.push(...addressUpdateCauses(spec, before));
  if (before.type === 'LoadBalancer' && spec.type === 'LoadBalancer') {
    if (!sameJson(before.loadBalancerClass, spec.loadBalancerClass))
      causes.push(fieldInvalid('spec.loadBalancerClass', spec.loadBalancerClass, 'may not change once set'));
  }
  const checked = needsHealthCheckPort(before) && needsHealthCheckPort(spec);
  if (checked && before.healthCheckNodePort !== spec.healthCheckNodePort)
    causes.push(fieldForbidden('spec.healthCheckNodePort', 'field is immutable'));
  return causes;
}

function addressUpdateCauses(spec: ServiceSpec, before: ServiceSpec): Cause[] {
  const { clusterIPs = [], ipFamilies = [] } = spec;
  const [had = [], families = []] = [before.clusterIPs, before.ipFamilies];
  const fixed = 'may not change once set';
  if (had.length > 0 && clusterIPs[0] !== had[0])
    return [fieldInvalid('spec.clusterIPs[0]', clusterIPs, fixed)];
  if (ipFamilies.length > 0 && families.length > 0 && ipFamilies[0] !== families[0])
    return [fieldInvalid('spec.ipFamilies[0]', ipFamilies, fixed)];
  if (had.length > 1 && clusterIPs.length > 1 && clusterIPs[1] !== had[1])
    return [fieldInvalid('spec.clusterIPs[1]', clusterIPs, fixed)];
  if (had.length > 1 && clusterIPs.length === 1 && spec.ipFamilyPolicy !== 'SingleStack') {
    const why = 'must be `SingleStack` to release the secondary cluster IP';
    return [fieldInvalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why)];
  }
  return [];
}
