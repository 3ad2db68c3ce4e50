// Which endpoint has which slots of a list in the kernel, which is picked from at random, in turn or by a hash.
import type { Balancing } from '../api/load-balancing.ts';
import type { Endpoint } from './endpoints.ts';

/**
 * Of a list that is picked from by the client's address: always as many, so that a hash falls into the same slot
 * however many endpoints there are. With up to 40 endpoints each has its share within some 10 %.
 */
const HASHED_SLOTS = 4096;
/** Of a list with weights; past it they are rounded. */
const MOST_WEIGHTED_SLOTS = 4096;

/** How one of the slots is picked. */
export type Pick = 'random' | 'hash' | 'turn';

export interface Slots {
  readonly pick: Pick;
  readonly endpoints: readonly Endpoint[];
}

export function slotsOf(endpoints: readonly Endpoint[], { kind }: Balancing): Slots {
  switch (kind) {
    case 'random':
      return { pick: 'random', endpoints };
    case 'round-robin':
      return { pick: 'turn', endpoints };
    case 'weighted':
      return { pick: 'random', endpoints: repeated(endpoints) };
    case 'source-hash':
      return { pick: 'hash', endpoints: hashed(endpoints) };
  }
}

/** Each as often as it weighs; where all weigh nothing, each once. */
function repeated(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const weights = endpoints.map(({ weight = 1 }) => weight);
  const sum = weights.reduce((a, b) => a + b, 0);
  if (sum === 0) return endpoints;
  const divisor = sum > MOST_WEIGHTED_SLOTS ? sum / MOST_WEIGHTED_SLOTS : weights.reduce(greatestCommon);
  const slots = (weight: number) => (weight === 0 ? 0 : Math.max(1, Math.round(weight / divisor)));
  return endpoints.flatMap((endpoint, i) => Array<Endpoint>(slots(weights[i] ?? 0)).fill(endpoint));
}

function greatestCommon(a: number, b: number): number {
  return b === 0 ? a : greatestCommon(b, a % b);
}

/**
 * Rendezvous hashing: a slot belongs to the endpoint that ranks highest for it. So an endpoint that goes leaves its
 * slots to others and moves no other slot, and one that comes takes its own share alone. All nodes agree.
 */
function hashed(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const best = new Float64Array(HASHED_SLOTS).fill(-1);
  const winners = new Uint32Array(HASHED_SLOTS);
  for (const [i, { address, port }] of endpoints.entries()) {
    const seed = hashOf(`${address} ${port}`);
    for (let slot = 0; slot < HASHED_SLOTS; slot++) {
      const rank = mixed(seed ^ Math.imul(slot + 1, 0x9e37_79b1));
      if (rank <= (best[slot] ?? 0)) continue;
      best[slot] = rank;
      winners[slot] = i;
    }
  }
  return Array.from(winners, (i) => endpoints[i] as Endpoint); // filled from their indexes
}

/** FNV-1a of 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return mixed(hash);
}

/** The finalizer of MurmurHash3: every bit of the result depends on every bit of the number. */
function mixed(number: number): number {
  let hash = number;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
