// What a Service asks of an AWS network load balancer: its spec and annotations, read against its account's
// defaults, and everything that is wrong with them at once.
import type { ServiceObject } from '../kube/objects.ts';
import { parseIp } from '../net/address.ts';
import { ADOPT_ANNOTATION, AwsAnnotations } from './aws-annotations.ts';
import { checkAttributes, LOAD_BALANCER_ATTRIBUTES } from './aws-attributes.ts';
import { boolean, identifiers, map, oneOf, prefixes, unique, type Written } from './aws-grammar.ts';
import { type ListenerRequest, readListeners } from './aws-ports.ts';
import {
  type AwsAccount,
  mendOfTag,
  SCHEMES,
  type Scheme,
  TARGET_TYPES,
  type TargetType,
} from './cloud-account.ts';
import type { Read } from './problem.ts';
import { Reader } from './reader.ts';

export interface AwsRequest {
  /** `namespace/name` */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly targetType: TargetType;
  /** Undefined: a name made of namespace, name and a hash. */
  readonly loadBalancerName?: string;
  /** Undefined: what the load balancer has, or else the account's. */
  readonly scheme?: Scheme;
  readonly addressType: 'ipv4' | 'dualstack';
  /** Of the target groups. */
  readonly targetFamily: 'ipv4' | 'ipv6';
  /** Ids or Name tags, in the order that pairs with EIPs; empty: discovery. */
  readonly subnets: readonly string[];
  /** EIP allocations, by subnet. */
  readonly allocations: readonly string[];
  readonly privateAddresses: readonly string[];
  readonly ipv6Addresses: readonly string[];
  readonly sourceNat: boolean;
  /** /80 prefixes or `auto_assigned`, by subnet. */
  readonly sourceNatPrefixes: readonly string[];
  readonly securityGroups: SecurityGroupRequest;
  /** Whether the groups' rules hold for PrivateLink traffic; undefined: as AWS has it. */
  readonly privateLinkRules?: 'on' | 'off';
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  /** Labels that a node must have; instance targets only. */
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly listeners: readonly ListenerRequest[];
  /** Whether another controller's load balancer of this Service is taken over. */
  readonly adopt: boolean;
}

export type SecurityGroupRequest =
  | { readonly kind: 'none' }
  /** The user's own: ids or Name tags. */
  | { readonly kind: 'given'; readonly groups: readonly string[]; readonly backend: boolean }
  | {
      readonly kind: 'managed';
      /** CIDR. */
      readonly ranges: readonly string[];
      readonly prefixLists: readonly string[];
      /** Whether path MTU discovery may come in. */
      readonly icmp: boolean;
      /** Whether the groups of nodes or pods let the load balancer in. */
      readonly backend: boolean;
    };

export function readAwsService(service: ServiceObject, account: AwsAccount): Read<AwsRequest> {
  const { namespace = '', name, uid = '' } = service.metadata;
  const reader = new Reader(`Service/${namespace}/${name}`);
  const annotations = new AwsAnnotations(service);
  annotations.checkNames(reader);
  const targetType = readTargetType(reader, annotations, account);
  const scheme = readScheme(reader, annotations);
  const loadBalancerName = readName(reader, annotations.get('name'));
  const addressType = oneOf(reader, annotations.get('ip-address-type'), ['ipv4', 'dualstack']) ?? 'ipv4';
  const targetFamily = service.spec.ipFamilies?.includes('IPv6') ? 'ipv6' : 'ipv4';
  if (targetFamily === 'ipv6' && addressType === 'ipv4')
    reader.problem(
      'spec.ipFamilies',
      service.spec.ipFamilies,
      'has IPv6, which needs the annotation aws-load-balancer-ip-address-type: dualstack',
    );
  const privateLinkRules = oneOf(reader, annotations.get('inbound-sg-rules-on-private-link-traffic'), [
    'on',
    'off',
  ]);
  const request: AwsRequest = {
    key: `${namespace}/${name}`,
    namespace,
    name,
    uid,
    targetType,
    ...(loadBalancerName === undefined ? {} : { loadBalancerName }),
    ...(scheme === undefined ? {} : { scheme }),
    addressType,
    targetFamily,
    ...readPlaces(reader, annotations, { scheme: scheme ?? account.scheme, addressType, account }),
    securityGroups: readSecurityGroups(reader, annotations, { service, account, addressType }),
    ...(privateLinkRules === undefined ? {} : { privateLinkRules }),
    attributes: readAttributes(reader, annotations),
    tags: { ...readTags(reader, annotations.get('additional-resource-tags')), ...account.tags },
    nodeLabels: map(reader, annotations.get('target-node-labels')),
    listeners: readListeners({ reader, service, annotations, targetType }),
    adopt: boolean(reader, annotations.own(ADOPT_ANNOTATION)) ?? false,
  };
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : { kind: 'valid', value: request };
}

