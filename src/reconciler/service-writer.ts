// Writes what a run found on a Service's status, and tells of it.
import { ALLOCATED_CONDITION } from '../api/service-addresses.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { SERVICES } from '../kube/resources.ts';
import { keyOf } from '../kube/store.ts';
import type { Logger } from '../observe/logger.ts';
import { eventFor } from '../status/service-event.ts';
import type { StatusPatch } from '../status/service-status.ts';
import type { LatestServices } from './latest-services.ts';
import type { ReconcilerMetrics } from './metrics.ts';

export const FIELD_MANAGER = 'fairlead-controller';

export interface ServiceWriterOptions {
  readonly api: KubeApi;
  readonly events: EventRecorder;
  readonly log: Logger;
  readonly metrics: ReconcilerMetrics;
}

export class ServiceWriter {
  readonly #options: ServiceWriterOptions;
  readonly #latest: LatestServices | undefined;

  /** `latest`: hears what was written, where runs decide by what was last heard. */
  constructor(options: ServiceWriterOptions, latest?: LatestServices) {
    this.#options = options;
    this.#latest = latest;
  }

  /**
   * Resolves with the Service as it is then, or undefined where it is gone: the watch says so too. `beforeWrite`:
   * throws where another worker may be at the Service.
   */
  async write(
    service: ServiceObject,
    patch: StatusPatch,
    beforeWrite: () => void,
  ): Promise<ServiceObject | undefined> {
    beforeWrite();
    const { name, namespace = '' } = service.metadata;
    const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
    try {
      const written = await this.#options.api.patch(SERVICES, { name, namespace }, patch, options);
      this.#latest?.wrote(service, written);
      return written;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      if (!isRefusal(error)) this.#latest?.unanswered(keyOf(service));
      throw error;
    }
  }

  /**
   * Where nothing is to be written, but the Service may not be what it seems: a patch of nothing, which the API server
   * takes from who knows its version.
   */
  orProof(service: ServiceObject, patch: StatusPatch | undefined): StatusPatch | undefined {
    const { resourceVersion } = service.metadata;
    const unsure = resourceVersion !== undefined && this.#latest?.isUnsure(keyOf(service));
    return patch ?? (unsure ? { metadata: { resourceVersion } } : undefined);
  }

  /** Logs and records the change of state that a patch, once written, made. */
  tell(before: ServiceObject, patch: StatusPatch): void {
    const { events, log, metrics } = this.#options;
    const event = eventFor(before, patch);
    if (!event) return;
    // What is given or given up is told by the audit trail.
    if (event.type === 'Warning') {
      metrics.changes.inc({ kind: 'refused', cause: reasonOf(patch) });
      log.info({ service: keyOf(before), reason: event.reason, note: event.note }, 'a Service is refused');
    }
    events.record({ ...before, apiVersion: 'v1', kind: 'Service' }, event);
  }

  /** Both; resolves as `write` does. */
  async writeAndTell(
    service: ServiceObject,
    patch: StatusPatch,
    beforeWrite: () => void,
  ): Promise<ServiceObject | undefined> {
    const after = await this.write(service, patch, beforeWrite);
    if (after) this.tell(service, patch);
    return after;
  }
}

/** Whether the API server says that it has not done what it was asked. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && error.status >= 400 && error.status < 500;
}

/** Why the Service was refused, as its condition says. */
function reasonOf({ status }: StatusPatch): string {
  return status?.conditions?.find(({ type }) => type === ALLOCATED_CONDITION)?.reason ?? '';
}
