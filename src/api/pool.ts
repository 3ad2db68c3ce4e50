// IPAddressPool (fairlead.dev/v1alpha1): addresses to give out, and to whom.
import type { KubeObject } from '../kube/objects.ts';
import { formatRange, parsePrefix, type Range, sizeOf, subtract } from '../net/range.ts';
import { RangeIndex } from '../net/range-index.ts';
import type { Problem, Read } from './problem.ts';
import { type PublishRule, readPublishRules } from './publish.ts';
import { Reader } from './reader.ts';
import type { NamespaceRule, Selector } from './selector.ts';

export interface AddressPool {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `spec.addresses` without `spec.exclude`: ascending, disjoint. */
  readonly ranges: readonly Range[];
  /** Whether Services that name no pool may get an address from here. */
  readonly autoAssign: boolean;
  /** Skip IPv4 addresses that end in .0 or .255. */
  readonly avoidBuggyIPs: boolean;
  /** Whether addresses of nodes may be given out. */
  readonly allowNodeAddresses: boolean;
  /** Of the free addresses the lowest is given first, or the one that was given up longest ago. */
  readonly reuse: Reuse;
  /** Who has an address keeps it, and nobody gets one. */
  readonly drain: boolean;
  /** Addresses of each family that the Services of one namespace may have here; undefined: any number. */
  readonly maxPerNamespace?: number;
  /** What its addresses are shown as, where that is not what they are. */
  readonly publish: readonly PublishRule[];
  /** Undefined: open to every Service. */
  readonly allocation?: PoolAllocation;
}

const REUSES = ['lowest', 'least-recent'] as const;
export type Reuse = (typeof REUSES)[number];

/** Whom a pool serves; an empty list asks for nothing. */
export interface PoolAllocation extends NamespaceRule {
  /** Lower is tried first; 0 means unset, and comes last. */
  readonly priority: number;
  readonly serviceSelectors: readonly Selector[];
}

export const POOL_FIELDS = [
  'addresses',
  'exclude',
  'autoAssign',
  'avoidBuggyIPs',
  'skipSubnetEnds',
  'allowNodeAddresses',
  'reuse',
  'drain',
  'maxPerNamespace',
  'publish',
  'serviceAllocation',
] as const;
export const POOL_ALLOCATION_FIELDS = [
  'priority',
  'namespaces',
  'namespaceSelectors',
  'serviceSelectors',
] as const;

export function readPool(object: KubeObject): Read<AddressPool> {
  const { name, labels = {} } = object.metadata;
  const reader = new Reader(`IPAddressPool/${name}`);
  const spec = reader.fields('spec', (object as { spec?: unknown }).spec, POOL_FIELDS);
  const addresses = reader.ranges('spec.addresses', spec.addresses);
  const excluded = reader.ranges('spec.exclude', spec.exclude);
  const ends = reader.boolean('spec.skipSubnetEnds', spec.skipSubnetEnds, false)
    ? subnetEnds(spec.addresses)
    : [];
  const ranges = subtract(addresses, [...excluded, ...ends]);
  const { maxPerNamespace } = spec;
  const most = reader.integer('spec.maxPerNamespace', maxPerNamespace, {
    least: 0,
    most: 2 ** 31 - 1,
    fallback: 0,
  });
  const allocation = readAllocation(reader, spec.serviceAllocation);
  const pool: AddressPool = {
    name,
    labels,
    ranges,
    autoAssign: reader.boolean('spec.autoAssign', spec.autoAssign, true),
    avoidBuggyIPs: reader.boolean('spec.avoidBuggyIPs', spec.avoidBuggyIPs, false),
    allowNodeAddresses: reader.boolean('spec.allowNodeAddresses', spec.allowNodeAddresses, false),
    reuse: reader.choice('spec.reuse', spec.reuse, REUSES, 'lowest'),
    drain: reader.boolean('spec.drain', spec.drain, false),
    ...(maxPerNamespace === undefined || maxPerNamespace === null ? {} : { maxPerNamespace: most }),
    publish: readPublishRules(reader, spec.publish, addresses),
    ...(allocation ? { allocation } : {}),
  };
  if (reader.problems.length === 0 && ranges.length === 0) {
    reader.problem(
      'spec.addresses',
      spec.addresses,
      'leaves no address; write at least one, such as 192.0.2.10-192.0.2.20',
    );
  }
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : { kind: 'valid', value: pool };
}

