// AddressReservation (fairlead.dev/v1alpha1): addresses that are kept back, for one Service or from everybody.
import type { KubeObject } from '../kube/objects.ts';
import { type Ip, parseIp } from '../net/address.ts';
import type { Problem, Read } from './problem.ts';
import { Reader } from './reader.ts';

export interface Reservation {
  readonly name: string;
  readonly addresses: readonly Ip[];
  /** `namespace/name` of the Service that may have them; undefined: nobody. */
  readonly service?: string;
  /** Who asked for it, in the user's words. */
  readonly owner?: string;
  /** Milliseconds since 1970 from which it holds no more. */
  readonly expires?: number;
}

export const RESERVATION_FIELDS = ['addresses', 'service', 'owner', 'expires'] as const;
export const RESERVED_SERVICE_FIELDS = ['namespace', 'name'] as const;

export function readReservation(object: KubeObject): Read<Reservation> {
  const { name } = object.metadata;
  const reader = new Reader(`AddressReservation/${name}`);
  const spec = reader.fields('spec', (object as { spec?: unknown }).spec, RESERVATION_FIELDS);
  const addresses = reader.list('spec.addresses', spec.addresses, (path, element) => {
    const address = parseIp(typeof element === 'string' ? element.trim() : '');
    if (address.kind === 'parsed') return address.value;
    reader.problem(path, element, address.problem);
    return undefined;
  });
  if (reader.problems.length === 0 && addresses.length === 0)
    reader.problem(
      'spec.addresses',
      spec.addresses,
      'names no address; write at least one, such as 192.0.2.7',
    );
  const service = readService(reader, spec.service);
  const owner = text(reader, 'spec.owner', spec.owner);
  const expires = readTime(reader, spec.expires);
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : {
        kind: 'valid',
        value: {
          name,
          addresses,
          ...(service === undefined ? {} : { service }),
          ...(owner === undefined ? {} : { owner }),
          ...(expires === undefined ? {} : { expires }),
        },
      };
}

function readService(reader: Reader, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = reader.fields('spec.service', value, RESERVED_SERVICE_FIELDS);
  const namespace = text(reader, 'spec.service.namespace', fields.namespace);
  const name = text(reader, 'spec.service.name', fields.name);
  if (namespace !== undefined && name !== undefined) return `${namespace}/${name}`;
  if (reader.problems.length === 0)
    reader.problem('spec.service', value, 'does not name a Service; write both its namespace and its name');
  return undefined;
}

function text(reader: Reader, field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && value !== '') return value;
  reader.problem(field, value, 'is not a text with at least one character');
  return undefined;
}

function readTime(reader: Reader, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const field = 'spec.expires';
  // RFC 3339, as metav1.Time; Date.parse alone also takes what only it understands.
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
  const time = typeof value === 'string' && pattern.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  reader.problem(field, value, 'is no point in time; write one such as 2027-01-31T12:00:00Z');
  return undefined;
}

export interface CheckedReservations {
  /** The oldest first; no address is in two. */
  readonly reservations: readonly Reservation[];
  /** What is wrong, by name; these hold nothing back. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

/** Reads all reservations at once. Of two that name one address the older has it (then the first by name). */
export function checkReservations(objects: readonly KubeObject[]): CheckedReservations {
  const problems = new Map<string, readonly Problem[]>();
  const reservations: Reservation[] = [];
  const taken = new Map<Ip, string>();
  for (const object of [...objects].sort(byAge)) {
    const { name } = object.metadata;
    const read = readReservation(object);
    const found = read.kind === 'invalid' ? read.problems : clashes(read.value, taken);
    if (found.length > 0) problems.set(name, found);
    if (read.kind === 'invalid' || found.length > 0) continue;
    reservations.push(read.value);
    for (const address of read.value.addresses) taken.set(address, name);
  }
  return { reservations, problems };
}

function clashes({ name, addresses }: Reservation, taken: ReadonlyMap<Ip, string>): Problem[] {
  return addresses
    .filter((address) => taken.has(address))
    .map((address) => ({
      object: `AddressReservation/${name}`,
      field: 'spec.addresses',
      value: address,
      mend: `is reserved by the older AddressReservation "${taken.get(address)}"; take it out of one of the two`,
    }));
}

function byAge({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  const [first = '', second = ''] = [a.creationTimestamp, b.creationTimestamp];
  return first === second ? (a.name < b.name ? -1 : 1) : first < second ? -1 : 1;
}
