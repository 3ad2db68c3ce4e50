// The numbers that stand for a Service's ports in marks; those that a predecessor gave are kept.
import { frontendSet, identifyingKeys, idIn } from './elements.ts';
import type { KernelTable } from './kernel-table.ts';
import { MOST_IDS } from './rules.ts';
import type { PortTable } from './table.ts';

export class PortIds {
  readonly #kernel: Pick<KernelTable, 'get' | 'entries'>;
  readonly #ids = new Map<string, number>();
  readonly #used = new Set<number>();
  /** Ids of a predecessor that no port has taken over yet. */
  readonly #inherited = new Set<number>();
  #last = 0;

  constructor(kernel: Pick<KernelTable, 'get' | 'entries'>) {
    this.#kernel = kernel;
  }

  /** Keeps the ids that are in the kernel for the ports that have them there. */
  inherit(): void {
    for (const family of ['IPv4', 'IPv6'] as const) {
      for (const [, data] of this.#kernel.entries(frontendSet(family))) {
        const id = data.kind === 'value' ? idIn(data.bytes) : undefined;
        if (id !== undefined) this.#inherited.add(id);
      }
    }
  }

  /** Ids that no port has taken over by now are free. */
  forgetInherited(): void {
    this.#inherited.clear();
  }

  idFor(port: PortTable): number {
    const id = this.#ids.get(port.key) ?? this.#inheritedId(port) ?? this.#freshId();
    this.#ids.set(port.key, id);
    this.#used.add(id);
    return id;
  }

  release(portKey: string): void {
    const id = this.#ids.get(portKey);
    this.#ids.delete(portKey);
    if (id !== undefined) this.#used.delete(id);
  }

  /** The id that a predecessor gave to this port, so that nothing in the data path changes. */
  #inheritedId(port: PortTable): number | undefined {
    if (this.#inherited.size === 0) return undefined;
    for (const key of identifyingKeys(port)) {
      const data = this.#kernel.get(frontendSet(port.family), key);
      const id = data?.kind === 'value' ? idIn(data.bytes) : undefined;
      // Another port has it already where an address went from one Service to the other meanwhile.
      if (id !== undefined && this.#inherited.delete(id)) return id;
    }
    return undefined;
  }

  /** One that was not used for as long as can be: a mark under way must not mean another port all of a sudden. */
  #freshId(): number {
    do this.#last = (this.#last % MOST_IDS) + 1;
    while (this.#used.has(this.#last) || this.#inherited.has(this.#last));
    return this.#last;
  }
}
