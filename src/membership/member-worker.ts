// The membership thread: nothing else runs in it, so that heartbeats wait for nothing.
import { setTimeout as wait } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Deadlines } from './deadlines.ts';
import { MemberHost } from './member-host.ts';
import type { Order, Report, ThreadOptions } from './thread-messages.ts';

/** Milliseconds before a port that another process has is tried again. */
const RETRY = 1_000;

const options = workerData as ThreadOptions; // as MembershipThread starts us
const report = (what: Report) => parentPort?.postMessage(what);

// Orders that come before the port is ours wait in the port of the parent.
const host = await start();
report({ kind: 'listening', port: host.port });
parentPort?.on('message', (order: Order) => carryOut(order));

async function start(): Promise<MemberHost> {
  for (;;) {
    try {
      return await MemberHost.start({
        ...options,
        deadlines: new Deadlines(options.memory),
        onHeld: (version, held) => report({ kind: 'held', version, held }),
        onContended: (addresses) => report({ kind: 'contended', addresses }),
        onFormer: (former) => report({ kind: 'former', former }),
        onStates: (states, hasQuorum) => report({ kind: 'states', states, hasQuorum }),
        onAdopted: (epoch) => report({ kind: 'adopted', epoch }),
        onHeard: (id, epoch) => report({ kind: 'heard', id, epoch }),
        onLook: (nonce, address) => report({ kind: 'look', nonce, address }),
        onSeen: (id, seen) => report({ kind: 'seen', id, seen }),
      });
    } catch (error) {
      report({ kind: 'problem', message: (error as Error).message }); // the system's
      await wait(RETRY);
    }
  }
}

function carryOut(order: Order): void {
  switch (order.kind) {
    case 'keys':
      host.setKeys(order.keys);
      return;
    case 'roster':
      host.setRoster(order.roster);
      return;
    case 'want':
      host.want(order.version, order.addresses);
      return;
    case 'leave':
      host.leave(order.leaving);
      return;
    case 'links':
      host.setLinks(order.links);
      return;
    case 'probe':
      host.probe(order.peers);
      return;
    case 'look':
      host.look(order.id, order.to, order.address);
      return;
    case 'seen':
      host.answerLook(order.nonce, order.seen);
      return;
    case 'figures': {
      report({ kind: 'figures', id: order.id, figures: { counts: host.counts, delay: host.takeDelay() } });
      return;
    }
  }
}
