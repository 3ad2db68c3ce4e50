// L2Advertisement (fairlead.dev/v1alpha1): which nodes and interfaces announce which pools' addresses.
import type { KubeObject } from '../kube/objects.ts';
import type { Problem, Read } from './problem.ts';
import { Reader } from './reader.ts';
import { matches, type Selector } from './selector.ts';

/** Selectors in a list are alternatives; an empty list selects everything. */
export interface Advertisement {
  readonly name: string;
  readonly pools: readonly string[];
  readonly poolSelectors: readonly Selector[];
  readonly nodeSelectors: readonly Selector[];
  /** Exact names; empty: every interface. */
  readonly interfaces: readonly string[];
  readonly serviceSelectors: readonly Selector[];
  readonly preferredNodes: readonly PreferredNodes[];
}

export interface PreferredNodes {
  /** 1 to 100. */
  readonly weight: number;
  readonly selector: Selector;
}

export const ADVERTISEMENT_FIELDS = [
  'ipAddressPools',
  'ipAddressPoolSelectors',
  'nodeSelectors',
  'interfaces',
  'serviceSelectors',
  'preferredNodeSelectors',
] as const;
export const PREFERRED_NODE_FIELDS = ['weight', 'preference'] as const;

export function readAdvertisement(object: KubeObject): Read<Advertisement> {
  const { name } = object.metadata;
  const reader = new Reader(`L2Advertisement/${name}`);
  const spec = reader.fields('spec', (object as { spec?: unknown }).spec, ADVERTISEMENT_FIELDS);
  const advertisement: Advertisement = {
    name,
    pools: reader.strings('spec.ipAddressPools', spec.ipAddressPools),
    poolSelectors: reader.selectors('spec.ipAddressPoolSelectors', spec.ipAddressPoolSelectors),
    nodeSelectors: reader.selectors('spec.nodeSelectors', spec.nodeSelectors),
    interfaces: reader.strings('spec.interfaces', spec.interfaces),
    serviceSelectors: reader.selectors('spec.serviceSelectors', spec.serviceSelectors),
    preferredNodes: reader.list(
      'spec.preferredNodeSelectors',
      spec.preferredNodeSelectors,
      (path, element) => {
        const { weight, preference } = reader.fields(
          path,
          element,
          PREFERRED_NODE_FIELDS,
          PREFERRED_NODE_FIELDS,
        );
        return {
          weight: reader.integer(`${path}.weight`, weight, { least: 1, most: 100, fallback: 1 }),
          selector: reader.selector(`${path}.preference`, preference),
        };
      },
    ),
  };
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : { kind: 'valid', value: advertisement };
}

/** What is wrong with an advertisement, given the names of all pools. */
export function advertisementProblems(object: KubeObject, pools: ReadonlySet<string>): readonly Problem[] {
  const read = readAdvertisement(object);
  if (read.kind === 'invalid') return read.problems;
  const unknown = read.value.pools.filter((name) => !pools.has(name));
  return unknown.map((name) => ({
    object: `L2Advertisement/${object.metadata.name}`,
    field: 'spec.ipAddressPools',
    value: name,
    mend: 'is no IPAddressPool; create it, or correct the name',
  }));
}

/** Whether the advertisement speaks for the pool; one that names no pool speaks for all. */
export function selectsPool(
  { pools, poolSelectors }: Advertisement,
  pool: { readonly name: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  if (pools.length === 0 && poolSelectors.length === 0) return true;
  return pools.includes(pool.name) || poolSelectors.some((selector) => matches(selector, pool.labels));
}
