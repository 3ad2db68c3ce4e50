// Keeps one connection to a pod's echo open, and tells of each line that comes back. Called with host and milliseconds.
import { request } from 'node:http';
import { ECHO_PATH } from '../../src/lab/pod-answer.ts';

const [host = '', every = ''] = process.argv.slice(2);
const out = request({ host, port: 80, method: 'POST', path: ECHO_PATH, agent: false }, (response) => {
  response.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.trimEnd().split('\n')) process.send?.({ came: Number(line) });
  });
  response.on('close', () => process.send?.({ ended: 'closed' }));
});
out.on('error', ({ message }) => process.send?.({ ended: message }));
let sent = 0;
setInterval(() => out.write(`${++sent}\n`), Number(every));
process.on('disconnect', () => process.exit(0));
