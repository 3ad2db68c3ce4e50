// What a Service should say of itself, and the patch that makes it so; nothing where it says so already.
import { APPLIED_ANNOTATION, PLACES_ANNOTATION } from '../api/service.ts';
import {
  ADDRESSES_ANNOTATION,
  ALLOCATED_CONDITION,
  holdingText,
  POOL_ANNOTATION,
} from '../api/service-addresses.ts';
import type { Condition, IngressStatus, ServiceObject } from '../kube/objects.ts';
import { parseIp } from '../net/address.ts';
import type { Claim, Outcome } from '../providers/provider.ts';

const OWN_CONDITIONS: ReadonlySet<string> = new Set([ALLOCATED_CONDITION, 'fairlead.dev/TargetsHealthy']);
/** Kubernetes' own (k8s.io/cloud-provider, service/helpers): a load balancer's Service goes only after its address. */
export const CLEANUP_FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';

/**
 * A JSON merge patch (RFC 7386) for the `status` subresource, valid only for the version that it names. A Service's
 * status subresource takes annotations and finalizers too, as Kubernetes' own service controller writes them.
 */
export interface StatusPatch {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string | null>>;
    readonly finalizers?: readonly string[] | null;
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress: readonly IngressStatus[] | null };
    readonly conditions?: readonly Condition[];
  };
}

/**
 * The patch after `outcome`, or undefined where the Service shows it. `now`: the calendar time for a transition.
 * `places`: where a cloud has something of the Service; undefined: nowhere.
 */
export function statusPatch(
  service: ServiceObject,
  outcome: Outcome,
  now: Date,
  places?: string,
): StatusPatch | undefined {
  const { addresses, shownAs = addresses, hostnames = [], ports, findings = [] } = outcome;
  const wanted: IngressStatus[] = [
    ...shownAs.map((text) => entryFor(text, addresses)),
    ...hostnames.map((hostname) => ({ hostname, ...(ports ? { ports } : {}) })),
  ];
  const common = {
    lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(service.metadata.generation === undefined ? {} : { observedGeneration: service.metadata.generation }),
  };
  return difference(service, {
    ingress: wanted,
    finalizer: true,
    annotations: {
      [POOL_ANNOTATION]: hostnames.length > 0 ? undefined : outcome.source,
      [ADDRESSES_ANNOTATION]: addresses.length > 0 ? addresses.join() : undefined,
      [PLACES_ANNOTATION]: places,
      [APPLIED_ANNOTATION]: outcome.applied,
    },
    conditions: [
      {
        type: ALLOCATED_CONDITION,
        status: outcome.kind === 'done' ? 'True' : 'False',
        reason: outcome.kind === 'done' ? (hostnames.length > 0 ? 'Active' : 'Allocated') : outcome.reason,
        message: clip(messageOf(outcome)),
        ...common,
      },
      ...findings.map(
        ({ type, status, reason, message }): Condition => ({
          type: `fairlead.dev/${type}`,
          status,
          reason,
          message: clip(message),
          ...common,
        }),
      ),
    ],
  });
}

function messageOf(outcome: Outcome): string {
  const { addresses, shownAs, hostnames = [], source = '' } = outcome;
  if (outcome.kind !== 'done')
    return (addresses.length > 0 ? holdingText(addresses, false) : '') + outcome.message;
  const shown = shownAs ? `, shown as ${shownAs.join(' and ')}` : '';
  return holdingText([...addresses, ...hostnames], true) + source.split(',').join(' and ') + shown;
}

/**
 * What stands in front of our own addresses is no VIP: with that mode a proxy in the cluster would take traffic to it
 * for the Service's, and whoever may write a Service could have it take any address's.
 */
function entryFor(text: string, own: readonly string[]): IngressStatus {
  if (own.includes(text)) return { ip: text, ipMode: 'VIP' };
  return parseIp(text).kind === 'parsed' ? { ip: text, ipMode: 'Proxy' } : { hostname: text };
}

/** The first write on a Service that is to get something in a cloud; undefined where it bears that already. */
export function claimingPatch(service: ServiceObject, { places, isApplied }: Claim): StatusPatch | undefined {
  const own = ownAnnotations(service);
  const applied = isApplied ? own[APPLIED_ANNOTATION] : undefined;
  const annotations = { ...own, [PLACES_ANNOTATION]: places, [APPLIED_ANNOTATION]: applied };
  return difference(service, { finalizer: true, annotations, conditions: undefined });
}

/** Of a Service that is served otherwise: it has nothing in a cloud any more. */
export function leavingPatch(service: ServiceObject): StatusPatch | undefined {
  const { [PLACES_ANNOTATION]: _, [APPLIED_ANNOTATION]: __, ...annotations } = ownAnnotations(service);
  return difference(service, { finalizer: true, annotations, conditions: undefined });
}

/** The first write on a Service that is to give up its addresses; undefined where it shows none. */
export function emptyingPatch({ metadata, status }: ServiceObject): StatusPatch | undefined {
  if ((status?.loadBalancer?.ingress ?? []).length === 0) return undefined;
  return { metadata: versionOf(metadata), status: { loadBalancer: { ingress: null } } };
}

