// The seal: only who has a key says anything, and only to whom it is said.
import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/membership/message.ts';
import { open, seal } from '../../src/membership/seal.ts';

const KEY = Buffer.alloc(32, 1);
const OTHER = Buffer.alloc(32, 2);
const MESSAGE: Message = { from: 'a', to: 'b', epoch: 7, body: { kind: 'refuse', token: 42n } };

describe('a sealed message', () => {
  it('opens with the key, for whom it is meant', () => {
    expect(open(seal(MESSAGE, [KEY]), [KEY], 'b')).toEqual({ kind: 'message', message: MESSAGE });
  });

  it('opens while keys change: the new one and the old one side by side', () => {
    expect(open(seal(MESSAGE, [KEY]), [OTHER, KEY], 'b').kind).toBe('message');
    expect(open(seal(MESSAGE, [OTHER, KEY]), [KEY, OTHER], 'b').kind).toBe('message');
  });

  it('is refused with a reason where it is another’s, of another key, cut or altered anywhere', () => {
    const packet = seal(MESSAGE, [KEY]);
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
  });

  it('is refused as malformed where a member with the key says nonsense', () => {
    const odd = { ...MESSAGE, from: '' };
    expect(open(seal(odd, [KEY]), [KEY], 'b')).toEqual({ kind: 'refused', reason: 'malformed' });
  });
});
