// Requests to the kernel: what comes of them, whatever the kernel says, drops or leaves out.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { NetlinkConnection, type Request } from '../../src/netlink/connection.ts';
import {
  type Message,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  parseAttributes,
  parseMessages,
  textOf,
} from '../../src/netlink/message.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';
import { acknowledgement, done, message, together } from './answers.ts';

const ANY: Request = { type: 16, body: (builder) => builder.raw([1, 2, 3, 4]) };
const NETFILTER: Request = { type: (10 << 8) | 3, body: (builder) => builder.raw([1, 0, 0, 0]) };

describe('a connection to a scripted kernel', () => {
  let clock: VirtualClock;
  /** Answers to the datagrams as they come; the last one answers all later ones too. */
  let answers: ((messages: readonly Message[]) => readonly Uint8Array[])[];
  let recorder: NetlinkRecorder;
  let connection: NetlinkConnection;

  beforeEach(() => {
    clock = new VirtualClock();
    answers = [];
    recorder = new NetlinkRecorder((datagram) => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      return answer?.(parseMessages(datagram)) ?? [];
    });
    connection = new NetlinkConnection({ open: recorder.open, clock, protocol: NETLINK_ROUTE });
    return () => connection.close();
  });

  const sent = () => recorder.datagrams.map(parseMessages);
  const accept = (messages: readonly Message[]) => messages.map(({ sequence }) => acknowledgement(sequence));
  const numberIn = ({ payload }: Message) => payload[0];

  it('asks for an acknowledgement and waits for its own', async () => {
    answers = [
      ([request]) => [
        acknowledgement(77), // of somebody else
        message(20, request?.sequence ?? 0, new Uint8Array(4)),
        acknowledgement(request?.sequence ?? 0),
      ],
    ];
    await connection.request({ ...ANY, flags: NLM_F_CREATE });
    expect(sent()).toMatchObject([[{ type: 16, flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE }]]);
    expect(sent()[0]?.[0]?.payload).toEqual(Uint8Array.of(1, 2, 3, 4));
  });

  it('rejects with the kernel’s code and words', async () => {
    answers = [([request]) => [acknowledgement(request?.sequence ?? 0, 17, 'it is there already')]];
    await expect(connection.request(ANY)).rejects.toMatchObject({
      name: 'NetlinkError',
      code: 'EEXIST',
      message: 'the kernel refused it: EEXIST: it is there already',
      refused: [],
    });
  });

  it('names the capability that a refusal is about', async () => {
    answers = [([request]) => [acknowledgement(request?.sequence ?? 0, 1)]];
    await expect(connection.request(ANY)).rejects.toThrow('CAP_NET_ADMIN');
  });

  it('has one request under way at a time, in order', async () => {
    answers = [accept];
    const ended: number[] = [];
    const requests = [1, 2, 3].map((i) => connection.request(ANY).then(() => ended.push(i)));
    expect(recorder.datagrams).toHaveLength(1);
    await Promise.all(requests);
    expect(ended).toEqual([1, 2, 3]);
    const sequences = sent().map(([request]) => request?.sequence);
    expect(new Set(sequences).size).toBe(3);
  });

  it('reads a table from several datagrams to its end, without what the reader leaves out', async () => {
    answers = [
      ([request]) => {
        const { sequence = 0 } = request ?? {};
        const row = (value: number, of = sequence) => message(16, of, Uint8Array.of(value, 0, 0, 0));
        return [together(row(1), row(2), row(99, 12345)), together(row(3), row(4)), done(sequence)];
      },
    ];
    const rows = await connection.dump(ANY, (found) => (numberIn(found) === 2 ? undefined : numberIn(found)));
    expect(rows).toEqual([1, 3, 4]);
    expect(sent()[0]).toMatchObject([{ flags: NLM_F_REQUEST | NLM_F_DUMP }]);
  });

  it('reads a table again when it changed while it was read', async () => {
    const dump =
      (flags: number, value: number, doneFlags = 0) =>
      ([request]: readonly Message[]) => {
        const { sequence = 0 } = request ?? {};
        return [message(16, sequence, Uint8Array.of(value, 0, 0, 0), flags), done(sequence, 0, doneFlags)];
      };
    answers = [dump(NLM_F_DUMP_INTR, 1), dump(0, 2, NLM_F_DUMP_INTR), dump(0, 3)];
    expect(await connection.dump(ANY, numberIn)).toEqual([3]);
    expect(recorder.datagrams).toHaveLength(3);
  });

  it('takes what two readings say alike, though others change something all the time', async () => {
    const reading =
      (...values: readonly number[]) =>
      ([request]: readonly Message[]) => {
        const { sequence = 0 } = request ?? {};
        const rows = values.map((value) =>
          message(16, sequence, Uint8Array.of(value, 0, 0, 0), NLM_F_DUMP_INTR),
        );
        return [...rows, done(sequence)];
      };
    answers = [reading(1, 2), reading(1), reading(1, 3), reading(1, 3)];
    expect(await connection.dump(ANY, numberIn)).toEqual([1, 3]);
    expect(recorder.datagrams).toHaveLength(4);
  });

  it('gives up on a table that never holds still', async () => {
    let value = 0;
    answers = [
      ([request]) => {
        const { sequence = 0 } = request ?? {};
        return [message(16, sequence, Uint8Array.of(value++, 0, 0, 0)), done(sequence, 0, NLM_F_DUMP_INTR)];
      },
    ];
    await expect(connection.dump(ANY, numberIn)).rejects.toMatchObject({ code: 'EINTR' });
    expect(recorder.datagrams).toHaveLength(10);
  });

  it.each([
    ['at its end', (sequence: number) => done(sequence, 11)],
    ['at its start', (sequence: number) => acknowledgement(sequence, 11)],
  ])('rejects when reading a table fails %s', async (_, failure) => {
    answers = [
      ([request]) => [
        message(16, request?.sequence ?? 0, new Uint8Array(4)),
        failure(request?.sequence ?? 0),
      ],
    ];
    await expect(connection.dump(ANY, numberIn)).rejects.toMatchObject({ code: 'EAGAIN' });
  });

  it('sends a batch between its marks, with one acknowledgement asked for', async () => {
    answers = [
      (messages) =>
        messages.filter(({ flags }) => flags & NLM_F_ACK).map(({ sequence }) => acknowledgement(sequence)),
    ];
    await connection.batch([NETFILTER, NETFILTER, NETFILTER]);
    const [batch = []] = sent();
    expect(batch.map(({ type }) => type)).toEqual([
      0x10,
      NETFILTER.type,
      NETFILTER.type,
      NETFILTER.type,
      0x11,
    ]);
    expect(batch.map(({ flags }) => flags & NLM_F_ACK)).toEqual([0, 0, 0, NLM_F_ACK, 0]);
    expect([batch[0], batch[4]].map((mark) => mark && [...mark.payload])).toEqual([
      [0, 0, 0, 10],
      [0, 0, 0, 10],
    ]);
    await connection.batch([]);
    expect(recorder.datagrams).toHaveLength(1);
  });

  it('names every refused message of a batch, and the first refusal', async () => {
    answers = [
      ([begin, first, , third, last]) => [
        acknowledgement((begin?.sequence ?? 0) - 1, 11), // late, of another request
        acknowledgement((last?.sequence ?? 0) + 9, 11),
        acknowledgement(first?.sequence ?? 0, 2, 'no such table'),
        acknowledgement(third?.sequence ?? 0, 17),
        acknowledgement(last?.sequence ?? 0),
      ],
    ];
    await expect(connection.batch([NETFILTER, NETFILTER, NETFILTER, NETFILTER])).rejects.toMatchObject({
      code: 'ENOENT',
      message: 'the kernel refused it: ENOENT: no such table',
      refused: [0, 2],
    });
  });

  it('names no message when the batch as a whole is refused', async () => {
    answers = [([begin]) => [acknowledgement(begin?.sequence ?? 0, 1)]];
    await expect(connection.batch([NETFILTER])).rejects.toMatchObject({ code: 'EPERM', refused: [] });
  });

  it('rejects after ten seconds without an answer, and goes on with the next', async () => {
    answers = [() => [], accept];
    const [lost, next] = [connection.request(ANY), connection.request(ANY)];
    const refused = expect(lost).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await clock.advance(9_999);
    expect(recorder.datagrams).toHaveLength(1);
    await clock.advance(1);
    await refused;
    await next;
    await clock.advance(60_000); // the timer of what was answered has ended with it
  });

  it('leaves no timer behind when it has its answer', async () => {
    const running = new Set<object>();
    const counting = {
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      setTimer: (delay: number, callback: () => void) => {
        const timer = clock.setTimer(delay, callback);
        running.add(timer);
        return { cancel: () => void running.delete(timer) };
      },
    };
    answers = [accept];
    const other = new NetlinkConnection({ open: recorder.open, clock: counting, protocol: NETLINK_ROUTE });
    const answered = other.request(ANY);
    expect(running.size).toBe(1);
    await answered;
    expect(running.size).toBe(0);
    answers = [() => []];
    const cancelled = expect(other.request(ANY)).rejects.toMatchObject({ code: 'ECANCELED' });
    other.close();
    await cancelled;
    expect(running.size).toBe(0);
  });

  it('does not take a late answer for that of the next request', async () => {
    let late = 0;
    answers = [
      ([request]) => {
        late = request?.sequence ?? 0;
        return [];
      },
      ([request]) => [acknowledgement(late, 2), acknowledgement(request?.sequence ?? 0)],
    ];
    const lost = expect(connection.request(ANY)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await clock.advance(10_000);
    await lost;
    await expect(connection.request(ANY)).resolves.toBe(undefined);
  });

  it('rejects what is under way when answers were dropped, and goes on', async () => {
    answers = [() => [], accept];
    const [lost, next] = [connection.request(ANY), connection.request(ANY)];
    recorder.fail('ENOBUFS');
    await expect(lost).rejects.toMatchObject({ code: 'ENOBUFS' });
    await next;
    recorder.fail('ENOBUFS'); // with nothing under way
    await connection.request(ANY);
  });

  it('rejects everything once its socket broke, or was closed', async () => {
    const refused = (code: string, requests: readonly Promise<void>[]) =>
      Promise.all(requests.map((request) => expect(request).rejects.toMatchObject({ code })));
    const broken = refused('EIO', [connection.request(ANY), connection.request(ANY)]);
    recorder.fail('EIO');
    await broken;
    await refused('EIO', [connection.request(ANY)]);

    const other = new NetlinkConnection({ open: recorder.open, clock, protocol: NETLINK_ROUTE });
    const cancelled = refused('ECANCELED', [other.request(ANY), other.batch([NETFILTER])]);
    other.close();
    await cancelled;
    await refused('ECANCELED', [other.request(ANY)]);
  });

  it('rejects what cannot be sent, and goes on with the next', async () => {
    let isFull = true;
    const full = new NetlinkConnection({
      open: (options) => {
        const socket = recorder.open(options);
        return {
          ...socket,
          send: (datagram) => {
            if (isFull)
              throw Object.assign(new Error('netlink socket: sending: too long'), { code: 'EMSGSIZE' });
            socket.send(datagram);
          },
        };
      },
      clock,
      protocol: NETLINK_ROUTE,
    });
    answers = [accept];
    await expect(full.request(ANY)).rejects.toMatchObject({
      code: 'EMSGSIZE',
      message: expect.stringContaining('too long'),
    });
    isFull = false;
    await full.request(ANY);
    full.close();
  });
});

