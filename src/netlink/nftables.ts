// Elements of nftables sets and maps by netlink (linux/netfilter/nf_tables.h): added, deleted and listed in bulk.
// Keys and data travel as strings of bytes (one character a byte), so that they can be compared and be map keys.
import type { NetlinkConnection, Request } from './connection.ts';
import {
  eachAttribute,
  type Message,
  type MessageBuilder,
  NLM_F_CREATE,
  parseAttributes,
  textOf,
  viewOf,
} from './message.ts';
import { NetlinkError } from './netlink-error.ts';

/** linux/netfilter.h */
const NFPROTO = { inet: 1, ip: 2, ip6: 10 } as const;
/** Of a table. */
export type TableFamily = keyof typeof NFPROTO;
const SUBSYSTEM = 10; // NFNL_SUBSYS_NFTABLES
const NEWSETELEM = (SUBSYSTEM << 8) | 12;
const GETSETELEM = (SUBSYSTEM << 8) | 13;
const DELSETELEM = (SUBSYSTEM << 8) | 14;

const LIST_TABLE = 1;
const LIST_SET = 2;
const LIST_ELEMENTS = 3;
const LIST_ELEM = 1;
const ELEM_KEY = 1;
const ELEM_DATA = 2;
const ELEM_KEY_END = 10;
const DATA_VALUE = 1;
const DATA_VERDICT = 2;
const VERDICT_CODE = 1;
const VERDICT_CHAIN = 2;
const NFT_GOTO = -4;

/** A message's element list must stay below the 64 KiB that an attribute can have. */
const ELEMENTS_A_MESSAGE = 500;

/**
 * After many additions the kernel rearranges a set in the background, and a listing meanwhile repeats elements and
 * lacks as many; it does not say so (seen with Linux 6.18).
 */
const LIST_TRIES = 50;

/** What a map's element maps to; a set's elements have none. */
export type ElementData =
  | { readonly kind: 'none' }
  | { readonly kind: 'value'; readonly bytes: string }
  | { readonly kind: 'goto'; readonly chain: string };

export interface Element {
  /** Where the set's elements are ranges (of concatenations): the lowest key and, as long, the highest behind it. */
  readonly key: string;
  readonly data: ElementData;
}

export interface ElementChanges {
  readonly set: string;
  readonly operation: 'add' | 'delete';
  /** Whether the keys are ranges. */
  readonly ranges?: boolean;
  readonly elements: readonly Element[];
}

/** Carries out all changes in one transaction, in order. Rejects with NetlinkError, and then nothing was changed. */
export function changeElements(
  connection: NetlinkConnection,
  table: string,
  changes: readonly ElementChanges[],
  family: TableFamily = 'inet',
): Promise<void> {
  const requests: Request[] = [];
  for (const { set, operation, ranges = false, elements } of changes) {
    for (let i = 0; i < elements.length; i += ELEMENTS_A_MESSAGE) {
      const part = elements.slice(i, i + ELEMENTS_A_MESSAGE);
      requests.push({
        type: operation === 'add' ? NEWSETELEM : DELSETELEM,
        flags: operation === 'add' ? NLM_F_CREATE : 0,
        body(builder) {
          builder.raw([NFPROTO[family], 0, 0, 0]).string(LIST_TABLE, table).string(LIST_SET, set);
          const list = builder.open(LIST_ELEMENTS);
          for (const element of part) writeElement(builder, element, operation === 'add', ranges);
          builder.close(list);
        },
      });
    }
  }
  return connection.batch(requests);
}

/** All elements of a set or map, in the kernel's order. Rejects with NetlinkError (ENOENT: no such set). */
export async function listElements(
  connection: NetlinkConnection,
  table: string,
  set: string,
  family: TableFamily = 'inet',
): Promise<Element[]> {
  const request = listRequest(table, set, family);
  for (let tries = 1; tries <= LIST_TRIES; tries++) {
    const lists = await connection.dump(request, readElements);
    const elements = lists.flat();
    if (new Set(elements.map(({ key }) => key)).size === elements.length) return elements;
  }
  throw new NetlinkError('EINTR', `the set ${set} was rearranged during each of ${LIST_TRIES} readings`);
}

function writeElement(
  builder: MessageBuilder,
  { key, data }: Element,
  withData: boolean,
  range: boolean,
): void {
  const element = builder.open(LIST_ELEM);
  const middle = range ? key.length / 2 : key.length;
  const keyNest = builder.open(ELEM_KEY);
  builder.bytesOf(DATA_VALUE, key.slice(0, middle)).close(keyNest);
  if (range) {
    const endNest = builder.open(ELEM_KEY_END);
    builder.bytesOf(DATA_VALUE, key.slice(middle)).close(endNest);
  }
  if (withData && data.kind !== 'none') {
    const dataNest = builder.open(ELEM_DATA);
    if (data.kind === 'value') builder.bytesOf(DATA_VALUE, data.bytes);
    else {
      const verdict = builder.open(DATA_VERDICT);
      builder
        .u32be(VERDICT_CODE, NFT_GOTO >>> 0)
        .string(VERDICT_CHAIN, data.chain)
        .close(verdict);
    }
    builder.close(dataNest);
  }
  builder.close(element);
}

/** Asks for a set's elements. */
export function listRequest(table: string, set: string, family: TableFamily = 'inet'): Request {
  return {
    type: GETSETELEM,
    body: (builder) =>
      builder.raw([NFPROTO[family], 0, 0, 0]).string(LIST_TABLE, table).string(LIST_SET, set),
  };
}

/** Calls `visit` with the attributes of each element that a message lists. */
export function elementsIn(
  { type, payload }: Message,
  visit: (parts: ReadonlyMap<number, Uint8Array>) => void,
): void {
  const list = type === NEWSETELEM ? parseAttributes(payload, 4).get(LIST_ELEMENTS) : undefined;
  if (!list) return;
  eachAttribute(list, 0, (type, value) => {
    if (type === LIST_ELEM) visit(parseAttributes(value));
  });
}

/** As in `Element`. */
export function elementKey(parts: ReadonlyMap<number, Uint8Array>): string | undefined {
  const key = readKey(parts.get(ELEM_KEY));
  return key === undefined ? undefined : key + (readKey(parts.get(ELEM_KEY_END)) ?? '');
}

function readElements(message: Message): Element[] {
  const elements: Element[] = [];
  elementsIn(message, (parts) => {
    const key = elementKey(parts);
    if (key !== undefined) elements.push({ key, data: readData(parts.get(ELEM_DATA)) });
  });
  return elements;
}

function readKey(nest: Uint8Array | undefined): string | undefined {
  const bytes = nest && parseAttributes(nest).get(DATA_VALUE);
  return bytes && Buffer.from(bytes).toString('latin1');
}

function readData(nest: Uint8Array | undefined): ElementData {
  if (!nest) return { kind: 'none' };
  const parts = parseAttributes(nest);
  const value = parts.get(DATA_VALUE);
  if (value) return { kind: 'value', bytes: Buffer.from(value).toString('latin1') };
  const verdict = parts.get(DATA_VERDICT);
  const fields = verdict && parseAttributes(verdict);
  const code = fields?.get(VERDICT_CODE);
  const chain = fields?.get(VERDICT_CHAIN);
  return code && chain && viewOf(code).getInt32(0) === NFT_GOTO
    ? { kind: 'goto', chain: textOf(chain) }
    : { kind: 'none' };
}