/** The patch that takes all the rest of ours off a Service, its finalizer too; undefined where there is nothing. */
export function clearingPatch(service: ServiceObject): StatusPatch | undefined {
  return difference(service, { finalizer: false, annotations: {}, conditions: [] });
}

/** Whether we have written on this Service. The finalizer alone says nothing: others use it too. */
export function bearsOurMark(service: ServiceObject): boolean {
  const annotated = Object.values(ownAnnotations(service)).some((value) => value !== undefined);
  return annotated || (service.status?.conditions ?? []).some(isOurs);
}

interface Wanted {
  /** Absent: as it is. */
  readonly ingress?: readonly IngressStatus[];
  readonly finalizer: boolean;
  /** Of ours: what is not there goes. */
  readonly annotations: Annotations;
  /** Of ours; undefined: as they are. */
  readonly conditions: readonly Condition[] | undefined;
}

const OWN_ANNOTATIONS = [
  POOL_ANNOTATION,
  ADDRESSES_ANNOTATION,
  PLACES_ANNOTATION,
  APPLIED_ANNOTATION,
] as const;
type Annotations = Readonly<Partial<Record<(typeof OWN_ANNOTATIONS)[number], string | undefined>>>;

function ownAnnotations({ metadata }: ServiceObject): Annotations {
  return Object.fromEntries(OWN_ANNOTATIONS.map((name) => [name, metadata.annotations?.[name]]));
}

function isOurs({ type }: Condition): boolean {
  return OWN_CONDITIONS.has(type);
}

function difference(service: ServiceObject, wanted: Wanted): StatusPatch | undefined {
  const { metadata, status } = service;
  const ingress = status?.loadBalancer?.ingress ?? [];
  const conditions = status?.conditions ?? [];
  const ours = conditions.filter(isOurs);

  const finalizers = metadata.finalizers ?? [];
  const has = ownAnnotations(service);
  const annotations = OWN_ANNOTATIONS.filter((name) => has[name] !== wanted.annotations[name]);
  const finalizerDiffers = finalizers.includes(CLEANUP_FINALIZER) !== wanted.finalizer;
  const ingressDiffers = wanted.ingress !== undefined && !sameIngress(ingress, wanted.ingress);
  const conditionsDiffer = wanted.conditions !== undefined && !sameConditions(ours, wanted.conditions);
  if (annotations.length === 0 && !finalizerDiffers && !ingressDiffers && !conditionsDiffer) return undefined;

  const otherFinalizers = finalizers.filter((each) => each !== CLEANUP_FINALIZER);
  const finalizersAfter = wanted.finalizer ? [...otherFinalizers, CLEANUP_FINALIZER] : otherFinalizers;
  const others = conditions.filter((each) => !isOurs(each));
  return {
    metadata: {
      ...versionOf(metadata),
      ...(annotations.length > 0
        ? {
            annotations: Object.fromEntries(
              annotations.map((name) => [name, wanted.annotations[name] ?? null]),
            ),
          }
        : {}),
      ...(finalizerDiffers ? { finalizers: finalizersAfter.length > 0 ? finalizersAfter : null } : {}),
    },
    status: {
      ...(ingressDiffers
        ? { loadBalancer: { ingress: wanted.ingress?.length ? wanted.ingress : null } }
        : {}),
      ...(conditionsDiffer
        ? { conditions: [...others, ...keepTransitions(ours, wanted.conditions ?? [])] }
        : {}),
    },
  };
}

function versionOf({ resourceVersion }: ServiceObject['metadata']): { readonly resourceVersion?: string } {
  return resourceVersion === undefined ? {} : { resourceVersion };
}

/** metav1.Condition: a message holds 32768 characters. */
export function clip(message: string): string {
  const LIMIT = 32_768;
  return message.length <= LIMIT ? message : `${message.slice(0, LIMIT - 2)} …`;
}

/** Only addresses with their mode, and host names with their ports, are ours: the API server completes the rest. */
function sameIngress(a: readonly IngressStatus[], b: readonly IngressStatus[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ ip, ipMode, hostname, ports = [] }, i) => {
      const mode = ipMode ?? (ip === undefined ? undefined : 'VIP'); // the API server's own default
      const same = hostname === b[i]?.hostname && ip === b[i]?.ip && mode === b[i]?.ipMode;
      const named = (each: IngressStatus['ports']) =>
        each?.map(({ port, protocol, error = '' }) => `${port}/${protocol} ${error}`);
      return same && (hostname === undefined || named(ports)?.join() === (named(b[i]?.ports) ?? []).join());
    })
  );
}

function sameConditions(a: readonly Condition[], b: readonly Condition[]): boolean {
  return (
    a.length === b.length &&
    b.every((each) => {
      const there = a.find(({ type }) => type === each.type);
      return there?.status === each.status && there.reason === each.reason && there.message === each.message;
    })
  );
}

/** The transition time is that of the last change of `status`. */
function keepTransitions(before: readonly Condition[], after: readonly Condition[]): Condition[] {
  return after.map((each) => {
    const there = before.find(({ type }) => type === each.type);
    return there?.status === each.status ? { ...each, lastTransitionTime: there.lastTransitionTime } : each;
  });
}