describe('a connection to the kernel', () => {
  const networkNamespace = namespacePath('netlink-connection');
  beforeAll(() => ipBatch(['netns add netlink-connection']));
  afterAll(() => removeNamespaces('netlink-connection'));

  const connect = (protocol: typeof NETLINK_ROUTE | typeof NETLINK_NETFILTER) =>
    new NetlinkConnection({ open: openNetlinkSocket, clock: systemClock, protocol, networkNamespace });
  const RTM_DELLINK = 17;
  const RTM_GETLINK = 18;

  /** Creates (0) or deletes (2) an nftables table of family inet. */
  const table = (operation: 0 | 2, name: string): Request => ({
    type: (10 << 8) | operation,
    flags: operation === 0 ? NLM_F_CREATE : 0,
    body: (builder) => builder.raw([1, 0, 0, 0]).string(1, name),
  });
  it('reads its tables', async () => {
    const connection = connect(NETLINK_ROUTE);
    const body: Request['body'] = (builder) => builder.raw(new Uint8Array(16));
    const names = await connection.dump({ type: RTM_GETLINK, body }, ({ payload }) =>
      textOf(parseAttributes(payload, 16).get(3) ?? new Uint8Array()),
    );
    expect(names).toContain('lo');
    connection.close();
  });

  it('hears why a request is refused', async () => {
    const connection = connect(NETLINK_ROUTE);
    const index9999: Request['body'] = (builder) =>
      builder.raw([0, 0, 0, 0, 0x0f, 0x27, 0, 0, ...new Array(8).fill(0)]);
    await expect(connection.request({ type: RTM_DELLINK, body: index9999 })).rejects.toMatchObject({
      code: 'ENODEV',
    });
    const tooShort: Request['body'] = (builder) => builder.raw([0, 0, 0, 0]);
    await expect(connection.request({ type: RTM_DELLINK, body: tooShort })).rejects.toMatchObject({
      code: 'EINVAL',
    });
    connection.close();
  });

  it('says that a batch exceeds the send buffer', async () => {
    const connection = connect(NETLINK_NETFILTER);
    const body: Request['body'] = (builder) => builder.raw([1, 0, 0, 0]).attribute(1, new Uint8Array(60_000));
    const huge = Array.from({ length: 1_000 }, (): Request => ({ type: 10 << 8, body }));
    await expect(connection.batch(huge)).rejects.toMatchObject({ code: 'EMSGSIZE' });
    await connection.batch([table(0, 'one'), table(2, 'one')]);
    connection.close();
  });
});