function readTargetType(reader: Reader, annotations: AwsAnnotations, account: AwsAccount): TargetType {
  const type = oneOf(reader, annotations.get('type'), ['nlb-ip', 'external']);
  const written = annotations.get('nlb-target-type');
  const target = oneOf(reader, written, TARGET_TYPES);
  if (type === 'nlb-ip' && written && target === 'instance')
    reader.problem(
      written.field,
      written.value,
      'contradicts aws-load-balancer-type: nlb-ip; remove one of the two',
    );
  return type === 'nlb-ip' ? 'ip' : (target ?? account.targetType);
}

/** The older `internal` counts where `scheme` is not written. */
function readScheme(reader: Reader, annotations: AwsAnnotations): Scheme | undefined {
  const internal = boolean(reader, annotations.get('internal'));
  const scheme = oneOf(reader, annotations.get('scheme'), SCHEMES);
  return scheme ?? (internal === undefined ? undefined : internal ? 'internal' : 'internet-facing');
}

/** Elastic Load Balancing API, CreateLoadBalancer, Name. */
function readName(reader: Reader, written: Written | undefined): string | undefined {
  if (!written) return undefined;
  const { field, value } = written;
  if (value.length > 32) reader.problem(field, value, `has ${value.length} characters; 32 are allowed`);
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(value))
    reader.problem(field, value, 'is no name; use letters, digits and hyphens, and no hyphen at either end');
  if (value.startsWith('internal-'))
    reader.problem(field, value, 'begins with "internal-", which AWS refuses');
  return value;
}

type Places = Pick<
  AwsRequest,
  'subnets' | 'allocations' | 'privateAddresses' | 'ipv6Addresses' | 'sourceNat' | 'sourceNatPrefixes'
>;

