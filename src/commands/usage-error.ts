// A mistake in how a command was called: the message names the flag, the value and the mend; exit status 2.

export const USAGE_STATUS = 2;

export class UsageError extends Error {
  readonly code = 'USAGE';
}
