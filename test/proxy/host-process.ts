// Runs in a network namespace as a host or pod: answers on ports with its name and whom it sees, and asks others.
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { answerCalls } from './answer-calls.ts';

export type Transport = 'TCP' | 'UDP';

export interface Question {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** UDP: the source port; absent: any. */
  readonly from?: number;
  /** The source address; absent: any. */
  readonly source?: string;
  /** Milliseconds to wait for an answer; absent: as long as it can take at all. */
  readonly patience?: number;
}

/** Who answered and whom they saw, or the error's code. */
export type Reply = { readonly name: string; readonly source: string } | { readonly error: string };

/** Nothing here takes this long unless packets are lost: milliseconds. */
const DEADLINE = 8_000;

let asking = false;
const collected: Reply[] = [];
let finished: Promise<void> | undefined;

/** Connections that `open` made, by number, and the code of the error that ended one. */
const opened: Socket[] = [];
const ended = new Map<number, string>();

answerCalls({
  serve,
  /** Says over and over what a client says, with a name before it. */
  echo(name: string, port: number) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => socket.write(`${name}: ${data}`));
    });
    return new Promise<void>((resolve) => server.listen(port, '::', resolve));
  },
  /** Opens a TCP connection that stays; resolves with its number, or rejects where nobody takes it. */
  open(address: string, port: number) {
    const socket = connect({ host: address, port });
    const number = opened.push(socket) - 1;
    return new Promise<number>((resolve, reject) => {
      socket.once('connect', () => resolve(number));
      socket.on('error', (error: NodeJS.ErrnoException) => {
        ended.set(number, error.code ?? error.message);
        reject(error);
      });
    });
  },
  /** Says something on a connection; resolves with what comes back, or with the error's code. */
  say(number: number, text: string) {
    const socket = opened[number];
    // On a busy machine the last packet of the handshake may be the one that meets the reset.
    const error = ended.get(number);
    if (error !== undefined) return error;
    return new Promise<string>((resolve) => {
      socket?.once('data', (data) => resolve(data.toString()));
      socket?.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket?.write(text);
    });
  },
  ask,
  async askTimes(question: Question, times: number) {
    const replies: Reply[] = [];
    for (let i = 0; i < times; i++) replies.push(await ask(question));
    return replies;
  },
  /** Asks over and over until `stopAsking`; resolves after the first reply. */
  async startAsking(question: Question) {
    asking = true;
    collected.push(await ask(question));
    finished = (async () => {
      while (asking) collected.push(await ask(question));
    })();
  },
  async stopAsking() {
    asking = false;
    await finished;
    return collected.splice(0);
  },
});

async function serve(name: string, transport: Transport, port: number): Promise<void> {
  const answer = (source = '') => JSON.stringify({ name, source: source.replace('::ffff:', '') });
  if (transport === 'TCP') {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(answer(socket.remoteAddress));
    });
    return new Promise((resolve) => server.listen(port, '::', resolve));
  }
  for (const [type, address] of [
    ['udp4', '0.0.0.0'],
    ['udp6', '::'],
  ] as const) {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (_, { address, port }) => socket.send(answer(address), port, address));
    await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  }
}

/** Of UDP: a flow of an earlier question would lead this one where it went. */
let lastPort = 20_000;

function freshPort(): number {
  lastPort = lastPort < 60_000 ? lastPort + 1 : 20_001;
  return lastPort;
}

function ask({ transport, address, port, from, source, patience = DEADLINE }: Question): Promise<Reply> {
  return new Promise((resolve) => {
    const reply = (text: string) => end(JSON.parse(text));
    const onError = (error: NodeJS.ErrnoException) => end({ error: error.code ?? error.message });
    const timeout = setTimeout(() => end({ error: 'no answer' }), patience);
    let close: () => void;
    const end = (value: Reply) => {
      clearTimeout(timeout);
      close();
      resolve(value);
    };
    if (transport === 'TCP') {
      const socket = connect({
        host: address,
        port,
        ...(source === undefined ? {} : { localAddress: source }),
      });
      close = () => socket.destroy();
      socket.on('data', (data) => reply(data.toString())).on('error', onError);
      return;
    }
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    close = () => {
      socket.removeAllListeners('error').on('error', () => {});
      socket.close();
    };
    socket.on('message', (data) => reply(data.toString())).on('error', onError);
    socket.bind(from ?? freshPort(), source, () =>
      socket.connect(port, address, (error?: Error) => {
        if (error) onError(error);
        else socket.send('?');
      }),
    );
  });
}
