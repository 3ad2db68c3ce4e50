// MetalLB's objects (metallb.io) as ours: what carries over, and what has no counterpart.
import type { KubeObject } from '../kube/objects.ts';
import { bitsOf, familyOf, fromBigInt, parseIp, toBigInt } from '../net/address.ts';
import { ADVERTISEMENT_FIELDS, type Advertisement, readAdvertisement, selectsPool } from './advertisement.ts';

const OURS = 'fairlead.dev/v1alpha1';

export interface Translation {
  /** IPAddressPools and L2Advertisements of ours, in name order. */
  readonly objects: readonly KubeObject[];
  /** What the user is to know, one sentence each. */
  readonly notes: readonly string[];
}

/** Kinds that have no counterpart, and why. */
const NO_COUNTERPART: Readonly<Record<string, string>> = {
  BGPPeer: 'Fairlead does not speak BGP',
  BGPAdvertisement: 'Fairlead does not speak BGP',
  BFDProfile: 'Fairlead does not speak BGP',
  Community: 'Fairlead does not speak BGP',
  AddressPool: 'this kind went with MetalLB 0.14; write it as an IPAddressPool',
};

/** What MetalLB writes itself, and nobody has to carry over. */
const WRITTEN_BY_METALLB = [
  'ServiceL2Status',
  'ServiceBGPStatus',
  'ConfigurationState',
  'ServiceBGPStatusList',
];

const POOL_FIELDS = ['addresses', 'autoAssign', 'avoidBuggyIPs', 'serviceAllocation'];

/** Objects of other groups are passed over. */
export function fromMetallb(objects: readonly KubeObject[]): Translation {
  const theirs = objects.filter(({ apiVersion = '' }) => apiVersion.startsWith('metallb.io/'));
  const notes: string[] = [];
  const translated = new Map<string, KubeObject>();
  for (const object of theirs.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const { kind = '' } = object;
    const translate = { IPAddressPool: poolOf, L2Advertisement: advertisementOf }[kind];
    if (!translate) {
      if (!WRITTEN_BY_METALLB.includes(kind))
        notes.push(
          `${nameOf(object)} has no counterpart: ${NO_COUNTERPART[kind] ?? 'the kind is not known'}`,
        );
      continue;
    }
    const id = `${kind}/${object.metadata.name}`;
    if (translated.has(id))
      notes.push(`${nameOf(object)} is left out: our kinds have no namespace, and ${id} is there already`);
    else translated.set(id, translate(object, notes));
  }
  const all = [...translated.values()];
  notes.push(...unannounced(all, theirs));
  return { objects: all, notes };
}

function poolOf(object: KubeObject, notes: string[]): KubeObject {
  const spec = (object as { spec?: Readonly<Record<string, unknown>> }).spec ?? {};
  for (const field of Object.keys(spec))
    if (!POOL_FIELDS.includes(field)) notes.push(`${nameOf(object)} spec.${field} has no counterpart`);
  const addresses = Array.isArray(spec.addresses) ? spec.addresses : [];
  return ourObject(object, {
    ...only(spec, POOL_FIELDS),
    addresses: addresses.map((each) => masked(String(each))),
  });
}

function advertisementOf(object: KubeObject, notes: string[]): KubeObject {
  const spec = (object as { spec?: Readonly<Record<string, unknown>> }).spec ?? {};
  for (const field of Object.keys(spec))
    if (!ADVERTISEMENT_FIELDS.some((each) => each === field))
      notes.push(`${nameOf(object)} spec.${field} has no counterpart`);
  return ourObject(object, only(spec, ADVERTISEMENT_FIELDS));
}

function ourObject({ kind = '', metadata: { name, labels } }: KubeObject, spec: object): KubeObject {
  const metadata = labels === undefined ? { name } : { name, labels };
  return { apiVersion: OURS, kind, metadata, spec } as KubeObject;
}

/** MetalLB takes a prefix with bits set behind its length, and means the network. */
function masked(text: string): string {
  const [address = '', length = ''] = text.trim().split('/');
  const parsed = parseIp(address);
  if (parsed.kind === 'malformed' || !/^\d+$/.test(length)) return text.trim();
  const family = familyOf(parsed.value);
  const host = BigInt(Math.max(0, bitsOf(family) - Number(length)));
  return `${fromBigInt(family, (toBigInt(parsed.value) >> host) << host)}/${length}`;
}

/** MetalLB announces no address without an advertisement, and we announce it from every node. */
function unannounced(translated: readonly KubeObject[], theirs: readonly KubeObject[]): string[] {
  const read = translated.filter(({ kind }) => kind === 'L2Advertisement').map(readAdvertisement);
  const advertisements = read.flatMap((each): Advertisement[] => (each.kind === 'valid' ? [each.value] : []));
  const byBgp = theirs.some(({ kind }) => kind === 'BGPAdvertisement');
  return translated
    .filter(({ kind }) => kind === 'IPAddressPool')
    .filter(
      ({ metadata: { name, labels = {} } }) =>
        !advertisements.some((each) => selectsPool(each, { name, labels })),
    )
    .map(
      ({ metadata: { name } }) =>
        `IPAddressPool/${name} is in no L2Advertisement: MetalLB ${byBgp ? 'announces it by BGP at most' : 'does not announce it'}, and Fairlead will, by ARP and NDP from every node; add an L2Advertisement that selects no node to keep it silent`,
    );
}

function only(spec: Readonly<Record<string, unknown>>, fields: readonly string[]): object {
  return Object.fromEntries(Object.entries(spec).filter(([field]) => fields.includes(field)));
}

function nameOf({ kind = '', metadata: { namespace, name } }: KubeObject): string {
  return `${kind}/${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/** Our spelling of each annotation of theirs. */
const ANNOTATIONS: Readonly<Record<string, string>> = {
  'address-pool': 'fairlead.dev/address-pool',
  loadBalancerIPs: 'fairlead.dev/load-balancer-ips',
  'allow-shared-ip': 'fairlead.dev/allow-shared-ip',
};

/** The annotations of ours that mean what a Service's annotations of MetalLB mean. */
export function annotationsFromMetallb(
  annotations: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  // The older prefix first: where both are there, MetalLB reads the newer one.
  for (const prefix of ['metallb.universe.tf', 'metallb.io'])
    for (const [theirs, ours] of Object.entries(ANNOTATIONS)) {
      const value = annotations[`${prefix}/${theirs}`];
      if (value !== undefined) found[ours] = value;
    }
  return found;
}
