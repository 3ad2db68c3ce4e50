// Tells the Services that have an address of a conflict over it.
import { hostname } from 'node:os';
import { servedAddresses } from '../api/service-addresses.ts';
import type { Conflict, ConflictPolicy } from '../arp/address-checks.ts';
import { systemClock } from '../clock/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import type { ServiceObject } from '../kube/objects.ts';
import type { Ip } from '../net/address.ts';
import { conflictEvent } from '../status/conflict-event.ts';
import type { Followed, Process } from './processes.ts';

export function conflictTeller(
  { api, log }: Process,
  { store }: Followed<ServiceObject>,
  { nodeName, onConflict }: { readonly nodeName: string; readonly onConflict: ConflictPolicy },
): (address: Ip, conflict: Conflict | undefined) => void {
  const events = new EventRecorder({
    api,
    clock: systemClock,
    log,
    instance: hostname(),
    component: 'agent',
  });
  return (address, conflict) => {
    for (const service of store.values()) {
      if (!servedAddresses(service).includes(address)) continue;
      const regarding = { ...service, kind: 'Service', apiVersion: 'v1' };
      events.record(regarding, conflictEvent(address, nodeName, conflict, onConflict));
    }
  };
}
