// Services that wait for an address, the oldest first (then by key). Who comes late is mostly young and who is
// served mostly old: both ends are cheap, whatever many wait.
import type { ServiceRequest } from '../api/service.ts';
import type { Ip } from '../net/address.ts';
import { wishOf } from './wish.ts';

/** A place in the line; it stays when its Service has left, until the line is cleaned. */
interface Place {
  request: ServiceRequest;
  left: boolean;
}

interface Wish {
  /** One that has it. */
  readonly request: ServiceRequest;
  /** How many have it. */
  readonly services: number;
}

export class WaitingLine {
  /** In order. */
  #line: Place[] = [];
  /** Before this one every place is left. */
  #head = 0;
  readonly #byKey = new Map<string, ServiceRequest>();
  /** Keys of those who ask for an address by name. */
  readonly #byName = new Map<Ip, Set<string>>();
  /** Counted when asked for; undefined once somebody came or left. */
  #wishes: readonly Wish[] | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  keys(): IterableIterator<string> {
    return this.#byKey.keys();
  }

  /** Who is in the line may leave it, and take its place again, while this goes on; nobody else may come. */
  *oldestFirst(): Generator<ServiceRequest> {
    while (this.#line[this.#head]?.left) this.#head++;
    for (let i = this.#head; i < this.#line.length; i++) {
      const place = this.#line[i];
      if (place && !place.left) yield place.request;
    }
  }

  /** What is waited for, each wish once: a thousand Services mostly have a handful. */
  wishes(): readonly Wish[] {
    if (this.#wishes) return this.#wishes;
    const counts = new Map<string, Wish>();
    for (const request of this.#byKey.values()) {
      const wish = wishOf(request);
      counts.set(wish, { request, services: (counts.get(wish)?.services ?? 0) + 1 });
    }
    this.#wishes = [...counts.values()];
    return this.#wishes;
  }

  /** Keys of those who wait for this very address. */
  waitingFor(address: Ip): Iterable<string> {
    return this.#byName.get(address) ?? [];
  }

  /** Takes the place of what the same Service asked for before. */
  add(request: ServiceRequest): void {
    const known = this.#byKey.get(request.key);
    if (known === request) return;
    if (known) this.remove(request.key);
    this.#wishes = undefined;
    this.#byKey.set(request.key, request);
    for (const address of request.addresses) {
      const keys = this.#byName.get(address) ?? new Set();
      this.#byName.set(address, keys.add(request.key));
    }
    const at = this.#find(request);
    const place = this.#line[at];
    if (place && byAge(place.request, request) === 0) {
      place.request = request;
      place.left = false;
      this.#head = Math.min(this.#head, at);
    } else this.#insert(at, request);
  }

  remove(key: string): void {
    const known = this.#byKey.get(key);
    if (!known) return;
    this.#wishes = undefined;
    this.#byKey.delete(key);
    for (const address of known.addresses) {
      const keys = this.#byName.get(address);
      keys?.delete(key);
      if (keys?.size === 0) this.#byName.delete(address);
    }
    const place = this.#line[this.#find(known)];
    if (place) place.left = true;
  }

  #insert(at: number, request: ServiceRequest): void {
    this.#line.splice(at, 0, { request, left: false });
    this.#head = Math.min(this.#head, at);
    if (this.#line.length < 2 * this.size + 16) return;
    this.#line = this.#line.filter(({ left }) => !left);
    this.#head = 0;
  }

  /** Where the request stands, or would stand. */
  #find(request: ServiceRequest): number {
    let low = 0;
    let high = this.#line.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const place = this.#line[middle];
      if (place && byAge(place.request, request) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function byAge(a: ServiceRequest, b: ServiceRequest): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.key === b.key ? 0 : a.key < b.key ? -1 : 1;
}
