// The record that leader election is about (coordination.k8s.io/v1 Lease), and what a candidate does about it.
import type { KubeObject } from './objects.ts';

export interface LeaseObject extends KubeObject {
  readonly spec?: {
    /** Absent or empty: given back. */
    readonly holderIdentity?: string;
    /** How long a candidate that sees no renewal leaves it to its holder. */
    readonly leaseDurationSeconds?: number;
    /** MicroTime, as renewTime: by the holder's calendar, for people; nobody measures by them. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export type Move = 'create' | 'renew' | 'take' | 'wait';

/** `unchangedFor`: milliseconds, on the candidate's own clock, in which it has seen the lease as it is. */
export function nextMove(lease: LeaseObject | undefined, identity: string, unchangedFor: number): Move {
  if (!lease) return 'create';
  const { holderIdentity, leaseDurationSeconds = 0 } = lease.spec ?? {};
  if (!holderIdentity) return 'take';
  if (holderIdentity === identity) return 'renew';
  return unchangedFor > leaseDurationSeconds * 1000 ? 'take' : 'wait';
}

/** The `spec` that a move writes; a merge patch (RFC 7386) leaves what it does not name. */
export function specAfter(
  move: Exclude<Move, 'wait'>,
  before: LeaseObject | undefined,
  { identity, leaseDuration, now }: { identity: string; leaseDuration: number; now: Date },
): NonNullable<LeaseObject['spec']> {
  const time = microTime(now);
  const renewed = { renewTime: time, leaseDurationSeconds: leaseDuration / 1000 };
  if (move === 'renew') return renewed;
  const transitions = before?.spec?.leaseTransitions ?? 0;
  const leaseTransitions = move === 'take' ? transitions + 1 : 0;
  return { ...renewed, holderIdentity: identity, acquireTime: time, leaseTransitions };
}

/** The merge patch of `spec` that gives the lease back. */
export function specReleased(now: Date): object {
  return { holderIdentity: null, renewTime: microTime(now), leaseDurationSeconds: 1 };
}

function microTime(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
