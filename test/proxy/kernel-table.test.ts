// Our picture of the kernel's elements when its answers fail: on a recorded socket, since the real one does not.
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { KernelTable, RefusedError } from '../../src/proxy/kernel-table.ts';
import { DEFAULT_RULES, SET_NAMES } from '../../src/proxy/rules.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { acknowledgement, done } from '../netlink/answers.ts';

const GETSETELEM = 0x0a0d;
const BATCH_BEGIN = 0x10;
const ELEMENT = { set: 'cluster4', key: '\x0a\0\0\x01', wanted: { kind: 'none' } } as const;

/** A kernel without elements; `batch` answers each transaction, given the sequence number of its last message. */
function kernel(batch: (last: number) => readonly Uint8Array[]) {
  const recorder = new NetlinkRecorder((datagram) => {
    const messages = parseMessages(datagram);
    const [first] = messages;
    if (first?.type === BATCH_BEGIN) return batch(messages.at(-2)?.sequence ?? 0);
    return [done(first?.sequence ?? 0)];
  });
  const sent = () => recorder.datagrams.map((datagram) => parseMessages(datagram)[0]?.type);
  return {
    recorder,
    sent,
    table: new KernelTable({
      open: recorder.open,
      clock: systemClock,
      rules: DEFAULT_RULES,
      onForeignChange: () => {},
    }),
  };
}

describe('a kernel table', () => {
  it('remembers what the kernel accepted', async () => {
    const { table, sent } = kernel((last) => [acknowledgement(last)]);
    await table.apply([ELEMENT, ELEMENT]);
    expect(table.size).toBe(1);
    await table.apply([ELEMENT]);
    expect(sent()).toEqual([BATCH_BEGIN]);
    await table.apply([{ ...ELEMENT, wanted: undefined }]);
    expect(table.size).toBe(0);
    table.close();
  });

  it.each([
    ['EEXIST', 17], // another element is under its key
    ['EBUSY', 16],
    ['ENOENT', 2],
    ['ENOSPC', 28],
  ])('believes what it believed when the kernel refuses an element (%s)', async (code, errno) => {
    const { table, sent } = kernel((last) => [acknowledgement(last, errno)]);
    const error = await table.apply([ELEMENT]).catch((reason) => reason);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.cause).toMatchObject({ code });
    expect(table.size).toBe(0);
    expect(sent()).toEqual([BATCH_BEGIN]);
    table.close();
  });

  it('holds no element to blame when it may change nothing (EPERM)', async () => {
    // The kernel refuses the batch as a whole, by its beginning.
    const { table } = kernel((last) => [acknowledgement(last - 1, 1)]);
    const error = await table.apply([ELEMENT]).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'EPERM', message: expect.stringContaining('CAP_NET_ADMIN') });
    expect(error).not.toBeInstanceOf(RefusedError);
    table.close();
  });

  it.each(['ENOBUFS', 'EBADF'])('looks anew by another socket when the answer is lost (%s)', async (code) => {
    const { table, sent, recorder } = kernel(() => {
      queueMicrotask(() => recorder.fail(code));
      return [];
    });
    const error = await table.apply([ELEMENT]).catch((reason) => reason);
    expect(error.code).toBe(code);
    expect(error).not.toBeInstanceOf(RefusedError);
    expect(new Set(sent())).toEqual(new Set([BATCH_BEGIN, GETSETELEM]));
    expect(sent()).toHaveLength(1 + SET_NAMES.length);
    table.close();
  });

  it('looks anew when the socket cannot take a transaction', async () => {
    const { recorder, sent } = kernel(() => []);
    const table = new KernelTable({
      clock: systemClock,
      rules: DEFAULT_RULES,
      onForeignChange: () => {},
      open(options) {
        const socket = recorder.open(options);
        return {
          ...socket,
          send(datagram) {
            if (parseMessages(datagram)[0]?.type === BATCH_BEGIN)
              throw Object.assign(new Error('sending: Message too long'), { code: 'EMSGSIZE' });
            socket.send(datagram);
          },
        };
      },
    });
    await expect(table.apply([ELEMENT])).rejects.toMatchObject({ code: 'EMSGSIZE', refused: [] });
    expect(new Set(sent())).toEqual(new Set([GETSETELEM]));
    table.close();
  });

  it('reads nothing more once it is closed', async () => {
    const { table, sent } = kernel(() => []);
    const applied = table.apply([ELEMENT]);
    await Promise.resolve();
    table.close();
    await expect(applied).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(sent().filter((type) => type === GETSETELEM)).toEqual([]);
  });
});
