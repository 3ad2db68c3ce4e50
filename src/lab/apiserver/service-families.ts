// IP families and cluster addresses of a Service: what was asked for, completed by its policy and what the cluster has
// (kube-apiserver: registry/core/service/storage/alloc.go).
import { type Family, familyOf, type Ip, ip, parseIp } from '../../net/address.ts';
import type { Cause } from './api-error.ts';
import { fieldInvalid } from './field-causes.ts';
import type { ClusterAddresses } from './service-addresses.ts';
import { isHeadless, needsClusterIp, type ServiceSpec } from './service-spec.ts';

const BAD_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';

/** Completes families and addresses in place; answers what is wrong instead where that cannot be. */
export function completeFamilies(
  spec: ServiceSpec,
  before: ServiceSpec | undefined,
  addresses: ClusterAddresses,
): Cause[] {
  if (!needsClusterIp(spec)) return [];
  if (before && needsClusterIp(before)) {
    if (before.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy ??= before.ipFamilyPolicy;
    if (spec.ipFamilies === undefined && before.ipFamilies) spec.ipFamilies = [...before.ipFamilies];
  }
  const causes = checkAsked(spec, addresses);
  if (causes.length > 0) return causes;
  const requested = isHeadless(spec) ? [] : (spec.clusterIPs ?? []).map(ip);
  const named = spec.ipFamilies?.length ? spec.ipFamilies : requested.map(familyOf);
  const selectorless = isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= selectorless ? 'RequireDualStack' : 'SingleStack';
  const primary = named[0] ?? addresses.families[0] ?? 'IPv4';
  const other: Family = primary === 'IPv4' ? 'IPv6' : 'IPv4';
  const second = named[1] ?? other;
  const wantsBoth = spec.ipFamilyPolicy !== 'SingleStack';
  const hasBoth = addresses.families.length > 1;
  if (spec.ipFamilyPolicy === 'RequireDualStack' && !hasBoth && !selectorless) {
    const why = 'this cluster is not configured for dual-stack services';
    return [fieldInvalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why)];
  }
  spec.ipFamilies = wantsBoth && (hasBoth || selectorless) ? [primary, second] : [primary];
  return isHeadless(spec) ? [] : chooseAddresses(spec, requested, before?.clusterIPs ?? [], addresses);
}

function checkAsked(spec: ServiceSpec, addresses: ClusterAddresses): Cause[] {
  const { clusterIPs = [], ipFamilies = [] } = spec;
  const selectorless = isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;
  const { ipFamilyPolicy = selectorless ? 'RequireDualStack' : 'SingleStack' } = spec;
  if (spec.clusterIP === undefined && clusterIPs.length > 0)
    return [fieldInvalid('spec.clusterIPs', clusterIPs, 'must be empty when `clusterIP` is not specified')];
  if (clusterIPs.length > 0 && clusterIPs[0] !== spec.clusterIP)
    return [fieldInvalid('spec.clusterIPs', clusterIPs, 'first value must match `clusterIP`')];
  if (ipFamilyPolicy === 'SingleStack') {
    const why = (what: string) =>
      `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`;
    if (clusterIPs.length > 1)
      return [fieldInvalid('spec.ipFamilyPolicy', ipFamilyPolicy, why('cluster IPs'))];
    if (ipFamilies.length > 1)
      return [fieldInvalid('spec.ipFamilyPolicy', ipFamilyPolicy, why('IP families'))];
  }
  const causes: Cause[] = [];
  for (const [i, text] of clusterIPs.entries()) {
    if (text === 'None' && i === 0) {
      if (clusterIPs.length > 1)
        causes.push(
          fieldInvalid('spec.clusterIPs', clusterIPs, "must not have more than one entry when 'None' is set"),
        );
      continue;
    }
    const parsed = parseIp(text);
    if (parsed.kind === 'malformed') {
      causes.push(fieldInvalid(`spec.clusterIPs[${i}]`, text, BAD_IP));
      continue;
    }
    const family = ipFamilies[i];
    if (family !== undefined && familyOf(parsed.value) !== family) {
      const why = `expected an ${family} value as indicated by \`ipFamilies[${i}]\``;
      causes.push(fieldInvalid(`spec.clusterIPs[${i}]`, text, why));
    }
  }
  for (const [i, family] of ipFamilies.entries()) {
    const known = addresses.families.includes(family);
    if (!known && !selectorless)
      causes.push(fieldInvalid(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster'));
  }
  return causes;
}

function chooseAddresses(
  spec: ServiceSpec,
  requested: readonly Ip[],
  held: readonly string[],
  addresses: ClusterAddresses,
): Cause[] {
  const chosen: Ip[] = [];
  for (const family of spec.ipFamilies ?? []) {
    const wanted = requested.find((each) => familyOf(each) === family);
    if (wanted === undefined) {
      const address = addresses.choose(family);
      if (address === undefined)
        return [fieldInvalid('spec.clusterIPs', requested, 'failed to allocate an IP: range is full')];
      chosen.push(address);
      continue;
    }
    const state = held.includes(wanted) ? 'free' : addresses.availability(wanted);
    if (state !== 'free') {
      const why =
        state === 'in use'
          ? 'provided IP is already allocated'
          : 'the provided network does not match the current range';
      return [fieldInvalid('spec.clusterIPs', requested, `failed to allocate IP ${wanted}: ${why}`)];
    }
    chosen.push(wanted);
  }
  spec.clusterIPs = chosen;
  const [primary] = chosen;
  if (primary !== undefined) spec.clusterIP = primary;
  return [];
}
