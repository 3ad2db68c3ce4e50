// The seal: only who has a key says anything, and only to whom it is said.
import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/membership/message.ts';
import { open, seal } from '../../src/membership/seal.ts';

const KEY = Buffer.alloc(32, 1);
const OTHER = Buffer.alloc(32, 2);
const MESSAGE: Message = { from: 'a', to: 'b', epoch: 7, body: { kind: 'refuse', token: 42n } };

/** What fits into one packet. */
function sealed(messages: readonly Message[], key: Uint8Array = KEY): Uint8Array {
  const [packet, ...rest] = seal(messages, [key]);
  expect(rest).toEqual([]);
  return packet ?? new Uint8Array();
}

describe('a sealed message', () => {
  it('opens with the key, for whom it is meant', () => {
    expect(open(sealed([MESSAGE]), [KEY], 'b')).toEqual({ kind: 'messages', messages: [MESSAGE] });
  });

  it('opens while keys change: the new one and the old one side by side', () => {
    expect(open(sealed([MESSAGE]), [OTHER, KEY], 'b').kind).toBe('messages');
    expect(open(sealed([MESSAGE], OTHER), [KEY, OTHER], 'b').kind).toBe('messages');
  });

  it('is refused with a reason where it is another’s, of another key, cut or altered anywhere', () => {
    for (const packet of [sealed([MESSAGE]), sealed([MESSAGE, MESSAGE])]) refuses(packet);
  });

  const refuses = (packet: Uint8Array) => {
    expect(open(packet, [KEY], 'c')).toEqual({ kind: 'refused', reason: 'for another' });
    expect(open(packet, [OTHER], 'b')).toEqual({ kind: 'refused', reason: 'wrong key' });
    expect(open(Buffer.alloc(2_000), [KEY], 'b')).toEqual({ kind: 'refused', reason: 'oversized' });
    expect(open(Buffer.from('hello'), [KEY], 'b')).toEqual({ kind: 'refused', reason: 'not ours' });
    for (let at = 0; at < packet.length; at++) {
      expect(open(packet.subarray(0, at), [KEY], 'b').kind).toBe('refused');
      const altered = Buffer.from(packet);
      altered[at] = (altered[at] ?? 0) ^ 0x40;
      expect(open(altered, [KEY], 'b').kind).toBe('refused');
    }
  };

  it('goes with others to the same member, as many to a packet as fit into one', () => {
    const long: Message = { ...MESSAGE, from: 'n'.repeat(200) };
    const messages = Array.from({ length: 12 }, (_, i) => ({
      ...(i % 2 === 0 ? MESSAGE : long),
      epoch: i + 1,
    }));
    const packets = seal(messages, [KEY]);
    expect(packets).toHaveLength(2);
    for (const packet of packets) expect(packet.length).toBeLessThanOrEqual(1_221);
    expect(
      packets.flatMap((packet) => {
        const opened = open(packet, [KEY], 'b');
        return opened.kind === 'messages' ? opened.messages : [];
      }),
    ).toEqual(messages);
    const both = sealed([MESSAGE, { ...MESSAGE, to: 'c' }]);
    expect(open(both, [KEY], 'b')).toEqual({ kind: 'refused', reason: 'for another' });
  });

  it('is refused as malformed where a member with the key says nonsense', () => {
    const odd = { ...MESSAGE, from: '' };
    expect(open(sealed([odd]), [KEY], 'b')).toEqual({ kind: 'refused', reason: 'malformed' });
  });
});
