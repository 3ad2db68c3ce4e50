// Figures on announcing. No series is per address: addresses come and go.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { ANSWER_COUNTS, type AnswerCounts, DROP_REASONS } from '../sockets/answering-socket.ts';

export interface ArpMetrics {
  readonly gratuitous: Counter<'protocol'>;
  readonly claims: Counter<'protocol'>;
  readonly owned: Gauge<'family'>;
  readonly inConflict: Gauge<'family'>;
  readonly conflicts: Counter<'family'>;
  /** Addresses that became ours, or ceased to be. */
  readonly changes: Counter<'change'>;
  /** Of single addresses, each time that something changed. */
  readonly elections: Counter<'outcome'>;
  readonly wireChecks: Counter<'result'>;
  readonly claimSeconds: Histogram<'use'>;
  /** Adds to the figures what a socket counts, from now until what it returns is called. */
  follow(counts: () => AnswerCounts): () => void;
}

export function arpMetrics(registry: Registry): ArpMetrics {
  const registers = [registry];
  const followed = new Map<() => AnswerCounts, AnswerCounts>();
  const add = (counts: () => AnswerCounts) => {
    const now = counts();
    const before = followed.get(counts);
    followed.set(counts, now);
    for (const name of ANSWER_COUNTS) {
      const more = now[name] - (before?.[name] ?? 0);
      if (more > 0) counterOf(name, more);
    }
  };
  const collect = () => {
    for (const counts of followed.keys()) add(counts);
  };
  const counter = <L extends string>(name: string, help: string, label: L) =>
    new Counter({ name: `fairlead_arp_${name}_total`, help, labelNames: [label], registers, collect });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `fairlead_arp_${name}`, help, labelNames: ['family'] as const, registers });
  const received = counter('frames_received', 'ARP and NDP frames heard', 'protocol');
  const answered = counter('answers_sent', 'Requests answered', 'protocol');
  const dropped = counter(
    'frames_dropped',
    'Frames heard and not answered, or not sent, by reason',
    'reason',
  );
  for (const reason of DROP_REASONS) dropped.inc({ reason }, 0);
  const counterOf = (name: keyof AnswerCounts, more: number) => {
    if (name === 'received arp' || name === 'received ndp') received.inc({ protocol: name.slice(-3) }, more);
    else if (name === 'answered arp' || name === 'answered ndp')
      answered.inc({ protocol: name.slice(-3) }, more);
    else dropped.inc({ reason: name }, more);
  };
  return {
    gratuitous: counter('gratuitous_frames_sent', 'Frames sent unasked', 'protocol'),
    claims: counter('foreign_claims', 'Times another host was heard to speak for our address', 'protocol'),
    owned: gauge('addresses_owned', 'Addresses that this node announces, or would but for a conflict'),
    inConflict: gauge('addresses_in_conflict', 'Of those, addresses that another host has, too'),
    changes: counter('address_changes', 'Addresses that this node gained or lost', 'change'),
    elections: counter('elections', 'Elections of a node for an address, by outcome', 'outcome'),
    wireChecks: counter('wire_checks', 'What other nodes saw of our addresses on the wire', 'result'),
    claimSeconds: new Histogram({
      name: 'fairlead_arp_claim_seconds',
      help: "From when an address became this node's until it was answered for",
      labelNames: ['use'],
      buckets: [0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10],
      registers,
    }),
    conflicts: counter('conflicts', 'Times an address was found with another host', 'family'),
    follow(counts) {
      followed.set(counts, counts());
      return () => {
        add(counts);
        followed.delete(counts);
      };
    },
  };
}
