// What a Service should say of itself, and the patch that makes it so; nothing where it says so already.
import {
  ADDRESSES_ANNOTATION,
  ALLOCATED_CONDITION,
  holdingText,
  POOL_ANNOTATION,
} from '../api/service-addresses.ts';
import type { Condition, IngressStatus, ServiceObject } from '../kube/objects.ts';
import { parseIp } from '../net/address.ts';
import type { Outcome } from '../providers/provider.ts';

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

/** The patch after `outcome`, or undefined where the Service shows it. `now`: the calendar time for a transition. */
export function statusPatch(service: ServiceObject, outcome: Outcome, now: Date): StatusPatch | undefined {
  const { addresses, shownAs = addresses, hostnames = [], source } = outcome;
  return difference(service, {
    ingress: [
      ...shownAs.map((text) => entryFor(text, addresses)),
      ...hostnames.map((hostname) => ({ hostname })),
    ],
    finalizer: true,
    annotations: {
      [POOL_ANNOTATION]: source,
      [ADDRESSES_ANNOTATION]: addresses.length > 0 ? addresses.join() : undefined,
    },
    condition: {
      type: ALLOCATED_CONDITION,
      status: outcome.kind === 'done' ? 'True' : 'False',
      reason: outcome.kind === 'done' ? 'Allocated' : outcome.reason,
      message: clip(messageOf(outcome)),
      lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
      ...(service.metadata.generation === undefined
        ? {}
        : { observedGeneration: service.metadata.generation }),
    },
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

/** The first write on a Service that is to give up its addresses; undefined where it shows none. */
export function emptyingPatch({ metadata, status }: ServiceObject): StatusPatch | undefined {
  if ((status?.loadBalancer?.ingress ?? []).length === 0) return undefined;
  return { metadata: versionOf(metadata), status: { loadBalancer: { ingress: null } } };
}

/** The patch that takes all the rest of ours off a Service, its finalizer too; undefined where there is nothing. */
export function clearingPatch(service: ServiceObject): StatusPatch | undefined {
  return difference(service, {
    finalizer: false,
    annotations: { [POOL_ANNOTATION]: undefined, [ADDRESSES_ANNOTATION]: undefined },
    condition: undefined,
  });
}

/** Whether we have written on this Service. The finalizer alone says nothing: others use it too. */
export function bearsOurMark({ metadata, status }: ServiceObject): boolean {
  const annotated = metadata.annotations?.[POOL_ANNOTATION] !== undefined;
  return annotated || (status?.conditions ?? []).some(({ type }) => type === ALLOCATED_CONDITION);
}

interface Wanted {
  /** Absent: as it is. */
  readonly ingress?: readonly IngressStatus[];
  readonly finalizer: boolean;
  /** Ours; undefined: not there. */
  readonly annotations: Readonly<Record<string, string | undefined>>;
  readonly condition: Condition | undefined;
}

function difference(service: ServiceObject, wanted: Wanted): StatusPatch | undefined {
  const { metadata, status } = service;
  const ingress = status?.loadBalancer?.ingress ?? [];
  const conditions = status?.conditions ?? [];
  const condition = conditions.find(({ type }) => type === ALLOCATED_CONDITION);

  const finalizers = metadata.finalizers ?? [];
  const annotations = Object.entries(wanted.annotations)
    .filter(([name, value]) => metadata.annotations?.[name] !== value)
    .map(([name, value]) => [name, value ?? null]);
  const finalizerDiffers = finalizers.includes(CLEANUP_FINALIZER) !== wanted.finalizer;
  const ingressDiffers = wanted.ingress !== undefined && !sameIngress(ingress, wanted.ingress);
  const conditionDiffers = !sameCondition(condition, wanted.condition);
  if (annotations.length === 0 && !finalizerDiffers && !ingressDiffers && !conditionDiffers) return undefined;

  const otherFinalizers = finalizers.filter((each) => each !== CLEANUP_FINALIZER);
  const finalizersAfter = wanted.finalizer ? [...otherFinalizers, CLEANUP_FINALIZER] : otherFinalizers;
  const others = conditions.filter(({ type }) => type !== ALLOCATED_CONDITION);
  return {
    metadata: {
      ...versionOf(metadata),
      ...(annotations.length > 0 ? { annotations: Object.fromEntries(annotations) } : {}),
      ...(finalizerDiffers ? { finalizers: finalizersAfter.length > 0 ? finalizersAfter : null } : {}),
    },
    status: {
      ...(ingressDiffers
        ? { loadBalancer: { ingress: wanted.ingress?.length ? wanted.ingress : null } }
        : {}),
      ...(conditionDiffers
        ? { conditions: [...others, ...keepTransition(condition, wanted.condition)] }
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

/** Only addresses with their mode, and host names, are ours: the API server completes the rest. */
function sameIngress(a: readonly IngressStatus[], b: readonly IngressStatus[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ ip, ipMode, hostname }, i) => {
      const mode = ipMode ?? (ip === undefined ? undefined : 'VIP'); // the API server's own default
      return hostname === b[i]?.hostname && ip === b[i]?.ip && mode === b[i]?.ipMode;
    })
  );
}

function sameCondition(a: Condition | undefined, b: Condition | undefined): boolean {
  return a?.status === b?.status && a?.reason === b?.reason && a?.message === b?.message;
}

/** The transition time is that of the last change of `status`. */
function keepTransition(before: Condition | undefined, after: Condition | undefined): Condition[] {
  if (!after) return [];
  return [
    before?.status === after.status ? { ...after, lastTransitionTime: before.lastTransitionTime } : after,
  ];
}
