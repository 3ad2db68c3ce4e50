// What should be there for a Service: a pure function of its request, its account, its subnets and its targets.
import {
  fallbacks,
  LISTENER_ATTRIBUTES,
  LOAD_BALANCER_ATTRIBUTES,
  TARGET_GROUP_ATTRIBUTES,
} from '../../api/aws-attributes.ts';
import type { HealthCheck, ListenerProtocol, ListenerRequest } from '../../api/aws-ports.ts';
import type { AwsRequest } from '../../api/aws-request.ts';
import type { Scheme, TargetType } from '../../api/cloud-account.ts';
import { backendPorts } from './backend.ts';
import {
  backendGroupName,
  loadBalancerName,
  securityGroupName,
  targetGroupName,
  targetGroupPort,
} from './names.ts';
import { backendTags, type Owner, ownerTags, type Tags } from './ownership.ts';

/** Keys written by the user, and what AWS has by itself for the rest. */
export interface Attributes {
  readonly named: Readonly<Record<string, string>>;
  readonly fallbacks: Readonly<Record<string, string>>;
}

export interface SubnetMapping {
  readonly subnet: string;
  readonly allocation?: string;
  readonly privateAddress?: string;
  readonly ipv6Address?: string;
  readonly sourceNatPrefix?: string;
}

/** Ids, or the Service's own group, which has none before it is made. */
export type GroupsWanted =
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  | { readonly kind: 'managed' };

export interface DesiredLoadBalancer {
  readonly name: string;
  readonly scheme: Scheme;
  readonly addressType: 'ipv4' | 'dualstack';
  readonly sourceNat: boolean;
  readonly mappings: readonly SubnetMapping[];
  readonly groups: GroupsWanted;
  /** The name of a group that it bears besides. */
  readonly backendGroup?: string;
  readonly privateLinkRules?: 'on' | 'off';
  readonly attributes: Attributes;
  readonly tags: Tags;
}

/** `port` undefined: the whole protocol. ICMP: `from` is the type, `to` the code. */
export interface Rule {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  readonly from: number;
  readonly to: number;
  /** CIDR, the id of a prefix list, or the name of a group (`backend.ts`). */
  readonly source: string;
}

export interface DesiredSecurityGroup {
  readonly name: string;
  readonly vpc: string;
  readonly rules: readonly Rule[];
  readonly tags: Tags;
}

/** How load balancers reach their targets. */
export interface DesiredBackend {
  /** Of the group that load balancers bear. */
  readonly name: string;
  readonly vpc: string;
  readonly tags: Tags;
  readonly ports: readonly { readonly protocol: 'tcp' | 'udp'; readonly port: number }[];
  /** Ids of the groups of the targets. */
  readonly groups: readonly string[];
}

export interface Target {
  /** An instance or an address. */
  readonly id: string;
  readonly port: number;
  /** `all`: an address outside of the VPC. */
  readonly zone?: 'all';
}

export interface DesiredTargetGroup {
  /** The listener's port. */
  readonly port: number;
  /** In order of preference. */
  readonly names: readonly string[];
  readonly resource: string;
  readonly vpc: string;
  readonly targetPort: number;
  readonly protocol: ListenerProtocol;
  readonly targetType: TargetType;
  readonly addressType: 'ipv4' | 'ipv6';
  readonly healthCheck: HealthCheck;
  readonly attributes: Attributes;
  readonly targets: readonly Target[];
  readonly tags: Tags;
}

export interface DesiredListener {
  readonly port: number;
  readonly protocol: ListenerProtocol;
  readonly certificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpnPolicy?: string;
  readonly attributes: Attributes;
  readonly tags: Tags;
}

export interface DesiredState {
  readonly owner: Owner;
  /** Whether what another controller made for the Service is taken over. */
  readonly adopt: boolean;
  readonly loadBalancer: DesiredLoadBalancer;
  readonly securityGroup?: DesiredSecurityGroup;
  readonly backend?: DesiredBackend;
  readonly targetGroups: readonly DesiredTargetGroup[];
  readonly listeners: readonly DesiredListener[];
}

export interface ModelInput {
  readonly request: AwsRequest;
  readonly owner: Owner;
  readonly vpc: string;
  /** The request's, or what the load balancer has, or the account's. */
  readonly scheme: Scheme;
  /** Ids, in the order that pairs with EIPs and addresses. */
  readonly subnets: readonly string[];
  /** Ids of the groups that the request names. */
  readonly givenGroups: readonly string[];
  /** Ids of the groups of the targets, which are to let the load balancer in; undefined: none is. */
  readonly nodeGroups: readonly string[] | undefined;
  /** By listener port. */
  readonly targets: ReadonlyMap<number, readonly Target[]>;
}

/** Names that a target group may take while earlier ones still hang on another load balancer. */
const ATTEMPTS = 4;

