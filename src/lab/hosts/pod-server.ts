// A pod of the lab: answers on TCP (HTTP) and UDP with its name and the source address that it saw.
// Called with the pod's name and its node's; stops with its parent.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { ECHO_PATH, POD_PORT, type PodAnswer } from '../pod-answer.ts';

const [pod = '', node = ''] = process.argv.slice(2);

const answer = (source: string): string =>
  `${JSON.stringify({ pod, node, source: source.replace(/^::ffff:/, '') } satisfies PodAnswer)}\n`;

createServer((request, response) => {
  if (request.url === ECHO_PATH) {
    request.pipe(response);
    return;
  }
  // A connection a request, so that each one is balanced anew.
  response.setHeader('connection', 'close');
  response.setHeader('content-type', 'application/json');
  response.end(answer(request.socket.remoteAddress ?? ''));
}).listen(POD_PORT, '::', started);

const datagrams = createSocket('udp6', (_, { address, port }) =>
  datagrams.send(answer(address), port, address),
);
datagrams.bind(POD_PORT, '::', started);

let waitingFor = 2;
function started(): void {
  if (--waitingFor === 0) process.send?.('ready');
}
process.on('disconnect', () => process.exit(0));
