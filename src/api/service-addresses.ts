// Which addresses a Service has, as its annotations and its status tell those who read them: agents, and a
// controller that starts. What the status shows may be public names and addresses that stand for them.
import type { IngressStatus, ServiceObject } from '../kube/objects.ts';
import { type Ip, parseIp } from '../net/address.ts';

/** Written by us on a Service: the pools that its addresses come from, with commas between them. */
export const POOL_ANNOTATION = 'fairlead.dev/ip-allocated-from-pool';
/** Written by us on a Service: its addresses, with commas between them, whatever its status shows in their place. */
export const ADDRESSES_ANNOTATION = 'fairlead.dev/allocated-ips';
export const ALLOCATED_CONDITION = 'fairlead.dev/Allocated';

/** What the message of the Allocated condition begins with, where the Service has these addresses. */
export function holdingText(addresses: readonly string[], isServed: boolean): string {
  const list = addresses.join(' and ');
  return isServed ? `${list} from ` : `keeps ${list}; `;
}

/** Those at which the Service is served now: none while its status shows nothing. */
export function servedAddresses(service: ServiceObject): readonly Ip[] {
  const known = served.get(service) ?? readServed(service);
  served.set(service, known);
  return known;
}

/** An object of the API never changes: it is read once. */
const served = new WeakMap<ServiceObject, readonly Ip[]>();

function readServed(service: ServiceObject): readonly Ip[] {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  if (ingress.length === 0) return [];
  return confirmed(service) ?? ownAddresses(ingress);
}

export interface KnownAddresses {
  /** What it has, as only who may write a status can have written it. */
  readonly held: readonly Ip[];
  /** What it had, by its annotation alone, where its status is empty: whoever may write Services can have written that. */
  readonly remembered: readonly Ip[];
}

export function knownAddresses(service: ServiceObject): KnownAddresses {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const held = confirmed(service) ?? ownAddresses(ingress);
  const remembered = ingress.length === 0 && held.length === 0 ? annotated(service) : [];
  return { held, remembered };
}

/** The annotation's addresses, where our condition names them too. */
function confirmed(service: ServiceObject): readonly Ip[] | undefined {
  const addresses = annotated(service);
  if (addresses.length === 0) return undefined;
  const condition = service.status?.conditions?.find(({ type }) => type === ALLOCATED_CONDITION);
  const text = holdingText(addresses, condition?.status === 'True');
  return condition?.message.startsWith(text) ? addresses : undefined;
}

/** What is shown with this mode stands for an address, and is none that the Service has. */
function ownAddresses(ingress: readonly IngressStatus[]): Ip[] {
  return parseAll(ingress.map(({ ip, ipMode }) => (ipMode === 'Proxy' ? '' : ip)));
}

function annotated({ metadata }: ServiceObject): readonly Ip[] {
  return parseAll(metadata.annotations?.[ADDRESSES_ANNOTATION]?.split(',') ?? []);
}

/** Without what is no address. */
function parseAll(texts: readonly (string | undefined)[]): Ip[] {
  const addresses: Ip[] = [];
  for (const text of texts) {
    const parsed = parseIp(text ?? '');
    if (parsed.kind === 'parsed') addresses.push(parsed.value);
  }
  return addresses;
}
