// A provider that answers by script, for tests of what stands above it. Without a script it gives each Service
// one address of 198.51.100.0/24, in the order in which they ask.
import type { ServiceRequest } from '../api/service.ts';
import { fromBigInt, type Ip, ip, toBigInt } from '../net/address.ts';
import type { BeforeWrite, Ingress, Outcome, Provider } from './provider.ts';

const NOTHING: Ingress = { addresses: [] };

export class ScriptedProvider implements Provider {
  readonly #has = new Map<string, Ingress>();
  readonly #script = new Map<string, Outcome>();
  readonly #listeners = new Set<(key: string) => void>();
  #next = toBigInt(ip('198.51.100.1'));

  /** From now on `ensure` answers this for the Service; its listeners hear of it. */
  say(key: string, outcome: Outcome): void {
    this.#script.set(key, outcome);
    for (const listener of this.#listeners) listener(key);
  }

  async keep({ key, held, heldFrom }: ServiceRequest): Promise<Ingress> {
    const kept = this.#has.get(key) ?? { addresses: held, source: heldFrom.join(',') };
    this.#set(key, kept);
    return kept.addresses.length > 0 ? kept : NOTHING;
  }

  async ensure(request: ServiceRequest, _beforeWrite: BeforeWrite): Promise<Outcome> {
    const { addresses } = await this.keep(request);
    const outcome = this.#script.get(request.key) ?? {
      kind: 'done',
      addresses: addresses.length > 0 ? addresses : [fromBigInt('IPv4', this.#next++)],
      source: 'script',
    };
    this.#set(request.key, outcome);
    return outcome;
  }

  #set(key: string, { addresses, source }: Ingress): void {
    if (addresses.length === 0) this.#has.delete(key);
    else this.#has.set(key, { addresses, ...(source === undefined ? {} : { source }) });
  }

  async shows(_key: string, _addresses: readonly Ip[]): Promise<void> {}

  async remove(key: string, _beforeWrite: BeforeWrite): Promise<void> {
    this.#has.delete(key);
  }

  async listOwned(): Promise<readonly string[]> {
    return [...this.#has.keys()];
  }

  subscribe(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
