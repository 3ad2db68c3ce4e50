// Keys that are ready, in lanes that take turns. Adding, removing and taking cost the same however many wait.

/** What stands in a lane; the links belong to the lanes. */
export class Waiting {
  readonly key: string;
  lane: Lane | undefined;
  before: Waiting | undefined;
  behind: Waiting | undefined;

  constructor(key: string) {
    this.key = key;
  }
}

class Lane {
  readonly name: string;
  first: Waiting | undefined;
  last: Waiting | undefined;
  /** Its neighbours in the ring of lanes that have keys. */
  before: Lane = this;
  behind: Lane = this;

  constructor(name: string) {
    this.name = name;
  }
}

export class Lanes<T extends Waiting> {
  readonly #lanes = new Map<string, Lane>();
  /** The lane whose turn it is. */
  #turn: Lane | undefined;

  /** To the end of its lane. */
  push(waiting: T, name: string): void {
    const lane = this.#lanes.get(name) ?? this.#open(name);
    waiting.lane = lane;
    waiting.before = lane.last;
    if (lane.last) lane.last.behind = waiting;
    else lane.first = waiting;
    lane.last = waiting;
  }

  /** The first of the lane whose turn it is. */
  shift(): T | undefined {
    const lane = this.#turn;
    if (!lane) return undefined;
    this.#turn = lane.behind;
    const first = lane.first as T; // a lane in the ring is never empty, and holds only what push was given
    this.remove(first);
    return first;
  }

  remove(waiting: T): void {
    const { lane, before, behind } = waiting;
    if (!lane) return;
    if (before) before.behind = behind;
    else lane.first = behind;
    if (behind) behind.before = before;
    else lane.last = before;
    waiting.lane = undefined;
    waiting.before = undefined;
    waiting.behind = undefined;
    if (!lane.first) this.#close(lane);
  }

  /** A lane that opens is the last to have its turn. */
  #open(name: string): Lane {
    const lane = new Lane(name);
    this.#lanes.set(name, lane);
    if (!this.#turn) this.#turn = lane;
    else {
      lane.behind = this.#turn;
      lane.before = this.#turn.before;
      lane.before.behind = lane;
      lane.behind.before = lane;
    }
    return lane;
  }

  #close(lane: Lane): void {
    this.#lanes.delete(lane.name);
    if (lane.behind === lane) this.#turn = undefined;
    else if (this.#turn === lane) this.#turn = lane.behind;
    lane.before.behind = lane.behind;
    lane.behind.before = lane.before;
  }
}
