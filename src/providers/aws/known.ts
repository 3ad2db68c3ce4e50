// What one process remembers of Services whose load balancers are as they should be. It may be older than what
// another controller did since: it counts for as long as the Service says that the same is applied.
import { APPLIED_ANNOTATION } from '../../api/service.ts';
import type { ServiceObject } from '../../kube/objects.ts';
import type { DesiredState } from './model.ts';
import type { ObservedState } from './observed.ts';
import type { Owner } from './ownership.ts';

export interface Known {
  readonly account: string;
  readonly fingerprint: string;
  /** The value by which a look was asked for last. */
  readonly asked: string;
  readonly desired: DesiredState;
  readonly hostname: string;
  /** All that is there; undefined where only lists were read. */
  readonly belief?: ObservedState;
  /** What lists showed, where only they were read. */
  readonly listed?: ObservedState;
  /** When its targets' health was last asked for, on the clock. */
  readonly checkedAt: number;
}

export class KnownServices {
  readonly #known = new Map<string, Known>();

  set(key: string, known: Known): void {
    this.#known.set(key, known);
  }

  delete(key: string): void {
    this.#known.delete(key);
  }

  /** Whether or not the Service says so yet. */
  last(key: string): Known | undefined {
    return this.#known.get(key);
  }

  get(key: string, service: ServiceObject, account: string, { uid, cluster }: Owner): Known | undefined {
    const known = this.#known.get(key);
    const { owner } = known?.desired ?? {};
    const isItself = known?.account === account && owner?.uid === uid && owner.cluster === cluster;
    const isApplied = service.metadata.annotations?.[APPLIED_ANNOTATION] === known?.fingerprint;
    return isItself && isApplied ? known : undefined;
  }
}
