// Which elements the kernel should have, given what each Service claims. Two Services may claim one element
// (a shared address, an endpoint of both); where they differ on what it means, the first by name has it.
import type { ElementData } from '../netlink/nftables.ts';
import type { SetElement } from './elements.ts';
import type { SetName } from './rules.ts';

interface Claim {
  readonly owner: string;
  readonly data: ElementData;
}

export class Claims {
  /** Claims on each element, by set and key; the effective one first. */
  readonly #claims = new Map<SetName, Map<string, Claim[]>>();
  readonly #byOwner = new Map<string, readonly SetElement[]>();

  /** `owner` claims exactly these from now on. Returns the elements whose meaning may have changed. */
  set(owner: string, elements: readonly SetElement[]): SetElement[] {
    const before = this.#byOwner.get(owner) ?? [];
    if (elements.length > 0) this.#byOwner.set(owner, elements);
    else this.#byOwner.delete(owner);
    for (const element of before) this.#drop(element, owner);
    for (const element of elements) this.#add(element, owner);
    return [...before, ...elements];
  }

  /** What the kernel should have under this key; undefined: nothing. */
  wanted(set: SetName, key: string): ElementData | undefined {
    return this.#claims.get(set)?.get(key)?.[0]?.data;
  }

  /** All elements that the kernel should have in a set. */
  *all(set: SetName): Iterable<readonly [key: string, data: ElementData]> {
    for (const [key, [first]] of this.#claims.get(set) ?? []) if (first) yield [key, first.data];
  }

  #add({ set, key, data }: SetElement, owner: string): void {
    const ofSet = this.#claims.get(set) ?? new Map<string, Claim[]>();
    this.#claims.set(set, ofSet);
    const claims = ofSet.get(key);
    if (!claims) ofSet.set(key, [{ owner, data }]);
    else if (!claims.some((claim) => claim.owner === owner)) {
      claims.push({ owner, data });
      claims.sort((a, b) => (a.owner < b.owner ? -1 : 1));
    }
  }

  #drop({ set, key }: SetElement, owner: string): void {
    const ofSet = this.#claims.get(set);
    const rest = ofSet?.get(key)?.filter((claim) => claim.owner !== owner) ?? [];
    if (rest.length > 0) ofSet?.set(key, rest);
    else ofSet?.delete(key);
  }
}

export function sameData(a: ElementData | undefined, b: ElementData | undefined): boolean {
  if (a?.kind !== b?.kind) return false;
  if (a?.kind === 'value' && b?.kind === 'value') return a.bytes === b.bytes;
  return a?.kind !== 'goto' || b?.kind !== 'goto' || a.chain === b.chain;
}
