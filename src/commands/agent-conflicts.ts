// Tells the Services that have an address of a conflict over it, and of an announcement that does not arrive.
import { hostname } from 'node:os';
import { servedAddresses } from '../api/service-addresses.ts';
import type { Conflict, ConflictPolicy } from '../arp/address-checks.ts';
import type { WireVerdict } from '../arp/wire-checks.ts';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder, type EventText } from '../kube/events.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { ServiceObject } from '../kube/objects.ts';
import type { Ip } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import { conflictEvent } from '../status/conflict-event.ts';
import { unseenEvent } from '../status/unseen-event.ts';
import type { Followed, Process } from './processes.ts';

export function conflictTeller(
  { api, log }: Process,
  { store }: Followed<ServiceObject>,
  { nodeName, onConflict }: { readonly nodeName: string; readonly onConflict: ConflictPolicy },
): (address: Ip, conflict: Conflict | undefined) => void {
  const events = recorder(api, log);
  return (address, conflict) =>
    tell(store.values(), address, events, conflictEvent(address, nodeName, conflict, onConflict));
}

export function unseenTeller(
  { api, log }: Process,
  { store }: Followed<ServiceObject>,
  nodeName: string,
): (address: Ip, verdict: WireVerdict, before: WireVerdict | undefined) => void {
  const events = recorder(api, log);
  return (address, verdict, before) => {
    const event = unseenEvent(address, nodeName, verdict);
    const wasWrong = before === 'not seen' || before === 'other host';
    if (!event || verdict === before || (verdict === 'verified' && !wasWrong)) return;
    if (verdict !== 'verified') log.warn({ address, verdict }, 'an announcement does not arrive');
    tell(store.values(), address, events, event);
  };
}

function recorder(api: KubeApi, log: Logger): EventRecorder {
  return new EventRecorder({ api, clock: systemClock, log, instance: hostname(), component: 'agent' });
}

function tell(services: Iterable<ServiceObject>, address: Ip, events: EventRecorder, event: EventText): void {
  for (const service of services) {
    if (!servedAddresses(service).includes(address)) continue;
    events.record({ ...service, kind: 'Service', apiVersion: 'v1' }, event);
  }
}
