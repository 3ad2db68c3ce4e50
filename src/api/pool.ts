// IPAddressPool (fairlead.dev/v1alpha1): addresses to give out, and to whom.
import type { KubeObject } from '../kube/objects.ts';
import { formatRange, type Range, subtract } from '../net/range.ts';
import { RangeIndex } from '../net/range-index.ts';
import type { Problem, Read } from './problem.ts';
import { Reader } from './reader.ts';
import type { Selector } from './selector.ts';

export interface AddressPool {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `spec.addresses` without `spec.exclude`: ascending, disjoint. */
  readonly ranges: readonly Range[];
  /** Whether Services that name no pool may get an address from here. */
  readonly autoAssign: boolean;
  /** Skip IPv4 addresses that end in .0 or .255. */
  readonly avoidBuggyIPs: boolean;
  /** Undefined: open to every Service. */
  readonly allocation?: PoolAllocation;
}

/** Whom a pool serves; an empty list asks for nothing. */
export interface PoolAllocation {
  /** Lower is tried first; 0 means unset, and comes last. */
  readonly priority: number;
  readonly namespaces: readonly string[];
  readonly namespaceSelectors: readonly Selector[];
  readonly serviceSelectors: readonly Selector[];
}

export const POOL_FIELDS = [
  'addresses',
  'exclude',
  'autoAssign',
  'avoidBuggyIPs',
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
  const ranges = subtract(addresses, reader.ranges('spec.exclude', spec.exclude));
  const allocation = readAllocation(reader, spec.serviceAllocation);
  const pool: AddressPool = {
    name,
    labels,
    ranges,
    autoAssign: reader.boolean('spec.autoAssign', spec.autoAssign, true),
    avoidBuggyIPs: reader.boolean('spec.avoidBuggyIPs', spec.avoidBuggyIPs, false),
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

export interface CheckedPools {
  /** In name order, no two overlapping. */
  readonly pools: readonly AddressPool[];
  /** What is wrong, by pool name; these pools are set aside. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

/** Reads all pools at once. Where two overlap the older one serves (then the first by name). */
export function checkPools(objects: readonly KubeObject[]): CheckedPools {
  const problems = new Map<string, readonly Problem[]>();
  const kept: AddressPool[] = [];
  const taken = new RangeIndex<AddressPool>();
  for (const object of [...objects].sort(byAge)) {
    const read = readPool(object);
    const found = read.kind === 'invalid' ? read.problems : overlapsWith(read.value, taken);
    if (found.length > 0) problems.set(object.metadata.name, found);
    if (read.kind === 'invalid' || found.length > 0) continue;
    kept.push(read.value);
    for (const range of read.value.ranges) taken.add(range, read.value);
  }
  return { pools: kept.sort((a, b) => (a.name < b.name ? -1 : 1)), problems };
}

function overlapsWith(pool: AddressPool, older: RangeIndex<AddressPool>): Problem[] {
  const problems: Problem[] = [];
  for (const range of pool.ranges) {
    const clash = older.overlapping(range);
    if (!clash) continue;
    problems.push({
      object: `IPAddressPool/${pool.name}`,
      field: 'spec.addresses',
      value: formatRange(range),
      mend: `overlaps ${formatRange(clash.range)} of the older pool "${clash.value.name}"; take it out of one of the two`,
    });
  }
  return problems;
}

function byAge({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const [first = '', second = ''] = [a.creationTimestamp, b.creationTimestamp];
  return first === second ? (a.name < b.name ? -1 : 1) : first < second ? -1 : 1;
}
