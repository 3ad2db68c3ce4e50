// Figures on membership, asked of its thread when somebody reads them.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { MembershipThread } from './membership-thread.ts';
import { NODE_STATES } from './message.ts';
import type { Figures } from './thread-messages.ts';

/** `thread`: undefined while there is none. */
export function membershipMetrics(registry: Registry, thread: () => MembershipThread | undefined): void {
  const registers = [registry];
  // One answer for all that are read together.
  let asked: Promise<Figures | undefined> | undefined;
  const figures = () => {
    asked ??= (thread()?.figures() ?? Promise.resolve(undefined)).finally(() => {
      asked = undefined;
    });
    return asked;
  };
  new Counter({
    name: 'fairlead_membership_messages_total',
    help: 'Messages between members; lost: the system did not take them',
    labelNames: ['direction'],
    registers,
    async collect() {
      const counts = (await figures())?.counts;
      this.reset();
      for (const direction of ['sent', 'received', 'lost'] as const)
        this.inc({ direction }, counts?.[direction] ?? 0);
    },
  });
  new Counter({
    name: 'fairlead_membership_messages_refused_total',
    help: 'Messages that were ignored, by reason',
    labelNames: ['reason'],
    registers,
    async collect() {
      const counts = (await figures())?.counts;
      this.reset();
      for (const [reason, count] of Object.entries(counts?.refused ?? {})) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'fairlead_membership_event_loop_delay_seconds',
    help: 'How late timers of the membership thread were since this was last read',
    labelNames: ['quantile'],
    registers,
    async collect() {
      const delay = (await figures())?.delay;
      if (!delay) return;
      this.set({ quantile: '0.5' }, delay.p50 / 1_000);
      this.set({ quantile: '0.99' }, delay.p99 / 1_000);
      this.set({ quantile: '1' }, delay.most / 1_000);
    },
  });
  new Gauge({
    name: 'fairlead_membership_quorum',
    help: 'Whether a majority of the voters is heard: without it this node may not answer for anything',
    registers,
    collect() {
      this.set(thread()?.hasQuorum ? 1 : 0);
    },
  });
  new Gauge({
    name: 'fairlead_membership_roster_epoch',
    help: 'Of the list of voters that is followed; 0: there is none, and addresses are answered for without a lease',
    registers,
    collect() {
      this.set(thread()?.epoch ?? 0);
    },
  });
  new Gauge({
    name: 'fairlead_membership_nodes',
    help: 'Nodes that take part, as a majority of the voters sees them',
    labelNames: ['state'],
    registers,
    collect() {
      const nodes = [...(thread()?.nodes.values() ?? [])];
      for (const state of NODE_STATES)
        this.set({ state }, nodes.filter((each) => each.state === state).length);
    },
  });
}
