// The event that tells of a change of state on a Service.

import { ALLOCATED_CONDITION } from '../api/service-addresses.ts';
import type { EventText } from '../kube/events.ts';
import type { Condition, ServiceObject } from '../kube/objects.ts';
import type { StatusPatch } from './service-status.ts';

/** Reasons that a cloud's work goes through by itself. */
const PROGRESS = ['Provisioning', 'Replacing', 'Settling'];

/** The event for a patch that was written; undefined where the state did not change. */
export function eventFor(before: ServiceObject, patch: StatusPatch): EventText | undefined {
  if (!patch.status?.conditions) return undefined;
  const condition = patch.status.conditions.find(isOurs);
  const earlier = before.status?.conditions?.find(isOurs);
  if (!condition) {
    if (before.metadata.deletionTimestamp !== undefined) return undefined;
    const shown = before.status?.loadBalancer?.ingress ?? [];
    const released = shown.length > 0 || patch.metadata.annotations !== undefined;
    const note = 'the Service is no longer ours to serve; its address is free';
    return released ? { type: 'Normal', reason: 'IPReleased', action: 'Release', note } : undefined;
  }
  if (condition.reason === earlier?.reason && condition.message === earlier.message) return undefined;
  if (condition.status === 'True' && condition.reason === 'Active')
    return { type: 'Normal', reason: 'EnsuredLoadBalancer', action: 'Ensure', note: condition.message };
  if (PROGRESS.includes(condition.reason))
    return { type: 'Normal', reason: 'EnsuringLoadBalancer', action: 'Ensure', note: condition.message };
  return condition.status === 'True'
    ? { type: 'Normal', reason: 'IPAllocated', action: 'Allocate', note: condition.message }
    : {
        type: 'Warning',
        reason: 'AllocationFailed',
        action: 'Allocate',
        note: `${condition.reason}: ${condition.message}`,
      };
}

function isOurs({ type }: Condition): boolean {
  return type === ALLOCATED_CONDITION;
}
