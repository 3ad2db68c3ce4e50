// Session affinity: whom the kernel may still send where, when endpoints of Services with ClientIP affinity are gone.
import { affinityPools } from './elements.ts';
import type { PortTable } from './table.ts';

export class AffinityPools {
  /** By mark: the endpoints that its clients may have. */
  readonly #pools = new Map<string, ReadonlySet<string>>();
  /** Whether clients may be remembered for endpoints that are gone. */
  stale = true;

  /** A port with this id is now as `after` says; undefined: it is gone. */
  note(before: PortTable | undefined, after: PortTable | undefined, id: number): void {
    const was = before ? [...affinityPools(before, id)] : [];
    const is = after ? [...affinityPools(after, id)] : [];
    for (const [mark] of was) this.#pools.delete(mark);
    for (const [mark, places] of is) this.#pools.set(mark, places);
    for (const [mark, places] of was) {
      const now = this.#pools.get(mark);
      if ([...places].some((place) => !now?.has(place))) this.stale = true;
    }
  }

  keeps(mark: string, place: string): boolean {
    return this.#pools.get(mark)?.has(place) ?? false;
  }
}
