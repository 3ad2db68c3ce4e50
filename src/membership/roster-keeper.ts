// Decides who is to vote, one change at a time: a pure state machine that the controller asks now and then.
import { MOST_VOTERS, majorityOf, type Roster, type Voter } from './roster.ts';
import { TIMING } from './timing.ts';

/** What was last heard of a member. */
export interface Heard {
  readonly at: number;
  /** The highest that it ever told. */
  readonly epoch: number;
  /** Where it is to be found. */
  readonly voter: Voter;
}

/** Milliseconds for which the first roster waits for more agents after the last that joined. */
const GATHERING = 2_000;
/** Who was not heard for this long is not made a voter. */
const PRESENT = 5_000;
/** A voter that was not heard for this long is replaced. Restarts and reboots of a node take less, or should. */
const GONE = 60_000;
/** After its adoption by a majority, a roster lasts this long at least: till then, nobody counts on its predecessor. */
const LASTS = 2 * TIMING.lease;

export class RosterKeeper {
  readonly #startedAt: number;
  #gathered = '';
  #gatheredAt = 0;
  #adopted: { readonly epoch: number; readonly at: number } | undefined;

  constructor(now: number) {
    this.#startedAt = now;
  }

  /**
   * The roster that is to follow, if any.
   * `heard`: agents by name; `witness`: this process as a voter, and the epoch that it has adopted.
   */
  next(
    now: number,
    roster: Roster | undefined,
    heard: ReadonlyMap<string, Heard>,
    witness: { readonly voter: Voter; readonly epoch: number },
  ): Roster | undefined {
    const all = new Map(heard).set(witness.voter.id, { ...witness, at: now });
    if (!roster) return this.#first(now, all, witness.voter);
    const adopted = roster.voters.filter(({ id }) => (all.get(id)?.epoch ?? 0) >= roster.epoch);
    if (adopted.length < majorityOf(roster)) return undefined;
    if (this.#adopted?.epoch !== roster.epoch) this.#adopted = { epoch: roster.epoch, at: now };
    if (now - this.#adopted.at < LASTS) return undefined;
    const voters = this.#changed(now, roster, all, witness.voter);
    return voters && { epoch: roster.epoch + 1, voters };
  }

  #first(now: number, all: ReadonlyMap<string, Heard>, witness: Voter): Roster | undefined {
    const agents = [...all.keys()].filter((id) => id !== witness.id).sort();
    const gathered = agents.join(' ');
    if (gathered !== this.#gathered) this.#gatheredAt = now;
    this.#gathered = gathered;
    if (agents.length === 0 || now - this.#gatheredAt < GATHERING) return undefined;
    const epoch = Math.max(...[...all.values()].map((each) => each.epoch)) + 1;
    const ids = chosen(agents, [], witness.id);
    return { epoch, voters: ids.flatMap((id) => all.get(id)?.voter ?? []) };
  }

  /** The voters with one change, if one is due. */
  #changed(
    now: number,
    { voters }: Roster,
    all: ReadonlyMap<string, Heard>,
    witness: Voter,
  ): Voter[] | undefined {
    const isPresent = (id: string) => now - (all.get(id)?.at ?? Number.NEGATIVE_INFINITY) <= PRESENT;
    const moved = voters.find((voter) => isPresent(voter.id) && isElsewhere(voter, all.get(voter.id)?.voter));
    if (moved) return voters.map((voter) => (voter === moved ? (all.get(voter.id)?.voter ?? voter) : voter));

    // A voter counts until it is gone for good; one that was never heard, from our start on. Witnesses are this process, or gone.
    const lasts = ({ id }: Voter) => !isWitness(id) && now - (all.get(id)?.at ?? this.#startedAt) <= GONE;
    const kept = voters.filter(lasts).map(({ id }) => id);
    const others = [...all.keys()].filter((id) => id !== witness.id && !kept.includes(id) && isPresent(id));
    const agents = [...kept, ...others.sort()];
    if (agents.length === 0) return undefined;
    const ids = chosen(agents, kept, witness.id);
    const gone = voters.find(({ id }) => !ids.includes(id));
    const missing = ids.find((id) => !voters.some((voter) => voter.id === id));
    if (gone && (voters.length >= ids.length || missing === undefined)) {
      const left = voters.filter((voter) => voter !== gone);
      const present = left.filter(({ id }) => isPresent(id)).length;
      // Those who are left must be able to carry it.
      return present >= Math.floor(left.length / 2) + 1 ? left : undefined;
    }
    const added = missing === undefined ? undefined : all.get(missing)?.voter;
    return added && [...voters, added];
  }
}

/** As many as are of use: an odd number of agents; two and a witness; one alone. Those that vote already come first. */
function chosen(agents: readonly string[], voting: readonly string[], witness: string): string[] {
  const ordered = [...agents].sort(
    (a, b) => Number(voting.includes(b)) - Number(voting.includes(a)) || (a < b ? -1 : 1),
  );
  if (ordered.length === 2) return [...ordered, witness];
  const odd = ordered.length % 2 === 0 ? ordered.length - 1 : ordered.length;
  return ordered.slice(0, Math.min(MOST_VOTERS, odd));
}

export const WITNESS = 'witness/';

function isWitness(id: string): boolean {
  return id.startsWith(WITNESS);
}

function isElsewhere(a: Voter, b: Voter | undefined): boolean {
  return b !== undefined && (a.host !== b.host || a.port !== b.port);
}
