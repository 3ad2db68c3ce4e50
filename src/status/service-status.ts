// What a Service should say of itself, and the patch that makes it so; nothing where it says so already.
import { POOL_ANNOTATION } from '../api/service.ts';
import type { Condition, IngressStatus, ServiceObject } from '../kube/objects.ts';
import type { Outcome } from '../providers/provider.ts';

export const ALLOCATED_CONDITION = 'fairlead.dev/Allocated';

/** A JSON merge patch (RFC 7386) for the `status` subresource, valid only for the version that it names. */
export interface StatusPatch {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress: readonly IngressStatus[] | null };
    readonly conditions?: readonly Condition[];
  };
}

/** The patch after `outcome`, or undefined where the Service shows it. `now`: the calendar time for a transition. */
export function statusPatch(service: ServiceObject, outcome: Outcome, now: Date): StatusPatch | undefined {
  const wanted = outcome.addresses.map((address) => ({ ip: address, ipMode: 'VIP' }));
  const message =
    outcome.kind === 'done'
      ? `${outcome.addresses.join(' and ')} from ${(outcome.source ?? '').split(',').join(' and ')}`
      : clip(outcome.message);
  return difference(service, {
    ingress: wanted,
    annotation: outcome.source,
    condition: {
      type: ALLOCATED_CONDITION,
      status: outcome.kind === 'done' ? 'True' : 'False',
      reason: outcome.kind === 'done' ? 'Allocated' : outcome.reason,
      message,
      lastTransitionTime: now.toISOString().replace(/\.\d+Z$/, 'Z'),
      ...(service.metadata.generation === undefined
        ? {}
        : { observedGeneration: service.metadata.generation }),
    },
  });
}

/** The patch that takes everything of ours off a Service that is ours no longer; undefined where there is nothing. */
export function clearingPatch(service: ServiceObject): StatusPatch | undefined {
  if (!bearsOurMark(service)) return undefined;
  return difference(service, { ingress: [], annotation: undefined, condition: undefined });
}

/** Whether we have written on this Service. */
export function bearsOurMark({ metadata, status }: ServiceObject): boolean {
  const annotated = metadata.annotations?.[POOL_ANNOTATION] !== undefined;
  return annotated || (status?.conditions ?? []).some(({ type }) => type === ALLOCATED_CONDITION);
}

interface Wanted {
  readonly ingress: readonly IngressStatus[];
  readonly annotation: string | undefined;
  readonly condition: Condition | undefined;
}

function difference(service: ServiceObject, wanted: Wanted): StatusPatch | undefined {
  const { metadata, status } = service;
  const annotation = metadata.annotations?.[POOL_ANNOTATION];
  const ingress = status?.loadBalancer?.ingress ?? [];
  const conditions = status?.conditions ?? [];
  const condition = conditions.find(({ type }) => type === ALLOCATED_CONDITION);

  const annotationDiffers = annotation !== wanted.annotation;
  const ingressDiffers = !sameIngress(ingress, wanted.ingress);
  const conditionDiffers = !sameCondition(condition, wanted.condition);
  if (!annotationDiffers && !ingressDiffers && !conditionDiffers) return undefined;

  const others = conditions.filter(({ type }) => type !== ALLOCATED_CONDITION);
  return {
    metadata: {
      ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
      ...(annotationDiffers ? { annotations: { [POOL_ANNOTATION]: wanted.annotation ?? null } } : {}),
    },
    status: {
      ...(ingressDiffers
        ? { loadBalancer: { ingress: wanted.ingress.length > 0 ? wanted.ingress : null } }
        : {}),
      ...(conditionDiffers
        ? { conditions: [...others, ...keepTransition(condition, wanted.condition)] }
        : {}),
    },
  };
}

/** metav1.Condition: a message holds 32768 characters. */
export function clip(message: string): string {
  const LIMIT = 32_768;
  return message.length <= LIMIT ? message : `${message.slice(0, LIMIT - 2)} …`;
}

/** Only the address and its mode are ours: the API server completes the rest. */
function sameIngress(a: readonly IngressStatus[], b: readonly IngressStatus[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ ip, ipMode = 'VIP', hostname }, i) => {
      return hostname === undefined && ip === b[i]?.ip && ipMode === b[i]?.ipMode;
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
