// Whether the interfaces that advertisements name are known to any node: said once the agents had time to tell.
import { readAdvertisement } from '../api/advertisement.ts';
import { toldInterfaces, unknownInterfaces } from '../api/advertisement-interfaces.ts';
import type { Clock, Timer } from '../clock/clock.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';
import type { Statement } from '../status/pool-conditions.ts';

/** Milliseconds that agents have to tell of an interface, from the moment that it is named. */
const PATIENCE = 5_000;
const TYPE = 'UnknownInterface';

export class NamedInterfaces {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  /** Since when an advertisement misses these interfaces, by its UID. */
  readonly #missing = new Map<string, { readonly names: string; readonly since: number }>();
  #timer: Timer | undefined;

  /** `onOver`: the patience with some advertisement is over. */
  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  statements(object: KubeObject, isNode: (name: string) => boolean): Statement[] {
    const { uid = '' } = object.metadata;
    const read = readAdvertisement(object);
    const names = read.kind === 'valid' ? unknownInterfaces(read.value, toldInterfaces(object), isNode) : [];
    if (names.length === 0) {
      this.#missing.delete(uid);
      return [];
    }
    const statement = {
      type: TYPE,
      reason: 'NoNodeHasIt',
      message: `spec.interfaces: no node that this selects has ${names.map((each) => `"${each}"`).join(', ')}, as far as agents tell; correct the name, or see that agents run there`,
    };
    return isSaid(object, statement) || this.#isOver(uid, names.join()) ? [statement] : [];
  }

  close(): void {
    this.#timer?.cancel();
  }

  #isOver(uid: string, names: string): boolean {
    const now = this.#clock.now();
    const known = this.#missing.get(uid);
    const since = known?.names === names ? known.since : now;
    this.#missing.set(uid, { names, since });
    if (now - since >= PATIENCE) return true;
    this.#timer ??= this.#clock.setTimer(since + PATIENCE - now, () => {
      this.#timer = undefined;
      this.#onOver();
    });
    return false;
  }
}

/** As after a restart of the controller. */
function isSaid(object: KubeObject, { type, message }: Statement): boolean {
  const { status } = object as { status?: { conditions?: readonly Condition[] } }; // our own kind
  return status?.conditions?.some((each) => each.type === type && each.message === message) ?? false;
}
