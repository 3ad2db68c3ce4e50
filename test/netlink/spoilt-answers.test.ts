// What reads the kernel's tables, given answers with any bytes spoilt or cut off: it ends, and finds nothing that is
// not there.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { deleteFlows } from '../../src/netlink/conntrack.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { listElements } from '../../src/netlink/nftables.ts';
import { listCounters } from '../../src/netlink/nftables-counters.ts';
import { listRanges } from '../../src/netlink/nftables-ranges.ts';
import { readTable } from '../../src/netlink/nftables-table.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { NETLINK_NETFILTER } from '../../src/sockets/netlink-socket.ts';
import { acknowledgement, done, message } from './answers.ts';

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex'));

/** Each as the kernel wrote it: a UDP flow, an element with a counter, a rule, a chain and a table. */
const ANSWERS = [
  {
    type: 0x100,
    body: bytesOf(`02000000
      34000180 14000180 08000100 c000020a 08000200 0a600001 1c000280 05000100 11000000 06000200 13880000 06000300 00350000
      34000280 14000180 08000100 0af40002 08000200 c000020a 1c000280 05000100 11000000 06000200 14e90000 06000300 13880000
      08000c00 00000007`),
  },
  {
    type: 0xa0c,
    body: bytesOf(`01000000 06000100 74000000 06000200 63000000
      48000380 44000180 14000180 10000100 0a600001 06000000 00500000
      2c000780 0c000100 636f756e 74657200 1c000280 0c000100 00000000 0000001e 0c000200 00000000 00000001`),
  },
  { type: 0xa06, body: bytesOf('01000000 06000100 74000000 06000200 63000000 08000480 04000180') },
  { type: 0xa03, body: bytesOf('01000000 06000100 74000000 06000300 63000000 08000500 00000001') },
  { type: 0xa00, body: bytesOf('01000000 06000100 74000000 08000200 00000001') },
] as const;

/** A connection whose kernel answers each question with this. */
function answering(type: number, body: Uint8Array): NetlinkConnection {
  const recorder = new NetlinkRecorder((datagram) => {
    const sequence = parseMessages(datagram).at(-1)?.sequence ?? 0;
    const first = parseMessages(datagram)[0];
    if (first?.type === 0x102) return [acknowledgement(sequence)];
    return [message(type, sequence, body, 2), done(sequence)];
  });
  return new NetlinkConnection({ open: recorder.open, clock: systemClock, protocol: NETLINK_NETFILTER });
}

const READERS: readonly ((connection: NetlinkConnection) => Promise<unknown>)[] = [
  (connection) => deleteFlows(connection, { protocol: 'UDP', family: 'IPv4', matches: () => true }),
  (connection) => listElements(connection, 't', 'c'),
  (connection) => listCounters(connection, 't', 'c'),
  (connection) => readTable(connection, 't'),
  (connection) => listRanges(connection, 't', 'c'),
];

it('whole answers are read', async () => {
  const [flow, element, rule, chain, table] = ANSWERS;
  expect(await READERS[0]?.(answering(flow.type, flow.body))).toBe(1);
  expect(await READERS[2]?.(answering(element.type, element.body))).toEqual([
    { key: '\x0a\x60\0\x01\x06\0\0\0\0\x50\0\0', packets: 1, bytes: 30 },
  ]);
  expect(await READERS[3]?.(answering(table.type, table.body))).toEqual({ dormant: true, chains: new Map() });
  for (const { type, body } of [rule, chain])
    expect(await READERS[3]?.(answering(type, body))).toBeUndefined();
});

it('spoilt ones are no error', async () => {
  const spoilt = fc.record({
    answer: fc.constantFrom(...ANSWERS),
    changes: fc.array(fc.record({ at: fc.nat({ max: 130 }), to: fc.nat({ max: 255 }) }), { maxLength: 6 }),
    length: fc.nat({ max: 130 }),
  });
  await fc.assert(
    fc.asyncProperty(spoilt, async ({ answer, changes, length }) => {
      const bytes = Uint8Array.from(answer.body);
      for (const { at, to } of changes) if (at < bytes.length) bytes[at] = to;
      for (const read of READERS) await read(answering(answer.type, bytes.subarray(0, length)));
    }),
    { numRuns: 400 },
  );
});
