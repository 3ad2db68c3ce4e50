// Requests over a netlink socket: one at a time, each with its acknowledgement, dump or batch answer.
import { constants } from 'node:os';
import type { Clock, Timer } from '../clock/clock.ts';
import type { NetlinkSocket, NetlinkSocketOptions, OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import {
  type Message,
  MessageBuilder,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseAcknowledgement,
  parseMessages,
} from './message.ts';

/** The kernel answers within microseconds; this only ends waiting for what will never come. Milliseconds. */
const ANSWER_TIMEOUT = 10_000;
/** A dump that changed underneath is asked for again this many times. */
const DUMP_TRIES = 10;

/** The kernel refused a message, or its answer was lost (`code` ENOBUFS or ETIMEDOUT: it may have been carried out). */
export class NetlinkError extends Error {
  readonly code: string;
  /** Of a batch: which message was refused, counted from 0. */
  readonly index: number | undefined;

  constructor(code: string, message: string, index?: number) {
    super(message);
    this.name = 'NetlinkError';
    this.code = code;
    this.index = index;
  }
}

/** Writes one message's body (the family's header and attributes) behind a header that the connection wrote. */
export type WriteBody = (builder: MessageBuilder) => void;

export interface Request {
  readonly type: number;
  /** Besides NLM_F_REQUEST and NLM_F_ACK. */
  readonly flags?: number;
  readonly body: WriteBody;
}

interface Pending {
  readonly send: () => void;
  readonly onMessage: (message: Message) => void;
  readonly reject: (error: Error) => void;
}

export class NetlinkConnection {
  readonly #socket: NetlinkSocket;
  readonly #clock: Clock;
  readonly #queue: Pending[] = [];
  #current: Pending | undefined;
  #timeout: Timer | undefined;
  #sequence = 1;
  #failure: Error | undefined;

  constructor(
    options: { readonly open: OpenNetlinkSocket; readonly clock: Clock } & Pick<
      NetlinkSocketOptions,
      'protocol' | 'networkNamespace'
    >,
  ) {
    const { open, clock, ...socket } = options;
    this.#clock = clock;
    this.#socket = open({
      ...socket,
      onDatagram: (datagram) => {
        for (const message of parseMessages(datagram)) this.#current?.onMessage(message);
      },
      onError: (error) => this.#onError(error),
    });
  }

  /** Sends one request and waits for its acknowledgement. Rejects with NetlinkError when the kernel refuses it. */
  request({ type, flags = 0, body }: Request): Promise<void> {
    const sequence = this.#take(1);
    const message = new MessageBuilder().begin(type, NLM_F_REQUEST | NLM_F_ACK | flags, sequence);
    body(message);
    message.end();
    return this.#exchange(message.bytes(), (incoming, resolve, reject) => {
      if (incoming.type !== NLMSG_ERROR || incoming.sequence !== sequence) return;
      const error = errorOf(incoming);
      if (error) reject(error);
      else resolve();
    });
  }

  /** Asks for a table and hands each message of the answer to `visit`. A dump that was interrupted starts over. */
  async dump<T>({ type, flags = 0, body }: Request, read: (message: Message) => T | undefined): Promise<T[]> {
    for (let tries = 0; ; tries++) {
      const sequence = this.#take(1);
      const message = new MessageBuilder().begin(type, NLM_F_REQUEST | NLM_F_DUMP | flags, sequence);
      body(message);
      message.end();
      const found: T[] = [];
      let interrupted = false;
      await this.#exchange(message.bytes(), (incoming, resolve, reject) => {
        if (incoming.sequence !== sequence) return;
        interrupted ||= (incoming.flags & NLM_F_DUMP_INTR) !== 0;
        if (incoming.type === NLMSG_DONE) return resolve();
        if (incoming.type === NLMSG_ERROR)
          return reject(errorOf(incoming) ?? new NetlinkError('EPROTO', 'dump: no data'));
        const value = read(incoming);
        if (value !== undefined) found.push(value);
      });
      if (!interrupted || tries === DUMP_TRIES) return found;
    }
  }

  /**
   * Sends `count` messages that `write` puts into one datagram with consecutive sequence numbers from `first`,
   * the last of them asking for an acknowledgement. Rejects with the first message that the kernel refused.
   */
  batch(count: number, write: (builder: MessageBuilder, first: number) => void): Promise<void> {
    const first = this.#take(count);
    const message = new MessageBuilder(65_536);
    write(message, first);
    return this.#exchange(message.bytes(), (incoming, resolve, reject) => {
      const index = incoming.sequence - first;
      if (incoming.type !== NLMSG_ERROR || index < 0 || index >= count) return;
      const error = errorOf(incoming, index);
      if (error) reject(error);
      else if (index === count - 1) resolve();
    });
  }

  /** What waits is refused; the kernel's tables stay as they are. */
  close(): void {
    this.#socket.close();
    this.#fail(new NetlinkError('ECANCELED', 'the netlink connection was closed'));
  }

  #take(count: number): number {
    const first = this.#sequence;
    this.#sequence = (first + count) % 0x7fff_0000;
    return first;
  }

  #exchange(
    datagram: Uint8Array,
    onMessage: (message: Message, resolve: () => void, reject: (error: Error) => void) => void,
  ): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        if (this.#current !== pending) return;
        this.#current = undefined;
        this.#timeout?.cancel();
        settle();
        this.#next();
      };
      const pending: Pending = {
        send: () => this.#socket.send(datagram),
        onMessage: (message) =>
          onMessage(
            message,
            () => finish(resolve),
            (error) => finish(() => reject(error)),
          ),
        reject: (error) => (this.#current === pending ? finish(() => reject(error)) : reject(error)),
      };
      this.#queue.push(pending);
      if (!this.#current) this.#next();
    });
  }

  #next(): void {
    const pending = this.#queue.shift();
    this.#current = pending;
    if (!pending) return;
    this.#timeout = this.#clock.setTimer(ANSWER_TIMEOUT, () =>
      pending.reject(new NetlinkError('ETIMEDOUT', `the kernel did not answer within ${ANSWER_TIMEOUT} ms`)),
    );
    try {
      pending.send();
    } catch (error) {
      pending.reject(asNetlinkError(error));
    }
  }

  #onError(error: NodeJS.ErrnoException): void {
    // ENOBUFS: answers were dropped; the request under way may or may not have been carried out.
    if (error.code === 'ENOBUFS') this.#current?.reject(asNetlinkError(error));
    else this.#fail(asNetlinkError(error));
  }

  #fail(error: Error): void {
    this.#failure = error;
    const waiting = this.#queue.splice(0);
    this.#current?.reject(error);
    for (const pending of waiting) pending.reject(error);
  }
}

function errorOf(message: Message, index?: number): NetlinkError | undefined {
  const { errno, text } = parseAcknowledgement(message);
  if (errno === 0) return undefined;
  const code = ERRNO_NAMES.get(errno) ?? `E${errno}`;
  return new NetlinkError(
    code,
    text === '' ? `the kernel refused it: ${code}` : `the kernel refused it: ${code}: ${text}`,
    index,
  );
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

function asNetlinkError(error: unknown): NetlinkError {
  const { code = 'EIO', message } = error as NodeJS.ErrnoException; // the addon throws nothing else
  return new NetlinkError(code, message);
}
