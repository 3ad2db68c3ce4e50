// Requests over a netlink socket: one at a time, each with its acknowledgement, dump or batch answer.
import { isDeepStrictEqual } from 'node:util';
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
  parseMessages,
} from './message.ts';
import { asNetlinkError, errorOf, NetlinkError } from './netlink-error.ts';

/** The kernel answers within microseconds; this only ends waiting for what will never come. Milliseconds. */
const ANSWER_TIMEOUT = 10_000;
/** A dump that changed underneath is asked for this many times. */
const DUMP_TRIES = 10;
/** linux/netfilter/nfnetlink.h */
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;

export interface Request {
  readonly type: number;
  /** Besides NLM_F_REQUEST and what the kind of exchange needs. */
  readonly flags?: number;
  /** Writes the family's header and the attributes behind the netlink header. */
  readonly body: (builder: MessageBuilder) => void;
}

type OnAnswer = (message: Message, resolve: () => void, reject: (error: Error) => void) => void;

interface Exchange {
  readonly datagram: Uint8Array;
  readonly onMessage: (message: Message) => void;
  readonly reject: (error: Error) => void;
}

export class NetlinkConnection {
  readonly #socket: NetlinkSocket;
  readonly #clock: Clock;
  readonly #waiting: Exchange[] = [];
  #current: Exchange | undefined;
  #timeout: Timer | undefined;
  #sequence = 1;
  #failure: Error | undefined;
  /** The number that the kernel has given to this socket; undefined before its first answer. */
  port: number | undefined;

