// What is wrong with something a user wrote: which object, which field, which value, and the mend.

export interface Problem {
  /** Kind and name, such as `IPAddressPool/lan` or `Service/shop/web`. */
  readonly object: string;
  /** Path of the field, such as `spec.addresses[2]` or `metadata.annotations[fairlead.dev/address-pool]`. */
  readonly field: string;
  readonly value: string;
  /** Completes "<field> "<value>" …": what is wrong, and what to write instead. */
  readonly mend: string;
}

/** A user's object, read: its meaning, or everything wrong with it at once. */
export type Read<T> =
  | { readonly kind: 'valid'; readonly value: T }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

export function describe(problem: Problem): string {
  return `${problem.object}: ${problem.field} "${problem.value}" ${problem.mend}`;
}
