// Figures on announcing. No series is per address: addresses come and go.
import { Counter, Gauge, type Registry } from 'prom-client';
import { DROP_REASONS } from './frame-drop.ts';

export interface ArpMetrics {
  readonly received: Counter<'protocol'>;
  readonly answered: Counter<'protocol'>;
  readonly gratuitous: Counter<'protocol'>;
  readonly dropped: Counter<'reason'>;
  readonly owned: Gauge<'family'>;
}

export function arpMetrics(registry: Registry): ArpMetrics {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, label: L) =>
    new Counter({ name: `fairlead_arp_${name}_total`, help, labelNames: [label], registers });
  const dropped = counter(
    'frames_dropped',
    'Frames heard and not answered, or not sent, by reason',
    'reason',
  );
  for (const reason of DROP_REASONS) dropped.inc({ reason }, 0);
  return {
    received: counter('frames_received', 'ARP and NDP frames heard', 'protocol'),
    answered: counter('answers_sent', 'Requests answered', 'protocol'),
    gratuitous: counter('gratuitous_frames_sent', 'Frames sent unasked', 'protocol'),
    dropped,
    owned: new Gauge({
      name: 'fairlead_arp_addresses_owned',
      help: 'Addresses that this node announces',
      labelNames: ['family'],
      registers,
    }),
  };
}
