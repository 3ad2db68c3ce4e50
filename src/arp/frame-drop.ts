// Why a received frame was not answered, or one of ours not sent: one list for code, metrics and tests.

export const DROP_REASONS = [
  'truncated',
  'wrong protocol',
  'not a request',
  'bad hop limit',
  'bad checksum',
  'bad option',
  'bad sender',
  'not our address',
  'wrong interface',
  'no right to answer',
  'send failed',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** A frame that is not what its socket is for, or not well formed. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly reason: DropReason;
}
