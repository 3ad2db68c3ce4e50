// The events that tell of an announcement that other nodes do not see on the wire, or see of somebody else.
import type { EventText } from '../kube/events.ts';

/** `verdict`: of arp/wire-checks; undefined where there is nothing to say. */
export function unseenEvent(
  address: string,
  nodeName: string,
  verdict: 'verified' | 'other host' | 'not seen' | 'no witness',
): EventText | undefined {
  const action = 'Verify';
  switch (verdict) {
    case 'no witness':
      return undefined;
    case 'verified':
      return {
        type: 'Normal',
        reason: 'AnnouncementSeen',
        action,
        note: `${address}: other nodes see node ${nodeName} answer for it`,
      };
    case 'not seen':
      return {
        type: 'Warning',
        reason: 'AnnouncementNotSeen',
        action,
        note:
          `${address} is announced by node ${nodeName}, and no other node gets an answer for it. ` +
          'Look at what drops its frames: a switch, a hypervisor or a firewall between the nodes',
      };
    case 'other host':
      return {
        type: 'Warning',
        reason: 'AnotherHostAnswers',
        action,
        note:
          `${address} is announced by node ${nodeName}, and another node got an answer from another host. ` +
          'Take the address from that host, or out of the pool',
      };
  }
}
