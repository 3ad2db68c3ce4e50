// Who votes: a numbered list, of which each successor differs by one voter, so that majorities overlap.
import { type Ip, parseIp } from '../net/address.ts';
import { malformed, type Parsed, parsed } from '../net/parsed.ts';

export interface Voter {
  /** A node's name, or `witness/…` for a controller. */
  readonly id: string;
  readonly host: Ip;
  readonly port: number;
}

export interface Roster {
  /** 1 or more; a higher one replaces a lower one. */
  readonly epoch: number;
  readonly voters: readonly Voter[];
}

/** More voters would cost every node a heartbeat each, and help nothing: 7 outlive 3 failures at once. */
export const MOST_VOTERS = 7;
/** Of names, in bytes: what a Node may be called (RFC 1123 subdomain), and the word before it. */
export const LONGEST_NAME = 253 + 'witness/'.length;

export function majorityOf({ voters }: Roster): number {
  return Math.floor(voters.length / 2) + 1;
}

/** `{"epoch": 3, "voters": [{"id": "node-1", "host": "192.0.2.1", "port": 9121}]}` */
export function parseRoster(text: string): Parsed<Roster> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed('is not JSON');
  }
  const { epoch, voters } = (value ?? {}) as { epoch?: unknown; voters?: unknown };
  if (!isInteger(epoch, 1, 0xffff_ffff)) return malformed('has no "epoch" from 1 on');
  if (!Array.isArray(voters) || voters.length === 0 || voters.length > MOST_VOTERS)
    return malformed(`has not 1 to ${MOST_VOTERS} "voters"`);
  for (const each of voters) {
    const { id, host, port } = (each ?? {}) as Partial<Record<keyof Voter, unknown>>;
    if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > LONGEST_NAME)
      return malformed('has a voter without a proper "id"');
    if (typeof host !== 'string' || parseIp(host).kind === 'malformed')
      return malformed(`has a voter "${id}" whose "host" is no IP address`);
    if (!isInteger(port, 1, 65_535)) return malformed(`has a voter "${id}" whose "port" is not 1 to 65535`);
  }
  const named = voters as Voter[]; // checked above
  if (new Set(named.map(({ id }) => id)).size < named.length) return malformed('names a voter twice');
  return parsed({ epoch, voters: named.map(({ id, host, port }) => ({ id, host, port })) });
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}
