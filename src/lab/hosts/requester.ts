// Makes requests from the network namespace that it runs in, as its parent asks over IPC.
import { createSocket } from 'node:dgram';
import { request as httpRequest } from 'node:http';
import type { Answered, Asked, Reply } from '../requester.ts';

process.on('message', async (asked: Asked) => {
  const began = performance.now();
  const took = () => ({ milliseconds: performance.now() - began });
  let reply: Reply;
  try {
    const text = asked.protocol === 'http' ? await overHttp(asked) : await overUdp(asked);
    reply = { kind: 'answered', text, ...took() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException; // sockets throw Errors
    reply = { kind: 'failed', code: code ?? message, ...took() };
  }
  process.send?.({ id: asked.id, reply } satisfies Answered);
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');

function overHttp({ host, port, path = '/', timeout }: Asked): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        clearTimeout(timer);
        resolve(text);
      });
      response.on('error', reject);
    });
    const timer = setTimeout(() => request.destroy(timedOut()), timeout);
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.end();
  });
}

/** From a connected socket: that one hears that the port is closed. */
function overUdp({ host, port, timeout }: Asked): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const settle = (act: () => void) => {
      clearTimeout(timer);
      socket.close();
      act();
    };
    const timer = setTimeout(() => settle(() => reject(timedOut())), timeout);
    socket.once('error', (error) => settle(() => reject(error)));
    socket.once('message', (message) => settle(() => resolve(message.toString('utf8'))));
    socket.connect(port, host, () => socket.send('?'));
  });
}

function timedOut(): Error {
  return Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
}
