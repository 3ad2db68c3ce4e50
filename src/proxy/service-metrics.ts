// What each Service has had, as figures: read from the kernel when they are asked for.
import { Counter, type Registry } from 'prom-client';
import type { Logger } from '../observe/logger.ts';
import type { Traffic } from './service-counters.ts';

const LABELS = ['namespace', 'service'] as const;
type ServiceCounter = Counter<(typeof LABELS)[number] | 'direction'>;

export function serviceMetrics(
  registry: Registry,
  read: () => Promise<ReadonlyMap<string, Traffic>>,
  log: Logger,
): void {
  const refill = async (counter: ServiceCounter, fill: (key: string, traffic: Traffic) => void) => {
    try {
      const all = await read();
      counter.reset();
      for (const [key, traffic] of all) fill(key, traffic);
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'cannot read what Services have had');
    }
  };
  const labelsOf = (key: string) => {
    const [namespace = '', service = ''] = key.split('/');
    return { namespace, service };
  };
  const registers = [registry];
  const connections: ServiceCounter = new Counter({
    name: 'fairlead_service_connections_total',
    help: 'New connections to a Service through this node',
    labelNames: LABELS,
    registers,
    collect: () => refill(connections, (key, each) => connections.inc(labelsOf(key), each.connections)),
  });
  for (const unit of ['packets', 'bytes'] as const) {
    const counter: ServiceCounter = new Counter({
      name: `fairlead_service_${unit}_total`,
      help: `${unit} of a Service's connections through this node: received from its clients, and sent to them`,
      labelNames: [...LABELS, 'direction'],
      registers,
      collect: () =>
        refill(counter, (key, traffic) => {
          for (const direction of ['received', 'sent'] as const)
            if (traffic[direction].packets > 0)
              counter.inc({ ...labelsOf(key), direction }, traffic[direction][unit]);
        }),
    });
  }
}