/** Subnets, and what comes one for each of them. */
function readPlaces(
  reader: Reader,
  annotations: AwsAnnotations,
  { scheme, addressType, account }: { scheme: Scheme; addressType: string; account: AwsAccount },
): Places {
  const named = unique(reader, annotations.get('subnets'));
  const subnets = named.length > 0 ? named : account.subnets;
  const fits = (written: Written | undefined, count: number) => {
    if (!written || subnets.length === 0 || count === subnets.length) return;
    reader.problem(
      written.field,
      written.value,
      `names ${count}, but there are ${subnets.length} subnets; name one for each`,
    );
  };
  const only = (written: Written | undefined, allowed: boolean, where: string) => {
    if (written && !allowed)
      reader.problem(
        written.field,
        written.value,
        `is possible with ${where} only; change that or remove this`,
      );
  };
  const eip = annotations.get('eip-allocations');
  const allocations = identifiers(reader, eip, /^eipalloc-[0-9a-f]{8,17}$/, 'eipalloc-0a1b2c3d4e5f60718');
  only(eip, scheme === 'internet-facing', 'the scheme internet-facing');
  fits(eip, allocations.length);

  const ipv4 = annotations.get('private-ipv4-addresses');
  const privateAddresses = addresses(reader, ipv4, false);
  only(ipv4, scheme === 'internal', 'the scheme internal');
  fits(ipv4, privateAddresses.length);

  const ipv6 = annotations.get('ipv6-addresses');
  const ipv6Addresses = addresses(reader, ipv6, true);
  only(ipv6, addressType === 'dualstack', 'the address type dualstack');
  fits(ipv6, ipv6Addresses.length);

  const nat = annotations.get('enable-prefix-for-ipv6-source-nat');
  const sourceNat = oneOf(reader, nat, ['on', 'off']) === 'on';
  if (sourceNat) only(nat, addressType === 'dualstack', 'the address type dualstack');
  const prefix = annotations.get('source-nat-ipv6-prefixes');
  const sourceNatPrefixes = (prefix?.value ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  for (const text of sourceNatPrefixes) {
    if (text === 'auto_assigned') continue;
    const fine = prefixes(reader, prefix?.field ?? '', [text]);
    if (fine.length > 0 && !text.endsWith('/80'))
      reader.problem(prefix?.field ?? '', text, 'is no /80; write one, or auto_assigned');
  }
  only(prefix, sourceNat, 'aws-load-balancer-enable-prefix-for-ipv6-source-nat: on');
  fits(prefix, sourceNatPrefixes.length);
  return { subnets, allocations, privateAddresses, ipv6Addresses, sourceNat, sourceNatPrefixes };
}

function addresses(reader: Reader, written: Written | undefined, wantIpv6: boolean): string[] {
  return unique(reader, written).map((text) => {
    const address = parseIp(text);
    if (address.kind === 'malformed') reader.problem(written?.field ?? '', text, address.problem);
    else if (address.value.includes(':') !== wantIpv6)
      reader.problem(
        written?.field ?? '',
        text,
        `is not of the right family; write ${wantIpv6 ? 'IPv6' : 'IPv4'} addresses`,
      );
    return address.kind === 'parsed' ? address.value : text;
  });
}

function readSecurityGroups(
  reader: Reader,
  annotations: AwsAnnotations,
  { service, account, addressType }: { service: ServiceObject; account: AwsAccount; addressType: string },
): SecurityGroupRequest {
  const given = annotations.get('security-groups');
  const without = annotations.get('disable-nlb-sg');
  const none = boolean(reader, without) ?? (account.securityGroupPolicy === 'None' && !given);
  if (given && none && without)
    reader.problem(
      without.field,
      without.value,
      'contradicts aws-load-balancer-security-groups; remove one of the two',
    );
  const rules = annotations.get('manage-backend-security-group-rules');
  const asked = boolean(reader, rules);
  if (asked && none)
    reader.problem(
      rules?.field ?? '',
      rules?.value,
      'needs a load balancer with security groups; remove it, and allow the traffic in the groups of the nodes yourself',
    );

  const specRanges = service.spec.loadBalancerSourceRanges ?? [];
  const written = annotations.sourceRanges();
  const ranges =
    specRanges.length > 0
      ? prefixes(
          reader,
          'spec.loadBalancerSourceRanges',
          specRanges.map((text) => text.trim()),
        )
      : prefixes(reader, written?.field ?? '', unique(reader, written));
  const prefixLists = identifiers(
    reader,
    annotations.get('security-group-prefix-lists'),
    /^pl-[0-9a-f]{8,17}$/,
    'pl-0a1b2c3d',
  );
  const icmp = oneOf(reader, annotations.get('enable-icmp-for-path-mtu-discovery'), ['on']) === 'on';
  if (none) return { kind: 'none' };
  if (given) return { kind: 'given', groups: unique(reader, given), backend: asked ?? false };
  const everywhere = addressType === 'dualstack' ? ['0.0.0.0/0', '::/0'] : ['0.0.0.0/0'];
  const open = ranges.length === 0 && prefixLists.length === 0;
  const backend = asked ?? account.securityGroupPolicy === 'Managed';
  return { kind: 'managed', ranges: open ? everywhere : ranges, prefixLists, icmp, backend };
}

/** The older annotations of one attribute each win over the map; access logs only where they are switched on. */
function readAttributes(reader: Reader, annotations: AwsAnnotations): Readonly<Record<string, string>> {
  const written = annotations.get('attributes');
  const attributes: Record<string, string> = { ...map(reader, written) };
  if (written) checkAttributes(reader, written, attributes, LOAD_BALANCER_ATTRIBUTES);
  const crossZone = boolean(reader, annotations.get('cross-zone-load-balancing-enabled'));
  if (crossZone !== undefined) attributes['load_balancing.cross_zone.enabled'] = String(crossZone);
  const logs = boolean(reader, annotations.get('access-log-enabled'));
  const bucket = annotations.get('access-log-s3-bucket-name');
  const prefix = annotations.get('access-log-s3-bucket-prefix');
  if (logs !== undefined) attributes['access_logs.s3.enabled'] = String(logs);
  if (logs && bucket) attributes['access_logs.s3.bucket'] = bucket.value;
  if (logs && prefix) attributes['access_logs.s3.prefix'] = prefix.value;
  if (attributes['access_logs.s3.enabled'] === 'true' && !attributes['access_logs.s3.bucket']) {
    const from = annotations.get('access-log-enabled') ?? written;
    reader.problem(
      from?.field ?? '',
      'access_logs.s3.enabled=true',
      'needs a bucket; write aws-load-balancer-access-log-s3-bucket-name',
    );
  }
  return attributes;
}

function readTags(reader: Reader, written: Written | undefined): Readonly<Record<string, string>> {
  const tags = map(reader, written);
  for (const [key, value] of Object.entries(tags)) {
    const mend = mendOfTag(key, value);
    if (mend) reader.problem(written?.field ?? '', `${key}=${value}`, mend);
  }
  return tags;
}
