// What is to be done: Services that changed, on their way into the queue.
import type { ServiceObject } from '../kube/objects.ts';
import { keyOf, type Store } from '../kube/store.ts';
import type { AddOptions, WorkQueue } from '../queue/work-queue.ts';

export interface FeedOptions {
  readonly services: Store<ServiceObject>;
  readonly queue: WorkQueue;
  /** How a Service is asked for; undefined: it is none of this queue's. */
  readonly ask: (service: ServiceObject) => AddOptions | undefined;
  /** Hears of one that is gone, before the others are asked for. */
  readonly onGone: (key: string) => void;
}

export class Feed {
  readonly #options: FeedOptions;
  /** Keys that are about to be queued. */
  readonly #batch = new Set<string>();

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** What changes in one step (a whole list that came anew) is queued in this order: what is gone, what goes, then by age. */
  add(key: string): void {
    const { services, onGone } = this.#options;
    this.#batch.add(key);
    if (this.#batch.size > 1) return;
    queueMicrotask(() => {
      const keys = [...this.#batch];
      this.#batch.clear();
      const found = keys.map((each) => services.get(each)).filter((service) => service !== undefined);
      for (const each of keys) if (!services.get(each)) onGone(each);
      for (const service of found.sort(byTurn)) this.#enqueue(service, {});
    });
  }

  /** A second look at everything; `owned`: what may be gone, and still has something, goes first. */
  addAll(owned: readonly string[] = []): void {
    const { services, onGone } = this.#options;
    for (const key of owned) if (!services.get(key)) onGone(key);
    for (const service of [...services.values()].sort(byTurn)) this.#enqueue(service, { priority: 'resync' });
  }

  #enqueue(service: ServiceObject, options: AddOptions): void {
    const { queue, ask } = this.#options;
    const asked = ask(service);
    if (asked) queue.add(keyOf(service), { ...options, ...asked });
  }
}

/** What goes makes room: it goes first. */
function byTurn(a: ServiceObject, b: ServiceObject): number {
  const [first, second] = [a, b].map(({ metadata }) => (metadata.deletionTimestamp === undefined ? 1 : 0));
  return (first ?? 0) - (second ?? 0) || byAge(a, b);
}

function byAge({ metadata: a }: ServiceObject, { metadata: b }: ServiceObject): number {
  const [first, second] = [
    `${a.creationTimestamp} ${a.namespace}/${a.name}`,
    `${b.creationTimestamp} ${b.namespace}/${b.name}`,
  ];
  return first < second ? -1 : 1;
}
