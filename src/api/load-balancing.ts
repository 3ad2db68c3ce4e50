// How a Service's connections are spread over its endpoints: read from its annotations.
import { type Ip, parseIp } from '../net/address.ts';

export const BALANCING_ANNOTATION = 'fairlead.dev/load-balancing';
export const WEIGHTS_ANNOTATION = 'fairlead.dev/endpoint-weights';

const METHODS = ['random', 'round-robin', 'weighted', 'source-hash'] as const;
/** What others call counting open connections. nftables has no way to compare endpoints by their connections. */
const LEAST_CONNECTIONS = ['least-connections', 'least-connection', 'least-conn', 'leastconn', 'lc', 'wlc'];
/** One endpoint with 100 beside one with 1: more than any machine is better than another. */
const MOST_WEIGHT = 100;

export type Balancing =
  | { readonly kind: 'random' }
  /** In turn, each node by itself. */
  | { readonly kind: 'round-robin' }
  | { readonly kind: 'weighted'; readonly weights: Weights }
  /** A client address always has the same endpoint, as long as that is there. */
  | { readonly kind: 'source-hash' };

/** From 0 to 100; the address counts before the node, the node before the zone, the zone before `rest`. */
export interface Weights {
  readonly addresses: ReadonlyMap<Ip, number>;
  readonly nodes: ReadonlyMap<string, number>;
  readonly zones: ReadonlyMap<string, number>;
  readonly rest: number;
}

export interface BalancingRead {
  readonly balancing: Balancing;
  /** Why it is not what the annotations ask for, and what to write instead; empty: it is. */
  readonly complaints: readonly string[];
}

export function readBalancing(annotations: Readonly<Record<string, string>> = {}): BalancingRead {
  const asked = annotations[BALANCING_ANNOTATION]?.trim();
  const weights = annotations[WEIGHTS_ANNOTATION];
  const method = METHODS.find((each) => each === (asked ?? 'random'));
  if (!method) return refused(`${BALANCING_ANNOTATION} "${asked}" ${mendOf(asked ?? '')}`);
  if (method === 'weighted') return weighted(weights);
  const balancing = { kind: method };
  if (weights === undefined) return { balancing, complaints: [] };
  const complaint = `${WEIGHTS_ANNOTATION} has no effect without ${BALANCING_ANNOTATION}: weighted; add that, or remove it`;
  return { balancing, complaints: [complaint] };
}

export function weightOf(
  { addresses, nodes, zones, rest }: Weights,
  endpoint: { readonly address: Ip; readonly node: string | undefined; readonly zone: string | undefined },
): number {
  const { address, node = '', zone = '' } = endpoint;
  return addresses.get(address) ?? nodes.get(node) ?? zones.get(zone) ?? rest;
}

function refused(...complaints: readonly string[]): BalancingRead {
  const each = complaints.map((complaint) => `${complaint}; until then connections are spread at random`);
  return { balancing: { kind: 'random' }, complaints: each };
}

function mendOf(asked: string): string {
  const others = METHODS.join(', ');
  if (LEAST_CONNECTIONS.includes(asked.toLowerCase()))
    return `cannot be done: nftables does not know how many connections an endpoint has, and no node knows those of the others; write ${others}`;
  return `is no way of balancing; write ${others}`;
}

function weighted(text: string | undefined): BalancingRead {
  if (text === undefined)
    return refused(
      `${BALANCING_ANNOTATION}: weighted needs ${WEIGHTS_ANNOTATION}, such as "node/big=3,zone/eu-1a=2,10.244.1.7=5,*=1"; add it`,
    );
  const addresses = new Map<Ip, number>();
  const nodes = new Map<string, number>();
  const zones = new Map<string, number>();
  let rest: number | undefined;
  const complaints: string[] = [];
  const complain = (part: string, mend: string) => complaints.push(`${WEIGHTS_ANNOTATION} "${part}" ${mend}`);
  for (const part of text.split(',').map((each) => each.trim())) {
    const [, place = '', digits = ''] = /^([^=\s]+)=(\d{1,3})$/.exec(part) ?? [];
    const weight = Number(digits);
    if (place === '' || weight > MOST_WEIGHT) {
      complain(part, `is not PLACE=WEIGHT with a weight from 0 to ${MOST_WEIGHT}; correct it`);
      continue;
    }
    const [, kind, name = ''] = /^(node|zone)\/(.+)$/.exec(place) ?? [];
    const address = parseIp(place);
    const isNew = (map: ReadonlyMap<string, number>, key: string) => !map.has(key);
    let first = true;
    if (kind !== undefined) {
      const map = kind === 'node' ? nodes : zones;
      first = isNew(map, name);
      map.set(name, weight);
    } else if (place === '*') {
      first = rest === undefined;
      rest = weight;
    } else if (address.kind === 'parsed') {
      first = isNew(addresses, address.value);
      addresses.set(address.value, weight);
    } else complain(part, 'names neither node/NAME, zone/NAME, an address, nor *; correct it');
    if (!first) complain(part, 'gives a place a second weight; keep one');
  }
  if (complaints.length > 0) return refused(...complaints);
  return {
    balancing: { kind: 'weighted', weights: { addresses, nodes, zones, rest: rest ?? 1 } },
    complaints: [],
  };
}
