// L2Advertisement (fairlead.dev/v1alpha1): which nodes and interfaces announce which pools' addresses.
import type { Selector } from './selector.ts';

/** Selectors in a list are alternatives; an empty list selects everything. */
export interface Advertisement {
  readonly name: string;
  readonly pools: readonly string[];
  readonly poolSelectors: readonly Selector[];
  readonly nodeSelectors: readonly Selector[];
  /** Exact names; empty: every interface. */
  readonly interfaces: readonly string[];
  readonly serviceSelectors: readonly Selector[];
  readonly preferredNodes: readonly { readonly weight: number; readonly selector: Selector }[];
}