export function desiredState(input: ModelInput): DesiredState {
  const { request, owner, scheme, vpc } = input;
  const { cluster } = owner;
  const { securityGroups } = request;
  const backend: DesiredBackend | undefined =
    input.nodeGroups !== undefined
      ? {
          name: backendGroupName(cluster),
          vpc,
          tags: { ...request.tags, ...backendTags(owner) },
          ports: backendPorts(request.listeners, input.targets),
          groups: input.nodeGroups,
        }
      : undefined;
  const tags = (resource: string): Tags => ({ ...request.tags, ...ownerTags(owner, resource) });
  return {
    owner,
    adopt: request.adopt,
    loadBalancer: {
      name: request.loadBalancerName ?? loadBalancerName(cluster, request, scheme),
      scheme,
      addressType: request.addressType,
      sourceNat: request.sourceNat,
      mappings: mappings(input),
      groups:
        securityGroups.kind === 'managed' ? { kind: 'managed' } : { kind: 'ids', ids: input.givenGroups },
      ...(backend ? { backendGroup: backend.name } : {}),
      ...(request.privateLinkRules ? { privateLinkRules: request.privateLinkRules } : {}),
      attributes: { named: request.attributes, fallbacks: fallbacks(LOAD_BALANCER_ATTRIBUTES) },
      tags: tags('LoadBalancer'),
    },
    ...(securityGroups.kind === 'managed'
      ? {
          securityGroup: {
            name: securityGroupName(cluster, request),
            vpc,
            rules: rulesOf(request, securityGroups),
            tags: tags('ManagedLBSecurityGroup'),
          },
        }
      : {}),
    ...(backend ? { backend } : {}),
    targetGroups: request.listeners.map((listener) => targetGroup(input, listener, tags)),
    listeners: request.listeners.map((listener) => ({
      port: listener.port,
      protocol: listener.protocol,
      certificates: listener.certificates,
      ...(listener.sslPolicy === undefined ? {} : { sslPolicy: listener.sslPolicy }),
      ...(listener.alpnPolicy === undefined ? {} : { alpnPolicy: listener.alpnPolicy }),
      attributes: {
        named: listener.attributes,
        fallbacks: listener.protocol === 'TCP' ? fallbacks(LISTENER_ATTRIBUTES) : {},
      },
      tags: tags(String(listener.port)),
    })),
  };
}

function mappings({ request, subnets, scheme }: ModelInput): SubnetMapping[] {
  const { allocations, privateAddresses, ipv6Addresses, sourceNatPrefixes } = request;
  return subnets.map((subnet, i) => ({
    subnet,
    ...(allocations[i] && scheme === 'internet-facing' ? { allocation: allocations[i] } : {}),
    ...(privateAddresses[i] && scheme === 'internal' ? { privateAddress: privateAddresses[i] } : {}),
    ...(ipv6Addresses[i] ? { ipv6Address: ipv6Addresses[i] } : {}),
    ...(sourceNatPrefixes[i] ? { sourceNatPrefix: sourceNatPrefixes[i] } : {}),
  }));
}

type Managed = Extract<AwsRequest['securityGroups'], { kind: 'managed' }>;

/** One for each listener, transport and source. */
function rulesOf({ listeners }: AwsRequest, { ranges, prefixLists, icmp }: Managed): Rule[] {
  const sources = [...ranges, ...prefixLists];
  const rules = listeners.flatMap(({ port, protocol }) =>
    transports(protocol).flatMap((transport) =>
      sources.map((source): Rule => ({ protocol: transport, from: port, to: port, source })),
    ),
  );
  if (!icmp) return rules;
  // "Fragmentation needed" (RFC 792) and "packet too big" (RFC 4443).
  const pathMtu = ranges.map((source): Rule => {
    return source.includes(':')
      ? { protocol: 'icmpv6', from: 2, to: 0, source }
      : { protocol: 'icmp', from: 3, to: 4, source };
  });
  return [...rules, ...pathMtu];
}

function transports(protocol: ListenerProtocol): ('tcp' | 'udp')[] {
  if (protocol === 'TCP_UDP' || protocol === 'TCP_QUIC') return ['tcp', 'udp'];
  return protocol === 'UDP' || protocol === 'QUIC' ? ['udp'] : ['tcp'];
}

function targetGroup(
  { request, owner: { cluster }, vpc, targets }: ModelInput,
  listener: ListenerRequest,
  tags: (resource: string) => Tags,
): DesiredTargetGroup {
  const { port, targetProtocol } = listener;
  const { targetType } = request;
  const resource = `${request.key}:${port}`;
  const datagrams = targetProtocol !== 'TCP' && targetProtocol !== 'TLS';
  return {
    port,
    names: Array.from({ length: ATTEMPTS }, (_, i) => targetGroupName(cluster, request, listener, i)),
    resource,
    vpc,
    targetPort: targetGroupPort(listener, targetType),
    protocol: targetProtocol,
    targetType,
    addressType: request.targetFamily,
    healthCheck: listener.healthCheck,
    attributes: {
      named: listener.targetAttributes,
      fallbacks: {
        ...fallbacks(TARGET_GROUP_ATTRIBUTES),
        'preserve_client_ip.enabled': String(datagrams || targetType === 'instance'),
        'deregistration_delay.connection_termination.enabled': String(datagrams),
      },
    },
    targets: targets.get(port) ?? [],
    tags: tags(resource),
  };
}
