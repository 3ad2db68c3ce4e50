// Elements of nftables sets and maps by netlink: byte for byte, and the kernel itself.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { changeElements, type Element, listElements } from '../../src/netlink/nftables.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { NETLINK_NETFILTER } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { inNamespace, ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';
import { acknowledgement, done, message, together } from './answers.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex'));

describe('an element message', () => {
  const recorded = (answer: (last: number) => Uint8Array) => {
    const recorder = new NetlinkRecorder((datagram) => [
      answer(parseMessages(datagram).at(-2)?.sequence ?? 0),
    ]);
    const connection = new NetlinkConnection({
      open: recorder.open,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
    });
    return { recorder, connection };
  };

  it('adds a map’s element as key and data, and a verdict as its code and chain', async () => {
    const { recorder, connection } = recorded((last) => acknowledgement(last));
    await changeElements(connection, 't', [
      {
        set: 'm',
        operation: 'add',
        elements: [{ key: '\x0a\0\0\x01', data: { kind: 'value', bytes: '\x01\0\0\xfa' } }],
      },
      { set: 'v', operation: 'add', elements: [{ key: '\x01\0\0\xfa', data: { kind: 'goto', chain: 'c' } }] },
    ]);
    const [begin, first, second, end] = parseMessages(recorder.datagrams[0] ?? new Uint8Array());
    expect(begin).toMatchObject({ type: 0x10, flags: 1, payload: Uint8Array.of(0, 0, 0, 10) });
    expect(end).toMatchObject({ type: 0x11, flags: 1, payload: Uint8Array.of(0, 0, 0, 10) });
    // NFT_MSG_NEWSETELEM; NLM_F_REQUEST | NLM_F_CREATE, and the last asks for an acknowledgement.
    expect([first?.type, first?.flags, second?.type, second?.flags]).toEqual([0xa0c, 0x401, 0xa0c, 0x405]);
    expect(hex(first?.payload ?? new Uint8Array())).toBe(
      hex(
        bytesOf(`
          01000000 06000100 74000000 06000200 6d000000
          20000380 1c000180 0c000180 08000100 0a000001 0c000280 08000100 010000fa`),
      ),
    );
    expect(hex(second?.payload ?? new Uint8Array())).toBe(
      hex(
        bytesOf(`
          01000000 06000100 74000000 06000200 76000000
          2c000380 28000180 0c000180 08000100 010000fa
          18000280 14000280 08000100 fffffffc 06000200 63000000`),
      ),
    );
  });

  it('deletes by the key alone', async () => {
    const { recorder, connection } = recorded((last) => acknowledgement(last));
    const data = { kind: 'value', bytes: '\x01\0\0\xfa' } as const;
    await changeElements(connection, 't', [
      { set: 'm', operation: 'delete', elements: [{ key: '\x0a\0\0\x01', data }] },
    ]);
    const [, only] = parseMessages(recorder.datagrams[0] ?? new Uint8Array());
    expect([only?.type, only?.flags]).toEqual([0xa0e, 0x5]);
    expect(hex(only?.payload ?? new Uint8Array())).toBe(
      hex(
        bytesOf('01000000 06000100 74000000 06000200 6d000000 14000380 10000180 0c000180 08000100 0a000001'),
      ),
    );
  });

  it('is read with key and data; what is no element is left out', async () => {
    const listed = bytesOf(
      `
      01000000 06000100 74000000 06000200 6d000000
      50000380
      1c000180 0c000180 08000100 0a000001 0c000280 08000100 010000fa
      20000180 0c000180 08000100 0a000002 10000280 0c000280 08000100 fffffffc
      10000180 0c000180 08000100 0a000003`,
    );
    const recorder = new NetlinkRecorder((datagram) => {
      const sequence = parseMessages(datagram)[0]?.sequence ?? 0;
      return [
        together(message(0xa0c, sequence, listed, 2), message(0xa0f, sequence, listed, 2)),
        done(sequence),
      ];
    });
    const connection = new NetlinkConnection({
      open: recorder.open,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
    });
    expect(await listElements(connection, 't', 'm')).toEqual([
      { key: '\x0a\0\0\x01', data: { kind: 'value', bytes: '\x01\0\0\xfa' } },
      { key: '\x0a\0\0\x02', data: { kind: 'none' } },
      { key: '\x0a\0\0\x03', data: { kind: 'none' } },
    ]);
  });
});

