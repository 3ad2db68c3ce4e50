// Attributes of network load balancers, their listeners and target groups (Elastic Load Balancing API reference,
// LoadBalancerAttribute, ListenerAttribute, TargetGroupAttribute): what may be written, and what AWS has by itself.
import type { Written } from './aws-grammar.ts';
import type { Reader } from './reader.ts';

interface Attribute {
  /** What AWS sets; absent where that depends on more than the kind. */
  readonly fallback?: string;
  readonly values:
    | readonly string[]
    | { readonly least: number; readonly most: number }
    | 'text'
    | 'threshold';
}

type Table = Readonly<Record<string, Attribute>>;
const SWITCH = ['true', 'false'];

export const LOAD_BALANCER_ATTRIBUTES: Table = {
  'access_logs.s3.enabled': { values: SWITCH, fallback: 'false' },
  'access_logs.s3.bucket': { values: 'text', fallback: '' },
  'access_logs.s3.prefix': { values: 'text', fallback: '' },
  'deletion_protection.enabled': { values: SWITCH, fallback: 'false' },
  'dns_record.client_routing_policy': {
    values: ['any_availability_zone', 'availability_zone_affinity', 'partial_availability_zone_affinity'],
    fallback: 'any_availability_zone',
  },
  'ipv6.deny_all_igw_traffic': { values: SWITCH },
  'load_balancing.cross_zone.enabled': { values: SWITCH, fallback: 'false' },
  'secondary_ips.auto_assigned.per_subnet': { values: { least: 0, most: 7 } },
  'zonal_shift.config.enabled': { values: SWITCH, fallback: 'false' },
};

export const TARGET_GROUP_ATTRIBUTES: Table = {
  'deregistration_delay.connection_termination.enabled': { values: SWITCH },
  'deregistration_delay.timeout_seconds': { values: { least: 0, most: 3600 }, fallback: '300' },
  'load_balancing.cross_zone.enabled': {
    values: [...SWITCH, 'use_load_balancer_configuration'],
    fallback: 'use_load_balancer_configuration',
  },
  'preserve_client_ip.enabled': { values: SWITCH },
  'proxy_protocol_v2.enabled': { values: SWITCH, fallback: 'false' },
  'stickiness.enabled': { values: SWITCH, fallback: 'false' },
  'stickiness.type': { values: ['source_ip'], fallback: 'source_ip' },
  'target_group_health.dns_failover.minimum_healthy_targets.count': { values: 'threshold', fallback: '1' },
  'target_group_health.dns_failover.minimum_healthy_targets.percentage': {
    values: 'threshold',
    fallback: 'off',
  },
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.count': {
    values: 'threshold',
    fallback: '1',
  },
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage': {
    values: 'threshold',
    fallback: 'off',
  },
  'target_health_state.unhealthy.connection_termination.enabled': { values: SWITCH, fallback: 'true' },
  'target_health_state.unhealthy.draining_interval_seconds': {
    values: { least: 0, most: 360_000 },
    fallback: '0',
  },
};

export const LISTENER_ATTRIBUTES: Table = {
  'tcp.idle_timeout.seconds': { values: { least: 60, most: 6000 }, fallback: '350' },
};

/** Problems for keys that are none, and for values that AWS would refuse. */
export function checkAttributes(
  reader: Reader,
  written: Written,
  attributes: Readonly<Record<string, string>>,
  table: Table,
): void {
  for (const [key, value] of Object.entries(attributes)) {
    const attribute = Object.hasOwn(table, key) ? table[key] : undefined;
    if (!attribute) {
      reader.problem(written.field, key, `is no attribute here; there are ${Object.keys(table).join(', ')}`);
      continue;
    }
    const mend = mendOf(attribute, value);
    if (mend) reader.problem(written.field, `${key}=${value}`, mend);
  }
}

function mendOf({ values }: Attribute, value: string): string | undefined {
  if (values === 'text') return undefined;
  if (values === 'threshold')
    return value === 'off' || /^[1-9]\d{0,3}$/.test(value)
      ? undefined
      : 'is no threshold; write a number from 1, or off';
  if ('least' in values) {
    const fits = /^\d{1,6}$/.test(value) && Number(value) >= values.least && Number(value) <= values.most;
    return fits ? undefined : `is out of range; write a number from ${values.least} to ${values.most}`;
  }
  return values.includes(value) ? undefined : `is not known; write ${values.join(' or ')}`;
}

/** What AWS sets by itself, for the keys of which that is known. */
export function fallbacks(table: Table): Readonly<Record<string, string>> {
  const known: Record<string, string> = {};
  for (const [key, { fallback }] of Object.entries(table)) if (fallback !== undefined) known[key] = fallback;
  return known;
}
