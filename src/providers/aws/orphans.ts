// What belongs to no Service any more: told first, and removed when it was so for the whole grace time.
import type { Owner } from './ownership.ts';

export class Orphans {
  readonly #since = new Map<string, { readonly owner: Owner; readonly at: number }>();
  readonly #grace: number;

  /** Milliseconds. */
  constructor(grace: number) {
    this.#grace = grace;
  }

  /** `owners`: of what is there; `isServed`: whether the Service is known, and served from this account. */
  see(owners: readonly Owner[], isServed: (owner: Owner) => boolean, now: number): void {
    const orphaned = owners.filter((owner) => !isServed(owner));
    const uids = new Set(orphaned.map(({ uid }) => uid));
    for (const uid of this.#since.keys()) if (!uids.has(uid)) this.#since.delete(uid);
    for (const owner of orphaned)
      if (!this.#since.has(owner.uid)) this.#since.set(owner.uid, { owner, at: now });
  }

  due(now: number): Owner[] {
    return [...this.#since.values()].flatMap(({ owner, at }) => (now - at >= this.#grace ? [owner] : []));
  }

  /** `namespace/name` of the Services that are no more, in order. */
  keys(): string[] {
    return [...this.#since.values()].map(({ owner }) => owner.key).sort();
  }
}
