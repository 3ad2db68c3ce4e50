// The events that tell of an address that a host outside the cluster has, too.
import type { EventText } from '../kube/events.ts';

interface Rival {
  readonly mac: string;
  readonly interfaceName: string;
}

/** The Service gives these up for others, as far as there are any (--on-conflict reallocate, of the controller). */
export function reallocatedEvent(addresses: readonly string[]): EventText {
  const note = `${addresses.join(', ')}: a host outside the cluster uses it, so the Service gets another address`;
  return { type: 'Warning', reason: 'AddressReallocated', action: 'Allocate', note };
}

/** `conflict`: undefined when it is over. */
export function conflictEvent(
  address: string,
  nodeName: string,
  conflict: Rival | undefined,
  policy: 'withhold' | 'keep',
): EventText {
  if (!conflict) {
    const note = `${address}: no other host has it any more; node ${nodeName} announces it`;
    return { type: 'Normal', reason: 'AddressConflictEnded', action: 'Announce', note };
  }
  const { mac, interfaceName } = conflict;
  const consequence =
    policy === 'withhold'
      ? 'it is not announced until that host gives it up'
      : 'it is announced all the same (--on-conflict keep)';
  return {
    type: 'Warning',
    reason: 'AddressConflict',
    action: 'Announce',
    note:
      `${address} is in use by another host, ${mac}, heard on ${interfaceName} of ${nodeName}: ${consequence}. ` +
      'Take the address from that host, or out of the pool',
  };
}
