// The shared key as a Secret holds it: `key` seals; `accept`, if there, opens as well, while keys are changed.
import { randomBytes } from 'node:crypto';
import { malformed, type Parsed, parsed } from '../net/parsed.ts';
import type { Keys } from './seal.ts';

/** Bytes: as many as the digest has (RFC 2104 §3), and at least as many as the seal sends. */
const NEW_KEY = 32;
const SHORTEST_KEY = 16;

/** `data`: of a Secret, in base64. */
export function parseKeys({ key, accept }: Readonly<Record<string, string>>): Parsed<Keys> {
  const main = Buffer.from(key ?? '', 'base64');
  if (main.length < SHORTEST_KEY) return malformed(`has no "key" of ${SHORTEST_KEY} bytes or more`);
  if (accept === undefined) return parsed([main]);
  const other = Buffer.from(accept, 'base64');
  return other.length < SHORTEST_KEY
    ? malformed(`has an "accept" of less than ${SHORTEST_KEY} bytes`)
    : parsed([main, other]);
}

export function newKeyData(): Record<string, string> {
  return { key: randomBytes(NEW_KEY).toString('base64') };
}
