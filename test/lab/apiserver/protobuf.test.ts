import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../../../src/lab/apiserver/api-error.ts';
import { fromProtobuf } from '../../../src/lab/apiserver/protobuf.ts';

const MAGIC = Buffer.from('k8s\0');

function varint(value: bigint | number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const more = rest > 0x7fn;
    bytes.push(Number(rest & 0x7fn) | (more ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

function field(number: number, value: number | string | Buffer): Buffer {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function message(...fields: Buffer[]): Buffer {
  return Buffer.concat(fields);
}

function body(kind: string, raw: Buffer): Buffer {
  return message(
    MAGIC,
    field(1, message(field(1, 'v1'), field(2, kind))),
    field(2, raw),
    field(3, ''),
    field(4, ''),
  );
}

const NAMED = field(
  1,
  message(field(1, 'web'), field(2, ''), field(11, message(field(1, 'a'), field(2, 'b')))),
);

describe('a protobuf body', () => {
  it('says what its JSON would say', () => {
    const port = message(
      field(1, 'http'),
      field(3, 80),
      field(4, message(field(1, 1), field(2, 0), field(3, 'main'))),
      field(5, 0),
    );
    const other = message(field(3, 443), field(4, message(field(1, 0), field(2, 8443))));
    const spec = message(
      field(1, port),
      field(1, other),
      field(3, ''),
      field(4, 'LoadBalancer'),
      field(12, 0),
      field(20, 0),
    );
    expect(fromProtobuf(body('Service', message(NAMED, field(2, spec), field(3, field(1, '')))))).toEqual({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', labels: { a: 'b' } },
      spec: {
        type: 'LoadBalancer',
        allocateLoadBalancerNodePorts: false,
        ports: [
          { name: 'http', port: 80, targetPort: 'main' },
          { port: 443, targetPort: 8443 },
        ],
      },
    });
  });

  it('holds bytes in base64, and maps of them', () => {
    const entry = (key: string, value: string) => field(2, message(field(1, key), field(2, value)));
    const raw = message(NAMED, entry('x', '\u0000\u0001'), entry('empty', ''), field(3, 'Opaque'));
    expect(fromProtobuf(body('Secret', raw))).toMatchObject({
      type: 'Opaque',
      data: { x: 'AAE=', empty: '' },
    });
  });

  it('may hold fields that nobody here knows, of any wire type', () => {
    const fixed = Buffer.from([((99 << 3) & 0x7f) | 0x80 | 5, 6, 1, 2, 3, 4]);
    const double = Buffer.from([((98 << 3) & 0x7f) | 0x80 | 1, 6, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(
      fromProtobuf(body('Namespace', message(NAMED, field(97, 7), field(96, 'x'), fixed, double))),
    ).toMatchObject({
      kind: 'Namespace',
      metadata: { name: 'web' },
    });
  });

  it.each<[string, Buffer, number]>([
    ['no envelope', Buffer.from('{}'), 400],
    ['a kind that is not known so', body('Pod', NAMED), 415],
    ['a field that ends early', body('Namespace', NAMED.subarray(0, NAMED.length - 2)), 400],
    ['a number that ends early', body('Namespace', Buffer.from([0x80])), 400],
    ['a number without end', body('Namespace', Buffer.alloc(12, 0xff)), 400],
    ['a length below zero', body('Namespace', message(varint((1 << 3) | 2), varint(-1))), 400],
    ['a group, which nobody sends', body('Namespace', varint((1 << 3) | 3)), 400],
    ['a number for a message', body('Namespace', field(1, 5)), 400],
    ['a message for a number', body('DeleteOptions', field(1, 'x')), 400],
  ])('is refused with %s', (_, bytes, code) => {
    expect(() => fromProtobuf(bytes)).toThrow(expect.objectContaining({ code }));
  });

  it('of any bytes is read or refused, never more', () => {
    const kind = fc.constantFrom('Service', 'Secret', 'Namespace', 'DeleteOptions');
    fc.assert(
      fc.property(kind, fc.uint8Array({ maxLength: 60 }), (name, bytes) => {
        try {
          expect(fromProtobuf(body(name, Buffer.from(bytes)))).toMatchObject({ kind: name });
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
        }
      }),
    );
  });
});
