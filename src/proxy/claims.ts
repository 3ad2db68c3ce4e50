// Which elements the kernel should have, given what each Service claims. Two Services may claim one element
// (a shared address, an endpoint of both); where they differ on what it means, the first by name has it.
import type { ElementData } from '../netlink/nftables.ts';
import type { SetElement } from './elements.ts';
import type { SetName } from './rules.ts';

interface Claim {
  readonly owner: string;
  readonly data: ElementData;
  /** The next by name; hardly ever is there one. */
  readonly next: Claim | undefined;
}

export class Claims {
  /** Claims on each element, by set and key; the effective one first. */
  readonly #claims = new Map<SetName, Map<string, Claim>>();
  readonly #byOwner = new Map<string, readonly SetElement[]>();

  /** `owner` claims exactly these from now on. Returns the elements whose meaning may have changed. */
  set(owner: string, elements: readonly SetElement[]): readonly SetElement[] {
    const before = this.of(owner);
    if (elements.length > 0) this.#byOwner.set(owner, elements);
    else this.#byOwner.delete(owner);
    for (const { set, key } of before) this.#put(set, key, without(this.#claims.get(set)?.get(key), owner));
    for (const { set, key, data } of elements)
      this.#put(set, key, withClaim(this.#claims.get(set)?.get(key), owner, data));
    return before.length > 0 ? [...before, ...elements] : elements;
  }

  /** What `owner` claims. */
  of(owner: string): readonly SetElement[] {
    return this.#byOwner.get(owner) ?? [];
  }

  /** What the kernel should have under this key; undefined: nothing. */
  wanted(set: SetName, key: string): ElementData | undefined {
    return this.#claims.get(set)?.get(key)?.data;
  }

  /** Whose meaning this key has; undefined: nobody claims it. */
  ownerOf(set: SetName, key: string): string | undefined {
    return this.#claims.get(set)?.get(key)?.owner;
  }

  #put(set: SetName, key: string, claim: Claim | undefined): void {
    const ofSet = this.#claims.get(set) ?? new Map<string, Claim>();
    this.#claims.set(set, ofSet);
    if (claim) ofSet.set(key, claim);
    else ofSet.delete(key);
  }
}

function without(claim: Claim | undefined, owner: string): Claim | undefined {
  if (!claim || claim.owner === owner) return claim?.next;
  return { ...claim, next: without(claim.next, owner) };
}

/** Of two by one owner the first stays. */
function withClaim(claim: Claim | undefined, owner: string, data: ElementData): Claim {
  if (!claim || owner < claim.owner) return { owner, data, next: claim };
  if (claim.owner === owner) return claim;
  return { ...claim, next: withClaim(claim.next, owner, data) };
}

export function sameData(a: ElementData | undefined, b: ElementData | undefined): boolean {
  if (a?.kind !== b?.kind) return false;
  if (a?.kind === 'value' && b?.kind === 'value') return a.bytes === b.bytes;
  return a?.kind !== 'goto' || b?.kind !== 'goto' || a.chain === b.chain;
}
