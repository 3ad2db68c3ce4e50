// What the API server's audit log says of our accounts: who asked for what, and who was denied.
import { existsSync, readFileSync } from 'node:fs';

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestURI: string;
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly apiGroup?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

export class AuditLog {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** `verb group/resource` of everything that the user was allowed, sorted, each once. */
  usedBy(user: string): string[] {
    const allowed = this.#eventsOf(user).filter(({ responseStatus }) => responseStatus?.code !== 403);
    return [...new Set(allowed.flatMap(nameOf))].toSorted();
  }

  /** `user verb URI` of everything that these users were denied. */
  deniedTo(users: readonly string[]): string[] {
    return users.flatMap((user) =>
      this.#eventsOf(user)
        .filter(({ responseStatus }) => responseStatus?.code === 403)
        .map(({ verb, requestURI }) => `${user} ${verb} ${requestURI}`),
    );
  }

  #eventsOf(user: string): AuditEvent[] {
    if (!existsSync(this.#file)) return [];
    const lines = readFileSync(this.#file, 'utf8').split('\n');
    // The last line may be half written.
    const events = lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEvent);
    return events.filter((event) => event.user.username === user);
  }
}

function nameOf({ verb, objectRef }: AuditEvent): string[] {
  if (!objectRef?.resource) return [];
  const { apiGroup = '', resource, subresource } = objectRef;
  return [`${verb} ${apiGroup}/${resource}${subresource ? `/${subresource}` : ''}`];
}
