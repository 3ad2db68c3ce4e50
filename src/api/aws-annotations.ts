// The annotations of a Service that speak of an AWS network load balancer: their names, who is misspelt, and
// which are known but not served.
import type { ServiceObject } from '../kube/objects.ts';
import type { Written } from './aws-grammar.ts';
import type { Reader } from './reader.ts';

const PREFIX = 'service.beta.kubernetes.io/';
const AWS = `${PREFIX}aws-load-balancer-`;

/** Chooses a CloudAccount by name. */
export const CLOUD_ACCOUNT_ANNOTATION = 'fairlead.dev/cloud-account';
/** `true`: a load balancer of another controller that bears this Service's name and tags is taken over. */
export const ADOPT_ANNOTATION = 'fairlead.dev/adopt-load-balancer';
/** Another value than before: what is there is looked at now, and put right. */
export const CHECK_ANNOTATION = 'fairlead.dev/check-load-balancer';
type OwnAnnotation = typeof CLOUD_ACCOUNT_ANNOTATION | typeof ADOPT_ANNOTATION | typeof CHECK_ANNOTATION;

/** Names behind `service.beta.kubernetes.io/aws-load-balancer-`. */
export const AWS_ANNOTATIONS = [
  'access-log-enabled',
  'access-log-s3-bucket-name',
  'access-log-s3-bucket-prefix',
  'additional-resource-tags',
  'alpn-policy',
  'attributes',
  'backend-protocol',
  'cross-zone-load-balancing-enabled',
  'disable-nlb-sg',
  'eip-allocations',
  'enable-icmp-for-path-mtu-discovery',
  'enable-prefix-for-ipv6-source-nat',
  'enable-tcp-udp-listener',
  'healthcheck-healthy-threshold',
  'healthcheck-interval',
  'healthcheck-path',
  'healthcheck-port',
  'healthcheck-protocol',
  'healthcheck-success-codes',
  'healthcheck-timeout',
  'healthcheck-unhealthy-threshold',
  'inbound-sg-rules-on-private-link-traffic',
  'internal',
  'ip-address-type',
  'ipv6-addresses',
  'manage-backend-security-group-rules',
  'name',
  'nlb-target-type',
  'private-ipv4-addresses',
  'proxy-protocol',
  'proxy-protocol-per-target-group',
  'quic-enabled-ports',
  'scheme',
  'security-group-prefix-lists',
  'security-groups',
  'source-nat-ipv6-prefixes',
  'ssl-cert',
  'ssl-negotiation-policy',
  'ssl-ports',
  'subnets',
  'target-group-attributes',
  'target-node-labels',
  'type',
] as const;
export type AwsAnnotation = (typeof AWS_ANNOTATIONS)[number];

/** Known to the AWS controller, and refused here rather than ignored. */
const UNSERVED: Readonly<Record<string, string>> = {
  'multi-cluster-target-group':
    'shares target groups between clusters, which Fairlead does not do; remove it',
  'minimum-load-balancer-capacity': 'reserves capacity, which Fairlead does not do yet; remove it',
};

/** What Classic load balancers alone know. */
const CLASSIC = [
  'access-log-emit-interval',
  'connection-draining-enabled',
  'connection-draining-timeout',
  'connection-idle-timeout',
  'extra-security-groups',
];

const RANGES = `${PREFIX}load-balancer-source-ranges`;
/** One listener's, by protocol and port: `listener-attributes.TCP-80`. */
const LISTENER = /^listener-attributes\.([A-Z_]+)-(\d{1,5})$/;
/** One port's: `target-group-attributes.80`. */
const TARGET_GROUP = /^target-group-attributes\.(\d{1,5})$/;

export class AwsAnnotations {
  readonly #service: ServiceObject;

  constructor(service: ServiceObject) {
    this.#service = service;
  }

  get(name: AwsAnnotation): Written | undefined {
    return this.#written(`${AWS}${name}`);
  }

  sourceRanges(): Written | undefined {
    return this.#written(RANGES);
  }

  /** One of ours, by its whole name. */
  own(name: OwnAnnotation): Written | undefined {
    return this.#written(name);
  }

  /** By port number. */
  targetGroupAttributes(): Map<number, Written> {
    return this.#keyed(TARGET_GROUP, ([, port]) => Number(port));
  }

  /** By `TCP-80`. */
  listenerAttributes(): Map<string, Written> {
    return this.#keyed(LISTENER, ([, protocol, port]) => `${protocol}-${port}`);
  }

  /** A problem for each annotation that would otherwise pass in silence. */
  checkNames(reader: Reader): void {
    for (const [key, value] of Object.entries(this.#service.metadata.annotations ?? {})) {
      const mend = mendOfName(key);
      if (mend !== undefined) reader.problem(fieldOf(key), value, mend);
    }
  }

  #written(key: string): Written | undefined {
    const value = this.#service.metadata.annotations?.[key]?.trim();
    return value === undefined || value === '' ? undefined : { field: fieldOf(key), value };
  }

  #keyed<K>(pattern: RegExp, keyOf: (match: RegExpExecArray) => K): Map<K, Written> {
    const found = new Map<K, Written>();
    for (const key of Object.keys(this.#service.metadata.annotations ?? {})) {
      const match = key.startsWith(AWS) ? pattern.exec(key.slice(AWS.length)) : null;
      const written = match && this.#written(key);
      if (match && written) found.set(keyOf(match), written);
    }
    return found;
  }
}

function fieldOf(key: string): string {
  return `metadata.annotations[${key}]`;
}

function mendOfName(key: string): string | undefined {
  if (key.startsWith(`${PREFIX}actions.`))
    return 'weights target groups, which Fairlead does not do yet; remove it';
  if (!key.includes('aws-load-balancer')) return undefined;
  const name = key.slice(AWS.length);
  if (key.startsWith(AWS)) {
    if (AWS_ANNOTATIONS.some((known) => known === name) || LISTENER.test(name) || TARGET_GROUP.test(name))
      return undefined;
    if (Object.hasOwn(UNSERVED, name)) return UNSERVED[name];
    if (CLASSIC.includes(name)) return 'is for Classic load balancers, and does nothing here; remove it';
  }
  const meant = nearest(key);
  return meant ? `is no annotation; did you mean ${meant}?` : 'is no annotation; remove it';
}

/** The known name that takes the fewest edits, up to one in four letters. */
function nearest(key: string): string | undefined {
  let best: string | undefined;
  let least = Math.floor(key.length / 4);
  for (const name of AWS_ANNOTATIONS) {
    const distance = editDistance(key, `${AWS}${name}`);
    if (distance > least || (distance === least && best !== undefined)) continue;
    [best, least] = [`${AWS}${name}`, distance];
  }
  return best;
}

/** Levenshtein. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
