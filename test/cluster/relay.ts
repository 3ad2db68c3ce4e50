// A server that hands each connection on to another place.
import { createServer, type Server, type Socket } from 'node:net';

export function relayTo(other: () => Socket): Server {
  return createServer((near) => {
    const far = other();
    near.on('error', () => far.destroy()).pipe(far);
    far.on('error', () => near.destroy()).pipe(near);
  });
}
