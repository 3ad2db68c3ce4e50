// IPAddressPool (fairlead.dev/v1alpha1): addresses to give out, and to whom.
import type { Range } from '../net/range.ts';
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
  readonly allocation?: {
    /** Lower is tried first; 0 means unset, and comes last. */
    readonly priority: number;
    readonly namespaces: readonly string[];
    readonly namespaceSelectors: readonly Selector[];
    readonly serviceSelectors: readonly Selector[];
  };
}
