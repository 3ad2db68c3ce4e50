// Requests in the order of age. Who comes late is mostly young and who leaves mostly old: both ends are cheap,
// however many there are.
import type { ServiceRequest } from '../api/service.ts';

/** A place; it stays when its Service has left, until the group is cleaned. */
interface Place {
  request: ServiceRequest;
  left: boolean;
}

export class WaitingGroup {
  #places: Place[] = [];
  /** Before this one every place is left. */
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The next one behind this request, whether or not that is still here; undefined: the first. */
  after(request: ServiceRequest | undefined): ServiceRequest | undefined {
    if (!request) while (this.#places[this.#head]?.left) this.#head++;
    let at = request ? this.#find(request) : this.#head;
    const place = this.#places[at];
    if (request && place && byAge(place.request, request) === 0) at++;
    while (this.#places[at]?.left) at++;
    return this.#places[at]?.request;
  }

  /** One that is not here. */
  add(request: ServiceRequest): void {
    this.#size++;
    const at = this.#find(request);
    const place = this.#places[at];
    this.#head = Math.min(this.#head, at);
    if (place && byAge(place.request, request) === 0) {
      place.request = request;
      place.left = false;
      return;
    }
    this.#places.splice(at, 0, { request, left: false });
    this.#clean();
  }

  /** One that is here. */
  remove(request: ServiceRequest): void {
    const place = this.#places[this.#find(request)];
    if (!place) return;
    place.left = true;
    this.#size--;
    this.#clean();
  }

  #clean(): void {
    if (this.#places.length < 2 * this.#size + 16) return;
    this.#places = this.#places.filter(({ left }) => !left);
    this.#head = 0;
  }

  /** Where the request stands, or would stand. */
  #find(request: ServiceRequest): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const place = this.#places[middle];
      if (place && byAge(place.request, request) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function byAge(a: ServiceRequest, b: ServiceRequest): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.key === b.key ? 0 : a.key < b.key ? -1 : 1;
}
