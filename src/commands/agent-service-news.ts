// Which changes of Services are news to the elections, and how soon. An election looks at every address; so a burst
// of new ones is gathered, in proportion to what an election costs. Whatever takes an address away, or changes who may
// have it, is acted on at once.
import { isOurs, type ServiceClasses } from '../api/service.ts';
import { POOL_ANNOTATION, servedAddresses } from '../api/service-addresses.ts';
import type { Clock, Timer } from '../clock/clock.ts';
import type { ServiceObject } from '../kube/objects.ts';
import type { Store } from '../kube/store.ts';

/** Elections for new addresses take at most this part of the time … */
const SHARE = 1 / 5;
/** … but nobody waits longer, in milliseconds. */
const LONGEST = 250;

export class ServiceNews {
  readonly #clock: Clock;
  readonly #tell: () => void;
  /** What elections read of each Service that has an address. */
  readonly #known = new Map<string, string>();
  #restUntil = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(store: Store<ServiceObject>, classes: ServiceClasses, clock: Clock, tell: () => void) {
    this.#clock = clock;
    this.#tell = tell;
    store.subscribe((key, service) => {
      const before = this.#known.get(key);
      const after = service && isOurs(service, classes) ? readBy(service) : undefined;
      if (after === before) return;
      if (after === undefined) this.#known.delete(key);
      else this.#known.set(key, after);
      if (before === undefined) this.#gather();
      else tell();
    });
  }

  /** An election, and what came of it, took so many milliseconds. */
  took(milliseconds: number): void {
    this.#restUntil = this.#clock.now() + Math.min(milliseconds * (1 / SHARE - 1), LONGEST);
  }

  close(): void {
    this.#timer?.cancel();
  }

  #gather(): void {
    const rest = this.#restUntil - this.#clock.now();
    if (rest <= 0) this.#tell();
    else
      this.#timer ??= this.#clock.setTimer(rest, () => {
        this.#timer = undefined;
        this.#tell();
      });
  }
}

/** Undefined: it has no address. */
function readBy(service: ServiceObject): string | undefined {
  const addresses = servedAddresses(service);
  if (addresses.length === 0) return undefined;
  const { labels, annotations } = service.metadata;
  return JSON.stringify([
    addresses,
    labels,
    annotations?.[POOL_ANNOTATION],
    service.spec.externalTrafficPolicy,
  ]);
}
