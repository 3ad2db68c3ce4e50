// What a Service asks of a load balancer: its spec and annotations, read and checked.
import type { ServiceObject } from '../kube/objects.ts';
import { type Family, familyOf, type Ip, ip, parseIp } from '../net/address.ts';
import type { Problem } from './problem.ts';
import { readPublished } from './publish.ts';
import { Reader } from './reader.ts';
import { knownAddresses, POOL_ANNOTATION } from './service-addresses.ts';

/** Written by us on a Service before anything is made for it: the cloud accounts in which there may be something. */
export const PLACES_ANNOTATION = 'fairlead.dev/cloud-accounts-in-use';
/** Written by us on a Service: a hash of what its load balancer was last made to be. */
export const APPLIED_ANNOTATION = 'fairlead.dev/cloud-applied';
/** The class of the AWS Load Balancer Controller. */
export const AWS_CONTROLLER_CLASS = 'service.k8s.aws/nlb';
/** Classes that cloud accounts serve. */
export const CLOUD_CLASSES = ['fairlead.dev/aws-nlb', AWS_CONTROLLER_CLASS] as const;

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
  /** What it has, as its status says. */
  readonly held: readonly Ip[];
  /** What it had before its status was emptied: it gets that again where it may ask for it, and nobody has it. */
  readonly remembered?: readonly Ip[];
  /** The pools that it has it from, as our annotation says. */
  readonly heldFrom: readonly string[];
  /** Names or addresses to be shown in place of its own. */
  readonly publish?: readonly string[];
  /** What is shown in place of its own addresses now. */
  readonly shown?: readonly string[];
}

export type ServiceRead =
  /** Not of type LoadBalancer, or of a class that is not ours: none of our business. */
  | { readonly kind: 'foreign' }
  /** Ours, but it has no cluster address yet (or never will). */
  | { readonly kind: 'unready' }
  | { readonly kind: 'valid'; readonly value: ServiceRequest }
  /** `keeps`: the Service without the wishes that cannot be read, for as long as it keeps what it has. */
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[]; readonly keeps: ServiceRequest };

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
  pool: ['fairlead.dev/address-pool', 'metallb.io/address-pool', 'metallb.universe.tf/address-pool'],
  addresses: [
    'fairlead.dev/load-balancer-ips',
    'metallb.io/loadBalancerIPs',
    'metallb.io/load-balancer-ips',
    'metallb.universe.tf/loadBalancerIPs',
  ],
  sharingKey: [
    'fairlead.dev/allow-shared-ip',
    'metallb.io/allow-shared-ip',
    'metallb.universe.tf/allow-shared-ip',
  ],
  publish: ['fairlead.dev/publish'],
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
  const pool = annotation(reader, service, ANNOTATIONS.pool)?.value;
  const sharingKey = annotation(reader, service, ANNOTATIONS.sharingKey)?.value;
  const addresses = requestedAddresses(reader, service, families);
  const publish = readPublished(reader, annotation(reader, service, ANNOTATIONS.publish));
  const { held, remembered } = knownAddresses(service);
  const shown = shownInstead(service, held);
  const bothRequired = spec.ipFamilyPolicy === 'RequireDualStack';
  if (bothRequired && families.length < 2) {
    const mend = `needs two cluster addresses, but there is only ${families[0]}; write PreferDualStack or SingleStack`;
    reader.problem('spec.ipFamilyPolicy', spec.ipFamilyPolicy, mend);
  }
  const request: ServiceRequest = {
    key: `${namespace}/${name}`,
    namespace,
    labels,
    namespaceLabels,
    createdAt: creationTimestamp,
    families,
    bothRequired,
    addresses,
    ...(pool === undefined ? {} : { pool }),
    ...(sharingKey === undefined ? {} : { sharingKey }),
    ports: (spec.ports ?? []).map(({ protocol = 'TCP', port }) => `${protocol}/${port}`),
    backend: spec.externalTrafficPolicy === 'Local' ? selectorText(spec.selector) : '',
    held,
    ...(remembered.length === 0 ? {} : { remembered }),
    heldFrom: metadata.annotations?.[POOL_ANNOTATION]?.split(',') ?? [],
    ...(publish === undefined ? {} : { publish }),
    ...(shown.length === 0 ? {} : { shown }),
  };
  if (reader.problems.length === 0) return { kind: 'valid', value: request };
  const { pool: _, publish: __, ...keeps } = { ...request, addresses: [], bothRequired: false };
  return { kind: 'invalid', problems: reader.problems, keeps };
}

/** What the status shows that is none of the Service's own addresses; none where it shows nothing else. */
function shownInstead({ status }: ServiceObject, held: readonly Ip[]): string[] {
  const texts = (status?.loadBalancer?.ingress ?? []).map(({ ip: text, hostname = '' }) => text ?? hostname);
  return texts.every((text) => held.some((address) => address === text)) ? [] : texts;
}

function clusterFamilies({ spec }: ServiceObject): Family[] {
  const addresses = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  return addresses.filter((text) => text !== '' && text !== 'None').map((text) => familyOf(ip(text)));
}

interface Annotation {
  readonly name: string;
  readonly value: string;
}

/** The annotation under the first spelling that is there; under another its value must be the same. */
function annotation(
  reader: Reader,
  service: ServiceObject,
  names: readonly string[],
): Annotation | undefined {
  let found: Annotation | undefined;
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
  return found;
}

function requestedAddresses(reader: Reader, service: ServiceObject, families: readonly Family[]): Ip[] {
  const list = annotation(reader, service, ANNOTATIONS.addresses);
  const single = service.spec.loadBalancerIP;
  const field = list ? `metadata.annotations[${list.name}]` : 'spec.loadBalancerIP';
  const texts = (list?.value ?? single ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const addresses: Ip[] = [];
  for (const text of texts) {
    const address = parseIp(text);
    if (address.kind === 'parsed') addresses.push(address.value);
    else reader.problem(field, text, address.problem);
  }
  if (list && single && !(addresses.length === 1 && sameAddress(single, addresses[0]))) {
    reader.problem(
      'spec.loadBalancerIP',
      single,
      `differs from the annotation's "${list.value}"; keep one of the two`,
    );
  }
  const readable = addresses.length > 0 && addresses.length === texts.length;
  if (readable && !sameMembers(addresses.map(familyOf), families)) {
    reader.problem(
      field,
      texts.join(','),
      `does not fit the Service's cluster addresses; name one address of ${families.join(' and ')}`,
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
