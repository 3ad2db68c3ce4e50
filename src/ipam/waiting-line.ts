// Services that wait for an address, the oldest first (then by key), in groups: where one of a group cannot be served,
// no other of it can. So ten thousand that wait for one thing are asked about as one.
import type { ServiceRequest } from '../api/service.ts';
import type { Ip } from '../net/address.ts';
import { byAge, WaitingGroup } from './waiting-group.ts';

interface Waiter {
  readonly request: ServiceRequest;
  readonly group: string;
}

export class WaitingLine {
  readonly #byKey = new Map<string, Waiter>();
  readonly #groups = new Map<string, WaitingGroup>();
  /** Keys of those who ask for an address by name. */
  readonly #byName = new Map<Ip, Set<string>>();

  get size(): number {
    return this.#byKey.size;
  }

  keys(): IterableIterator<string> {
    return this.#byKey.keys();
  }

  /** Everybody, the oldest first. */
  inOrder(): readonly ServiceRequest[] {
    return [...this.#byKey.values()].map(({ request }) => request).sort(byAge);
  }

  /**
   * The oldest first, without the rest of a group from when its name is in `inVain`. Who is in the line may leave it,
   * and take its place again, while this goes on; nobody else may come.
   */
  *oldestFirst(inVain: ReadonlySet<string>): Generator<Waiter> {
    const heads: Waiter[] = [];
    for (const [group, line] of this.#groups) {
      const request = line.after(undefined);
      if (request) heads.push({ request, group });
    }
    // The oldest is the last.
    heads.sort((a, b) => byAge(b.request, a.request));
    for (let head = heads.pop(); head; head = heads.pop()) {
      const { request, group } = head;
      if (inVain.has(group)) continue;
      if (this.#byKey.get(request.key)?.group === group) yield head;
      const next = inVain.has(group) ? undefined : this.#groups.get(group)?.after(request);
      if (next) insert(heads, { request: next, group });
    }
  }

  /** For each group one who is in it, and how many are. */
  *groups(): Generator<{ readonly request: ServiceRequest; readonly services: number }> {
    for (const line of this.#groups.values()) {
      const request = line.after(undefined);
      if (request) yield { request, services: line.size };
    }
  }

  /** Keys of those who wait for this very address. */
  waitingFor(address: Ip): Iterable<string> {
    return this.#byName.get(address) ?? [];
  }

  /** Takes the place of what the same Service asked for before. */
  add(request: ServiceRequest, group: string): void {
    const known = this.#byKey.get(request.key);
    if (known?.request === request && known.group === group) return;
    if (known) this.remove(request.key);
    this.#byKey.set(request.key, { request, group });
    for (const address of request.addresses) {
      const keys = this.#byName.get(address) ?? new Set();
      this.#byName.set(address, keys.add(request.key));
    }
    const line = this.#groups.get(group) ?? new WaitingGroup();
    this.#groups.set(group, line);
    line.add(request);
  }

  remove(key: string): void {
    const known = this.#byKey.get(key);
    if (!known) return;
    this.#byKey.delete(key);
    for (const address of known.request.addresses) {
      const keys = this.#byName.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.#byName.delete(address);
    }
    const line = this.#groups.get(known.group);
    line?.remove(known.request);
    if (line?.size === 0) this.#groups.delete(known.group);
  }
}

/** Into a list whose last is the oldest. */
function insert(heads: Waiter[], one: Waiter): void {
  let low = 0;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const there = heads[middle];
    if (there && byAge(there.request, one.request) > 0) low = middle + 1;
    else high = middle;
  }
  heads.splice(low, 0, one);
}
