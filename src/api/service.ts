// What a Service asks of a load balancer: its spec and annotations, read and checked.
import type { ServiceObject } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, ip, parseIp } from '../net/address.ts';
import type { Problem } from './problem.ts';
import { Reader } from './reader.ts';

/** Written by us on a Service: which pool its addresses come from. */
export const POOL_ANNOTATION = 'fairlead.dev/ip-allocated-from-pool';

export interface ServiceRequest {
  /** `namespace/name` */
  readonly key: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  /** metadata.creationTimestamp: the older Service goes first. */
  readonly createdAt: string;
  /** Families of the cluster addresses, in their order: the first is the primary one. */
  readonly families: readonly Family[];
  /** Whether one family is good enough where a pool cannot give both. */
  readonly bothRequired: boolean;
  /** Addresses asked for by name; empty: any. */
  readonly addresses: readonly Ip[];
  readonly pool?: string;
  readonly sharingKey?: string;
  /** `TCP/80` and so on. */
  readonly ports: readonly string[];
  /** Services that share an address must agree on it: '' for the Cluster policy, else the selector's text. */
  readonly backend: string;
  /** What the status says it has. */
  readonly held: readonly Ip[];
}

export type ServiceRead =
  /** Not of type LoadBalancer, or of a class that is not ours: none of our business. */
  | { readonly kind: 'foreign' }
  /** Ours, but it has no cluster address yet (or never will). */
  | { readonly kind: 'unready' }
  | { readonly kind: 'valid'; readonly value: ServiceRequest }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** Which `spec.loadBalancerClass` values are ours. */
export interface ServiceClasses {
  readonly classes: ReadonlySet<string>;
  readonly classless: boolean;
}

export function isOurs({ spec }: ServiceObject, { classes, classless }: ServiceClasses): boolean {
  if (spec.type !== 'LoadBalancer') return false;
  return spec.loadBalancerClass === undefined ? classless : classes.has(spec.loadBalancerClass);
}

/** The spellings of each annotation, ours first. */
const ANNOTATIONS = {
  pool: ['fairlead.dev/address-pool', 'metallb.io/address-pool'],
  addresses: ['fairlead.dev/load-balancer-ips', 'metallb.io/loadBalancerIPs', 'metallb.io/load-balancer-ips'],
  sharingKey: ['fairlead.dev/allow-shared-ip', 'metallb.io/allow-shared-ip'],
} as const;

export function readService(
  service: ServiceObject,
  classes: ServiceClasses,
  namespaceLabels: Readonly<Record<string, string>>,
): ServiceRead {
  if (!isOurs(service, classes)) return { kind: 'foreign' };
  const { metadata, spec } = service;
  const { namespace = '', name, labels = {}, creationTimestamp = '' } = metadata;
  const families = clusterFamilies(service);
  if (families.length === 0) return { kind: 'unready' };

  const reader = new Reader(`Service/${namespace}/${name}`);
  const pool = annotation(reader, service, ANNOTATIONS.pool);
  const sharingKey = annotation(reader, service, ANNOTATIONS.sharingKey);
  const addresses = requestedAddresses(reader, service, families);
  if (reader.problems.length > 0) return { kind: 'invalid', problems: reader.problems };
  return {
    kind: 'valid',
    value: {
      key: `${namespace}/${name}`,
      namespace,
      labels,
      namespaceLabels,
      createdAt: creationTimestamp,
      families,
      bothRequired: spec.ipFamilyPolicy === 'RequireDualStack',
      addresses,
      ...(pool === undefined ? {} : { pool }),
      ...(sharingKey === undefined ? {} : { sharingKey }),
      ports: (spec.ports ?? []).map(({ protocol = 'TCP', port }) => `${protocol}/${port}`),
      backend: spec.externalTrafficPolicy === 'Local' ? selectorText(spec.selector) : '',
      held: heldAddresses(service),
    },
  };
}

/** The addresses in the status, without what is no address. */
export function heldAddresses({ status }: ServiceObject): Ip[] {
  const held: Ip[] = [];
  for (const { ip: text = '' } of status?.loadBalancer?.ingress ?? []) {
    const address = parseIp(text);
    if (address.kind === 'parsed') held.push(address.value);
  }
  return held;
}

function clusterFamilies({ spec }: ServiceObject): Family[] {
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  return addresses.filter((text) => text !== '' && text !== 'None').map((text) => familyOf(ip(text)));
}

/** The annotation's value; under two spellings it must be the same. */
function annotation(reader: Reader, service: ServiceObject, names: readonly string[]): string | undefined {
  let found: { name: string; value: string } | undefined;
  for (const name of names) {
    const value = service.metadata.annotations?.[name]?.trim();
    if (value === undefined || value === '') continue;
    if (found && found.value !== value) {
      reader.problem(
        `metadata.annotations[${name}]`,
        value,
        `differs from ${found.name} "${found.value}"; keep one of the two`,
      );
    }
    found ??= { name, value };
  }
  return found?.value;
}

function requestedAddresses(reader: Reader, service: ServiceObject, families: readonly Family[]): Ip[] {
  const text = annotation(reader, service, ANNOTATIONS.addresses);
  const single = service.spec.loadBalancerIP;
  const field =
    text === undefined ? 'spec.loadBalancerIP' : `metadata.annotations[${ANNOTATIONS.addresses[0]}]`;
  const parts = (text ?? single ?? '').split(',').map((part) => part.trim());
  const addresses: Ip[] = [];
  for (const part of parts.filter((each) => each !== '')) {
    const address = parseIp(part);
    if (address.kind === 'parsed') addresses.push(address.value);
    else reader.problem(field, part, address.problem);
  }
  if (text !== undefined && single && !(addresses.length === 1 && sameAddress(single, addresses[0]))) {
    reader.problem(
      'spec.loadBalancerIP',
      single,
      `differs from the annotation's "${text}"; keep one of the two`,
    );
  }
  const asked = addresses.map(familyOf);
  if (addresses.length > 0 && reader.problems.length === 0 && !sameMembers(asked, families)) {
    const wanted = families.join(' and ');
    reader.problem(
      field,
      parts.join(','),
      `does not fit the Service's cluster addresses; name one address of ${wanted}`,
    );
  }
  return addresses;
}

function sameAddress(text: string, address: Ip | undefined): boolean {
  const parsed = parseIp(text);
  return parsed.kind === 'parsed' && parsed.value === address;
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each) => b.includes(each)) && b.every((each) => a.includes(each));
}

/** Canonical, so that two Services with one selector have one text. */
function selectorText(selector: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
  return `Local ${pairs.sort().join(',')}`;
}
