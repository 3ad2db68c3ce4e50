// What forwarding cannot do for a Service, said on the Service.
import { systemClock } from '../clock/clock.ts';
import { EventRecorder, type EventText } from '../kube/events.ts';
import type { NodeObject, ServiceObject } from '../kube/objects.ts';
import { NodeReadiness } from '../membership/membership.ts';
import type { Followed, Process } from './processes.ts';

export interface ForwardingEvents {
  healthCheckRefused(serviceKey: string, problem: string): void;
  /** `complaints`: why its connections are not balanced as it asks; empty: they are. */
  balancingRefused(serviceKey: string, complaints: readonly string[]): void;
}

export function forwardingEvents(
  { api, log }: Process,
  services: Followed<ServiceObject>,
  nodes: Followed<NodeObject>,
  nodeName: string,
): ForwardingEvents {
  const events = new EventRecorder({ api, clock: systemClock, log, instance: nodeName, component: 'agent' });
  const record = (serviceKey: string, text: EventText) => {
    const service = services.store.get(serviceKey);
    if (service) events.record({ ...service, apiVersion: 'v1', kind: 'Service' }, text);
  };
  const readiness = new NodeReadiness(nodes.store);
  /** Of what all nodes know one speaks. */
  const isSpeaker = () => {
    const names = [...nodes.store.values()].map(({ metadata }) => metadata.name);
    return names.filter((name) => readiness.isAlive(name)).sort()[0] === nodeName;
  };
  return {
    healthCheckRefused(serviceKey, problem) {
      log.error({ service: serviceKey, error: problem }, 'cannot serve a Service’s health check node port');
      record(serviceKey, {
        type: 'Warning',
        reason: 'FailedToStartServiceHealthcheck',
        action: 'Listen',
        note: `node ${nodeName} cannot listen on the health check port: ${problem}`,
      });
    },
    balancingRefused(serviceKey, complaints) {
      if (complaints.length === 0 || !isSpeaker()) return;
      const note = complaints.join('. ');
      record(serviceKey, { type: 'Warning', reason: 'LoadBalancingRefused', action: 'Balance', note });
    },
  };
}