describe('a listing', () => {
  const one = bytesOf(
    '01000000 06000100 74000000 06000200 6d000000 14000380 10000180 0c000180 08000100 0a000001',
  );
  const repeating = (times: number) => {
    const recorder = new NetlinkRecorder((datagram) => {
      const sequence = parseMessages(datagram)[0]?.sequence ?? 0;
      const listed = message(0xa0c, sequence, one, 2);
      return [...(recorder.datagrams.length <= times ? [listed] : []), listed, done(sequence)];
    });
    const connection = new NetlinkConnection({
      open: recorder.open,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
    });
    return { recorder, connection };
  };

  it('that repeats an element lacks another, and is asked for again', async () => {
    const { recorder, connection } = repeating(3);
    expect(await listElements(connection, 't', 'm')).toHaveLength(1);
    expect(recorder.datagrams).toHaveLength(4);
  });

  it('that never gets better is an error', async () => {
    const { connection } = repeating(Number.POSITIVE_INFINITY);
    await expect(listElements(connection, 't', 'm')).rejects.toMatchObject({ code: 'EINTR' });
  });
});

describe('elements in the kernel', () => {
  const NAMESPACE = `nftables-${process.pid}`;
  const connect = () =>
    new NetlinkConnection({
      open: openNetlinkSocket,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
      networkNamespace: namespacePath(NAMESPACE),
    });

  beforeAll(() => {
    ipBatch([`netns add ${NAMESPACE}`]);
    inNamespace(
      NAMESPACE,
      `nft 'table inet t { set s { type ipv4_addr; }; map m { type ipv4_addr : mark; }; map v { type mark : verdict; }; chain c { }; }'`,
    );
  });

  beforeEach(() => inNamespace(NAMESPACE, 'nft flush map inet t m'));

  afterAll(() => removeNamespaces(NAMESPACE));

  const numbered = (i: number): Element => ({
    key: String.fromCharCode(10, i >> 16, (i >> 8) & 255, i & 255),
    data: { kind: 'value', bytes: String.fromCharCode(i & 255, (i >> 8) & 255, i >> 16, 0xfa) },
  });
  const byKey = (elements: readonly Element[]) => elements.toSorted((a, b) => (a.key < b.key ? -1 : 1));

  it('are listed as they were added, more than one message holds, and as nft prints them', async () => {
    const connection = connect();
    const elements = Array.from({ length: 2_500 }, (_, i) => numbered(i));
    await changeElements(connection, 't', [{ set: 'm', operation: 'add', elements }]);
    expect(byKey(await listElements(connection, 't', 'm'))).toEqual(elements);
    expect(inNamespace(NAMESPACE, 'nft list map inet t m')).toContain('10.0.9.195 : 0xfa0009c3');
    await changeElements(connection, 't', [{ set: 'm', operation: 'delete', elements }]);
    expect(await listElements(connection, 't', 'm')).toEqual([]);
    connection.close();
  });

  it('of sets have no data, and verdicts name their chain', async () => {
    const connection = connect();
    const plain: Element = { key: '\x0a\0\0\x01', data: { kind: 'none' } };
    const verdict: Element = { key: '\x01\0\0\xfa', data: { kind: 'goto', chain: 'c' } };
    await changeElements(connection, 't', [
      { set: 's', operation: 'add', elements: [plain] },
      { set: 'v', operation: 'add', elements: [verdict] },
    ]);
    expect(await listElements(connection, 't', 's')).toEqual([plain]);
    expect(await listElements(connection, 't', 'v')).toEqual([verdict]);
    connection.close();
  });

  it('change together or not at all', async () => {
    const connection = connect();
    const change = changeElements(connection, 't', [
      { set: 'm', operation: 'add', elements: [numbered(1)] },
      { set: 'm', operation: 'delete', elements: [numbered(2)] },
      { set: 'nosuch', operation: 'add', elements: [numbered(3)] },
    ]);
    await expect(change).rejects.toMatchObject({ code: 'ENOENT', refused: [1, 2] });
    expect(await listElements(connection, 't', 'm')).toEqual([]);
    connection.close();
  });

  it('may be deleted and added again in one change, and are not replaced otherwise', async () => {
    const connection = connect();
    const [before, after] = [numbered(1), { ...numbered(1), data: numbered(2).data }];
    await changeElements(connection, 't', [{ set: 'm', operation: 'add', elements: [before] }]);
    const replaced = changeElements(connection, 't', [{ set: 'm', operation: 'add', elements: [after] }]);
    await expect(replaced).rejects.toMatchObject({ code: 'EEXIST', refused: [0] });
    await changeElements(connection, 't', [
      { set: 'm', operation: 'delete', elements: [before] },
      { set: 'm', operation: 'add', elements: [after] },
    ]);
    expect(await listElements(connection, 't', 'm')).toEqual([after]);
    connection.close();
  });

  it('of a set that is not there are refused, not taken for none', async () => {
    const connection = connect();
    await expect(listElements(connection, 't', 'nosuch')).rejects.toMatchObject({ code: 'ENOENT' });
    connection.close();
  });
});
