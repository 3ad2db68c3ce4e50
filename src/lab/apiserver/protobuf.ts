// Kubernetes' protobuf bodies as JSON: `kubectl create` since 1.32 sends them for the built-in kinds and takes no no for
// an answer. Answers are JSON always, which every client accepts.
import { ApiError, badRequest } from './api-error.ts';
import type { Json, JsonObject } from './api-object.ts';
import { ENVELOPE, type Field, type Message, PROTOBUF_KINDS } from './protobuf-kinds.ts';

/** What a body begins with (apimachinery, serializer/protobuf). */
const MAGIC = Buffer.from('k8s\0');

/** Wire types (protobuf encoding, "Message Structure"). */
const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** The object that a body holds. Throws ApiError 400 where it is broken, 415 for a kind that is not known in this form. */
export function fromProtobuf(body: Buffer): Json {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC))
    throw malformed('it does not begin with the envelope of Kubernetes');
  const { apiVersion = '', kind = '', raw = '' } = decode(ENVELOPE, body.subarray(MAGIC.length));
  const message = PROTOBUF_KINDS[String(kind)];
  if (!message) {
    const why = `${kind} of ${apiVersion} is not known as protobuf here - accepted media types include: application/json, application/yaml`;
    throw new ApiError(415, 'UnsupportedMediaType', why);
  }
  return { apiVersion, kind, ...decode(message, Buffer.from(String(raw), 'base64')) };
}

function decode(message: Message, bytes: Buffer): JsonObject {
  const object: JsonObject = {};
  const reader = new Reader(bytes);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const [number, wireType] = [Math.floor(tag / 8), tag % 8];
    const value = reader.value(wireType);
    const field = message[number];
    if (field) put(object, field, value);
  }
  return object;
}

/** Go's writers send empty strings and zeros of fields that are not set; no such field means anything by one. */
function put(object: JsonObject, { name, type, repeated }: Field, value: number | Buffer): void {
  if (type === 'inline') return void Object.assign(object, decode(ENVELOPE_TYPE, bytesOf(value, name)));
  if (type === 'strings' || type === 'blobs') {
    const entry = decode(type === 'strings' ? STRING_ENTRY : BLOB_ENTRY, bytesOf(value, name));
    object[name] = {
      ...(object[name] as JsonObject | undefined),
      [String(entry.key ?? '')]: entry.value ?? '',
    }; // a map so far
    return;
  }
  const json = jsonOf(type, value, name);
  if (repeated)
    object[name] = [...((object[name] as Json[] | undefined) ?? []), json]; // a list so far
  else if (json !== '' && json !== 0) object[name] = json;
}

const ENVELOPE_TYPE: Message = {
  1: { name: 'apiVersion', type: 'string' },
  2: { name: 'kind', type: 'string' },
};
const STRING_ENTRY: Message = { 1: { name: 'key', type: 'string' }, 2: { name: 'value', type: 'string' } };
const BLOB_ENTRY: Message = { 1: { name: 'key', type: 'string' }, 2: { name: 'value', type: 'blob' } };
const INT_OR_STRING: Message = {
  1: { name: 'isString', type: 'integer' },
  2: { name: 'integer', type: 'integer' },
  3: { name: 'string', type: 'string' },
};

function jsonOf(
  type: Exclude<Field['type'], 'inline' | 'strings' | 'blobs'>,
  value: number | Buffer,
  name: string,
): Json {
  switch (type) {
    case 'integer':
    case 'boolean': {
      if (typeof value !== 'number') throw malformed(`${name} is no number`);
      return type === 'boolean' ? value !== 0 : value;
    }
    case 'string':
      return bytesOf(value, name).toString('utf8');
    case 'blob':
      return bytesOf(value, name).toString('base64');
    case 'integer or string': {
      const { isString, integer = 0, string = '' } = decode(INT_OR_STRING, bytesOf(value, name));
      return isString ? string : integer;
    }
    default:
      return decode(type, bytesOf(value, name));
  }
}

function bytesOf(value: number | Buffer, name: string): Buffer {
  if (typeof value === 'number') throw malformed(`${name} is a number`);
  return value;
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Of at most 53 bits; a negative one, which takes ten bytes, comes out as what it is as a 64-bit number. */
  varint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw malformed('it ends within a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw malformed('a number takes more than ten bytes');
  }

  value(wireType: number): number | Buffer {
    switch (wireType) {
      case VARINT:
        return this.varint();
      case FIXED_64:
        return this.#take(8);
      case FIXED_32:
        return this.#take(4);
      case LENGTH_DELIMITED:
        return this.#take(this.varint());
      default:
        throw malformed(`wire type ${wireType} is not known`);
    }
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw malformed('it ends within a field');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

function malformed(why: string): ApiError {
  return badRequest(`the protobuf body cannot be read: ${why}`);
}
