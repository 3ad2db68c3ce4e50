// The membership thread: nothing else runs in it, so that heartbeats wait for nothing.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Deadlines } from './deadlines.ts';
import { MemberHost } from './member-host.ts';
import type { Order, Report, ThreadOptions } from './thread-messages.ts';

/** Milliseconds before a port that another process has is tried again. */
const RETRY = 1_000;
/** Milliseconds between two looks at how late timers are. */
const DELAY_RESOLUTION = 20;

const options = workerData as ThreadOptions; // as MembershipThread starts us
const report = (what: Report) => parentPort?.postMessage(what);
const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION });
delay.enable();

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
      const lateness = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - DELAY_RESOLUTION);
      const { counts } = host;
      const [p50, p99] = [delay.percentile(50), delay.percentile(99)];
      const figures = {
        counts,
        delay: { p50: lateness(p50), p99: lateness(p99), most: lateness(delay.max) },
      };
      delay.reset();
      report({ kind: 'figures', id: order.id, figures });
      return;
    }
  }
}
