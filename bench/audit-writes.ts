// What our accounts wrote, by the audit log of a real API server (audit.k8s.io/v1, one JSON object a line).
import { readFileSync, statSync } from 'node:fs';

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestReceivedTimestamp: string;
  readonly objectRef?: { readonly resource?: string };
  readonly responseStatus?: { readonly code?: number };
}

interface Writes {
  /** Of objects of these kinds by this account. */
  count(account: string, resources: readonly string[]): number;
  /** Milliseconds between the two writes of this kind that were closest to each other. */
  closest(resource: string): number;
}

/** Call `since` for what is written from now on. */
export function writesIn(file: string): { since(): Writes } {
  const { size } = statSync(file);
  return {
    since() {
      const lines = readFileSync(file).subarray(size).toString().split('\n').slice(0, -1);
      const writes = lines
        .map((line) => JSON.parse(line) as AuditEvent)
        .filter(
          ({ verb, responseStatus }) =>
            ['create', 'patch', 'update', 'delete'].includes(verb) && (responseStatus?.code ?? 0) < 300,
        );
      return {
        count: (account, resources) =>
          writes.filter(
            ({ user, objectRef }) =>
              user.username.endsWith(`:${account}`) && resources.includes(objectRef?.resource ?? ''),
          ).length,
        closest: (resource) => {
          const times = writes
            .filter(({ objectRef }) => objectRef?.resource === resource)
            .map(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp));
          return times.slice(1).reduce((least, time, i) => Math.min(least, time - (times[i] ?? 0)), Infinity);
        },
      };
    },
  };
}