  /** Opens the socket: throws what `open` throws. */
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
        for (const message of parseMessages(datagram)) {
          this.port = message.port;
          this.#current?.onMessage(message);
        }
      },
      onError: (error) => this.#onError(error),
    });
  }

  /** Sends one request and waits for its acknowledgement. Rejects with NetlinkError when the kernel refuses it. */
  request(request: Request): Promise<void> {
    const sequence = this.#take(1);
    const builder = new MessageBuilder();
    write(builder, request, NLM_F_ACK, sequence);
    return this.#exchange(builder.bytes(), (message, resolve, reject) => {
      if (message.type !== NLMSG_ERROR || message.sequence !== sequence) return;
      const error = errorOf(message);
      if (error) reject(error);
      else resolve();
    });
  }

  /**
   * Sends many requests in one datagram, each of which the kernel carries out or refuses by itself. Resolves with
   * what it says to each: undefined where it did. Few enough that refusals of all fit the receive buffer: some hundreds.
   */
  async requestEach(requests: readonly Request[]): Promise<(NetlinkError | undefined)[]> {
    const answers: (NetlinkError | undefined)[] = Array(requests.length).fill(undefined);
    if (requests.length === 0) return answers;
    const first = this.#take(requests.length);
    const builder = new MessageBuilder(65_536);
    // The kernel says each refusal, and of what it did only the last: it answers in order.
    for (const [i, request] of requests.entries())
      write(builder, request, i === requests.length - 1 ? NLM_F_ACK : 0, first + i);
    await this.#exchange(builder.bytes(), (message, resolve) => {
      const i = message.sequence - first;
      if (message.type !== NLMSG_ERROR || i < 0 || i >= requests.length) return;
      answers[i] = errorOf(message);
      if (i === requests.length - 1) resolve();
    });
    return answers;
  }

  /**
   * Asks for a table; `read` turns each message of the answer into a value, or undefined to leave it out.
   * A table that changed while it was read is read again; one that never holds still rejects with EINTR.
   */
  async dump<T>(request: Request, read: (message: Message) => T | undefined): Promise<T[]> {
    let before: readonly T[] | undefined;
    for (let tries = 1; tries <= DUMP_TRIES; tries++) {
      const { found, interrupted } = await this.#dumpOnce(request, read);
      // The kernel says the same where somebody changed a table that is none of ours, and may never stop doing so.
      if (!interrupted || isDeepStrictEqual(found, before)) return found;
      before = found;
    }
    throw new NetlinkError('EINTR', `the kernel's table changed during each of ${DUMP_TRIES} readings`);
  }

  /**
   * Sends all of `requests`, which are of one nfnetlink subsystem, as one transaction: the kernel carries out
   * all or none. Rejects with a NetlinkError that names every refused message; EMSGSIZE when the batch exceeds
   * the socket's send buffer (8 MiB as root; about 400 KiB in a user namespace).
   */
  async batch(requests: readonly Request[]): Promise<void> {
    const [head] = requests;
    if (!head) return;
    const first = this.#take(requests.length + 2);
    const last = first + requests.length;
    const builder = new MessageBuilder(65_536);
    // struct nfgenmsg: family, version, the subsystem in network order.
    const frame = (message: MessageBuilder) => message.raw([0, 0, 0, head.type >> 8]);
    write(builder, { type: NFNL_MSG_BATCH_BEGIN, body: frame }, 0, first);
    for (const [i, request] of requests.entries()) {
      const sequence = first + 1 + i;
      // One acknowledgement for all: asking for each would overflow the receive buffer.
      write(builder, request, sequence === last ? NLM_F_ACK : 0, sequence);
    }
    write(builder, { type: NFNL_MSG_BATCH_END, body: frame }, 0, last + 1);
    const refusals: NetlinkError[] = [];
    await this.#exchange(builder.bytes(), (message, resolve, reject) => {
      const { type, sequence } = message;
      if (type !== NLMSG_ERROR || sequence < first || sequence > last) return;
      const error = errorOf(message, sequence === first ? [] : [sequence - first - 1]);
      if (error) refusals.push(error);
      // Errors come in the order of the messages; one for the beginning stands for the whole batch.
      if (sequence !== last && sequence !== first) return;
      const [worst] = refusals;
      if (worst) {
        const refused = refusals.flatMap((refusal) => refusal.refused);
        reject(new NetlinkError(worst.code, worst.message, refused));
      } else if (sequence === last) resolve();
    });
  }

  /** Refuses what waits with ECANCELED; the kernel's tables stay as they are. */
  close(): void {
    this.#socket.close();
    this.#fail(new NetlinkError('ECANCELED', 'the netlink connection was closed'));
  }

  async #dumpOnce<T>(request: Request, read: (message: Message) => T | undefined) {
    const sequence = this.#take(1);
    const builder = new MessageBuilder();
    write(builder, request, NLM_F_DUMP, sequence);
    const found: T[] = [];
    let interrupted = false;
    await this.#exchange(builder.bytes(), (message, resolve, reject) => {
      if (message.sequence !== sequence) return;
      interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
        const error = errorOf(message);
        if (error) reject(error);
        else resolve();
        return;
      }
      const value = read(message);
      if (value !== undefined) found.push(value);
    });
    return { found, interrupted };
  }

  /** The first of `count` consecutive sequence numbers. */
  #take(count: number): number {
    if (this.#sequence + count > 0xffff_ffff) this.#sequence = 1;
    const first = this.#sequence;
    this.#sequence += count;
    return first;
  }

  #exchange(datagram: Uint8Array, onAnswer: OnAnswer): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        if (this.#current === exchange) {
          this.#current = undefined;
          this.#timeout?.cancel();
        }
        outcome();
        this.#next();
      };
      const refuse = (error: Error) => settle(() => reject(error));
      const onMessage = (message: Message) => onAnswer(message, () => settle(resolve), refuse);
      const exchange: Exchange = { datagram, onMessage, reject: refuse };
      this.#waiting.push(exchange);
      this.#next();
    });
  }

  #next(): void {
    if (this.#current) return;
    const exchange = this.#waiting.shift();
    if (!exchange) return;
    this.#current = exchange;
    this.#timeout = this.#clock.setTimer(ANSWER_TIMEOUT, () =>
      exchange.reject(new NetlinkError('ETIMEDOUT', `the kernel did not answer within ${ANSWER_TIMEOUT} ms`)),
    );
    try {
      this.#socket.send(exchange.datagram);
    } catch (error) {
      exchange.reject(asNetlinkError(error));
    }
  }

  #onError(error: NodeJS.ErrnoException): void {
    // ENOBUFS: answers were dropped; whether the request under way was carried out is not known.
    if (error.code === 'ENOBUFS') this.#current?.reject(asNetlinkError(error));
    else this.#fail(asNetlinkError(error));
  }

  #fail(error: Error): void {
    this.#failure = error;
    const waiting = this.#waiting.splice(0);
    this.#current?.reject(error);
    for (const exchange of waiting) exchange.reject(error);
  }
}

function write(
  builder: MessageBuilder,
  { type, flags = 0, body }: Request,
  more: number,
  sequence: number,
): void {
  builder.begin(type, NLM_F_REQUEST | flags | more, sequence);
  body(builder);
  builder.end();
}