function readAllocation(reader: Reader, value: unknown): PoolAllocation | undefined {
  if (value === undefined || value === null) return undefined;
  const at = 'spec.serviceAllocation';
  const fields = reader.fields(at, value, POOL_ALLOCATION_FIELDS);
  return {
    priority: reader.integer(`${at}.priority`, fields.priority, { least: 0, most: 2 ** 31 - 1, fallback: 0 }),
    namespaces: reader.strings(`${at}.namespaces`, fields.namespaces),
    namespaceSelectors: reader.selectors(`${at}.namespaceSelectors`, fields.namespaceSelectors),
    serviceSelectors: reader.selectors(`${at}.serviceSelectors`, fields.serviceSelectors),
  };
}

/**
 * What a subnet uses itself: of an IPv4 prefix its first and last address (RFC 1122 §3.2.1.3; a /31 has neither,
 * RFC 3021), of an IPv6 one its first, the anycast address of its routers (RFC 4291 §2.6.1). `first-last` ranges and
 * single addresses are no subnets.
 */
function subnetEnds(addresses: unknown): Range[] {
  const ends: Range[] = [];
  for (const text of Array.isArray(addresses) ? addresses : []) {
    const prefix = parsePrefix(typeof text === 'string' ? text.trim() : '');
    if (prefix.kind === 'malformed' || sizeOf(prefix.value) <= 2n) continue;
    const { family, first, last } = prefix.value;
    ends.push({ family, first, last: first });
    if (family === 'IPv4') ends.push({ family, first: last, last });
  }
  return ends;
}

export interface CheckedPools {
  /** In name order, no two overlapping: a younger pool is without what an older one has. */
  readonly pools: readonly AddressPool[];
  /** What is wrong, by pool name; these pools are set aside. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /** Where an older pool has part of a pool, by the younger one's name; it serves with the rest. */
  readonly overlaps: ReadonlyMap<string, readonly Problem[]>;
}

/** Reads all pools at once. Where two overlap the older one has what both name (then the first by name). */
export function checkPools(objects: readonly KubeObject[]): CheckedPools {
  const problems = new Map<string, readonly Problem[]>();
  const overlaps = new Map<string, readonly Problem[]>();
  const kept: AddressPool[] = [];
  const taken = new RangeIndex<AddressPool>();
  for (const object of [...objects].sort(byAge)) {
    const { name } = object.metadata;
    const read = readPool(object);
    if (read.kind === 'invalid') {
      problems.set(name, read.problems);
      continue;
    }
    const clashes = read.value.ranges.flatMap((range) => taken.allOverlapping(range));
    const found = clashes.map((clash) => overlap(name, clash));
    const ranges = subtract(
      read.value.ranges,
      clashes.map(({ range }) => range),
    );
    if (ranges.length === 0) {
      problems.set(name, found);
      continue;
    }
    if (found.length > 0) overlaps.set(name, found);
    const pool = { ...read.value, ranges };
    kept.push(pool);
    for (const range of ranges) taken.add(range, pool);
  }
  return { pools: kept.sort((a, b) => (a.name < b.name ? -1 : 1)), problems, overlaps };
}

function overlap(name: string, { range, value }: { range: Range; value: AddressPool }): Problem {
  return {
    object: `IPAddressPool/${name}`,
    field: 'spec.addresses',
    value: formatRange(range),
    mend: `belongs to the older pool "${value.name}"; take it out of one of the two`,
  };
}

function byAge({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const [first = '', second = ''] = [a.creationTimestamp, b.creationTimestamp];
  return first === second ? (a.name < b.name ? -1 : 1) : first < second ? -1 : 1;
}
