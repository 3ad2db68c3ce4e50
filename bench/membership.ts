// What members say to each other while nothing happens: the real state machines and sealed messages on a virtual
// clock, counted on the wire with their UDP and IPv4 headers.
import { seal } from '../src/membership/seal.ts';
import { fromBigInt, ip, toBigInt } from '../src/net/address.ts';
import { Members, rosterOf } from '../test/membership/members.ts';
import type { BenchRow } from './row.ts';

const ADDRESSES = 1_000;
const FIRST = toBigInt(ip('198.18.0.0'));
/** Milliseconds until every address has its holder, and for how long it is counted then. */
const SETTLE = 5_000;
const COUNT_FOR = 5_000;
/** Bytes of the headers of UDP (RFC 768) and IPv4 (RFC 791). */
const HEADERS = 8 + 20;
const KEY = new Uint8Array(32);

export async function membership(): Promise<BenchRow[]> {
  return [
    { nodes: 3, voters: 3 },
    { nodes: 10, voters: 7 },
    { nodes: 100, voters: 7 },
  ].flatMap(({ nodes, voters }) => {
    const ids = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    const members = new Members(rosterOf(1, ...ids.slice(0, voters)), ...ids);
    members.advance(SETTLE / 2);
    for (const [i, id] of ids.entries()) {
      const own = Array.from({ length: Math.ceil(ADDRESSES / nodes) }, (_, j) => i + j * nodes);
      members.want(id, ...own.filter((each) => each < ADDRESSES).map((each) => address(each)));
    }
    members.advance(SETTLE);
    for (let i = 0; i < ADDRESSES; i++)
      if (members.holders(address(i)).length !== 1) throw new Error(`nobody has ${address(i)}`);
    members.together.length = 0;
    members.advance(COUNT_FOR);
    const seconds = COUNT_FOR / 1_000;
    const packets = members.together.flatMap((each) => seal(each, [KEY]));
    const bytes = packets.reduce((sum, each) => sum + each.length + HEADERS, 0);
    const name = `${nodes} nodes, ${ADDRESSES} addresses`;
    return [
      { name: `${name}: packets between members`, value: packets.length / seconds, unit: '/s' },
      { name: `${name}: sent by each`, value: bytes / seconds / nodes / 1_000, unit: 'kB/s' },
    ];
  });
}

function address(index: number) {
  return fromBigInt('IPv4', FIRST + BigInt(index));
}
