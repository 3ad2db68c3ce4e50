// Netlink messages: what is built is read back, and no bytes do harm.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  eachAttribute,
  MessageBuilder,
  parseAcknowledgement,
  parseAttributes,
  parseMessages,
  textOf,
  viewOf,
} from '../../src/netlink/message.ts';
import { acknowledgement, done } from './answers.ts';

type Attribute =
  | { readonly kind: 'bytes'; readonly type: number; readonly value: Uint8Array }
  | { readonly kind: 'nested'; readonly type: number; readonly inside: readonly Attribute[] };

const type = fc.integer({ min: 1, max: 0x3fff });
const leaf: fc.Arbitrary<Attribute> = fc.record({
  kind: fc.constant('bytes'),
  type,
  value: fc.uint8Array({ maxLength: 70 }),
});
const { attribute } = fc.letrec<{ attribute: Attribute }>((tie) => ({
  attribute: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.record({ kind: fc.constant('nested'), type, inside: fc.array(tie('attribute'), { maxLength: 4 }) }),
  ),
}));
const messages = fc.array(
  fc.record({
    type: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.integer({ min: 0, max: 0xffff }),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    header: fc.uint8Array({ maxLength: 20 }).map((bytes) => bytes.subarray(0, bytes.length & ~3)),
    attributes: fc.array(attribute, { maxLength: 6 }),
  }),
  { maxLength: 5 },
);

function write(builder: MessageBuilder, attributes: readonly Attribute[]): void {
  for (const attribute of attributes) {
    if (attribute.kind === 'bytes') builder.attribute(attribute.type, attribute.value);
    else {
      const at = builder.open(attribute.type);
      write(builder, attribute.inside);
      builder.close(at);
    }
  }
}

/** Reads as deep as `like` says there are nests: on the wire they look like any other bytes. */
function read(bytes: Uint8Array, from: number, like: readonly Attribute[]): Attribute[] {
  const found: Attribute[] = [];
  eachAttribute(bytes, from, (type, value) => {
    const expected = like[found.length];
    if (expected?.kind === 'nested')
      found.push({ kind: 'nested', type, inside: read(value, 0, expected.inside) });
    else found.push({ kind: 'bytes', type, value: Uint8Array.from(value) });
  });
  return found;
}

describe('netlink messages', () => {
  it('read back as they were built', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const builder = new MessageBuilder(16);
        for (const { type, flags, sequence, header, attributes } of list) {
          builder.begin(type, flags, sequence).raw(header);
          write(builder, attributes);
          builder.end();
        }
        expect(builder.length % 4).toBe(0);
        const parsed = parseMessages(builder.bytes()).map(({ payload, port: _, ...rest }, i) => ({
          ...rest,
          header: Uint8Array.from(payload.subarray(0, list[i]?.header.length)),
          attributes: read(payload, list[i]?.header.length ?? 0, list[i]?.attributes ?? []),
        }));
        expect(parsed).toEqual(list.map((entry) => ({ ...entry, header: Uint8Array.from(entry.header) })));
      }),
    );
  });

  it('carry numbers and strings in the byte order that each kind has', () => {
    const builder = new MessageBuilder().begin(1, 0, 0);
    builder
      .u8(1, 0xab)
      .u16be(2, 0x1234)
      .u32(3, 0x1234_5678)
      .u32be(4, 0x1234_5678)
      .u64be(5, 2n ** 40n + 3n);
    builder.string(6, 'lo').bytesOf(7, '\x00\xff').end();
    const found = parseAttributes(parseMessages(builder.bytes())[0]?.payload ?? new Uint8Array());
    const hex = [...found].map(([type, value]) => [type, Buffer.from(value).toString('hex')]);
    expect(Object.fromEntries(hex)).toEqual({
      1: 'ab',
      2: '1234',
      3: '78563412',
      4: '12345678',
      5: '0000010000000003',
      6: '6c6f00',
      7: '00ff',
    });
    expect(textOf(found.get(6) ?? new Uint8Array())).toBe('lo');
  });

  it('never throw and never hang on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 20 }), (bytes, from) => {
        let visits = 0;
        eachAttribute(bytes, from, () => visits++);
        expect(visits).toBeLessThanOrEqual(bytes.length / 4);
        for (const message of parseMessages(bytes)) parseAcknowledgement(message);
        const whole = { type: 2, flags: 0x300, sequence: 0, port: 0, payload: bytes };
        parseAcknowledgement(whole);
        parseAcknowledgement({ ...whole, flags: 0x200 });
        parseAcknowledgement({ ...whole, type: 3 });
      }),
      { numRuns: 1000 },
    );
  });

  it('that are cut off end at the last whole one', () => {
    const builder = new MessageBuilder();
    const ends = [1, 2, 3, 4, 5].map((i) => builder.begin(i, 0, i).string(1, 'x'.repeat(i)).end().length);
    for (let cut = 0; cut <= builder.length; cut++) {
      const whole = ends.flatMap((end, i) => (end <= cut ? [i + 1] : []));
      expect(parseMessages(builder.bytes().subarray(0, cut)).map(({ type }) => type)).toEqual(whole);
    }
  });

  it('refuse an attribute that a 16-bit length cannot say', () => {
    const builder = new MessageBuilder().begin(1, 0, 0);
    const nest = builder.open(1);
    builder.attribute(2, new Uint8Array(40_000)).attribute(2, new Uint8Array(40_000));
    expect(() => builder.close(nest)).toThrow(RangeError);
    expect(() => builder.attribute(1, new Uint8Array(65_532))).toThrow(RangeError);
  });
});

describe('an acknowledgement', () => {
  it('is read with its errno and the kernel’s words', () => {
    const [refused, accepted, ended] = [
      acknowledgement(1, 2, 'no such thing'),
      acknowledgement(2),
      done(3, 11),
    ].map((bytes) => parseMessages(bytes).map(parseAcknowledgement)[0]);
    expect(refused).toEqual({ errno: 2, text: 'no such thing' });
    expect(accepted).toEqual({ errno: 0, text: '' });
    expect(ended).toEqual({ errno: 11, text: '' });
  });

  it('is read behind a request that is echoed whole', () => {
    const request = new MessageBuilder().begin(16, 0, 9).string(1, 'nowhere').end().bytes();
    const bytes = new MessageBuilder()
      .begin(2, 0x200, 9)
      .raw(Uint8Array.from([0xed, 0xff, 0xff, 0xff, ...request]))
      .string(1, 'words')
      .end()
      .bytes();
    expect(parseMessages(bytes).map(parseAcknowledgement)).toEqual([{ errno: 19, text: 'words' }]);
    expect(viewOf(bytes).getUint32(0, true)).toBe(bytes.length);
  });
});
