// In which accounts each Service has, or may have, something: what its annotation says, and what happened since.
import { AwsAnnotations } from '../../api/aws-annotations.ts';
import { PLACES_ANNOTATION } from '../../api/service.ts';
import type { ServiceObject } from '../../kube/objects.ts';

export interface Place {
  readonly uid: string;
  readonly account: string;
  /** What its load balancer may be called besides the name that is made of the Service's. */
  readonly explicitName: string | undefined;
}

export class Placement {
  /** The account of now first, then those that the Service moves away from. */
  readonly #places = new Map<string, readonly Place[]>();

  /** UIDs of Services of which nothing is left, whatever their annotation still says, by key. */
  readonly #emptied = new Map<string, string>();

  keys(): IterableIterator<string> {
    return this.#places.keys();
  }

  of(key: string): readonly Place[] {
    return this.#places.get(key) ?? [];
  }

  /** Something may be made for the Service in the account. */
  put(service: ServiceObject, account: string): void {
    const placed = placeOf(service, account);
    this.#emptied.delete(keyOf(service));
    this.#set(service, [placed, ...this.#known(service).filter((each) => !isSame(each, placed))]);
  }

  /** What an earlier process wrote on the Service counts too. */
  recall(service: ServiceObject): readonly Place[] {
    const known = this.#known(service);
    if (known.length > 0) this.#set(service, known);
    return known;
  }

  remove(key: string, place: Place): void {
    const left = this.of(key).filter((each) => !isSame(each, place));
    if (left.length > 0) this.#places.set(key, left);
    else {
      this.#places.delete(key);
      this.#emptied.set(key, place.uid);
    }
  }

  /** The Service is no more. */
  forget(key: string): void {
    this.#emptied.delete(key);
  }

  /** A Service that was not seen before is where its annotation says; one that was, where we know it to be. */
  #known(service: ServiceObject): readonly Place[] {
    const key = keyOf(service);
    const known = this.#places.get(key);
    const { uid = '', annotations } = service.metadata;
    if (known?.some((each) => each.uid === uid)) return known;
    if (this.#emptied.get(key) === uid) return known ?? [];
    const written = (annotations?.[PLACES_ANNOTATION] ?? '').split(',').filter((name) => name !== '');
    return [...written.map((account) => placeOf(service, account)), ...(known ?? [])];
  }

  #set(service: ServiceObject, places: readonly Place[]): void {
    this.#places.set(keyOf(service), places);
  }
}

function placeOf(service: ServiceObject, account: string): Place {
  const { uid = '' } = service.metadata;
  return { uid, account, explicitName: new AwsAnnotations(service).get('name')?.value };
}

function keyOf({ metadata: { namespace = '', name } }: ServiceObject): string {
  return `${namespace}/${name}`;
}

function isSame(a: Place, b: Place): boolean {
  return a.account === b.account && a.uid === b.uid;
}
