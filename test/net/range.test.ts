import { describe, expect, it } from 'vitest';
import { parseRange } from '../../src/net/range.ts';

describe('parseRange', () => {
  it('reads a prefix', () => {
    expect(parseRange('192.0.2.0/24')).toEqual({
      kind: 'parsed',
      value: { family: 'IPv4', first: 0xc0000200n, last: 0xc00002ffn },
    });
  });
});
