// `fairlead controller --cleanup`: takes our hands off every Service, so that each can be deleted without us. The
// addresses stay in their statuses, for whoever serves them next.
import { isOurs, type ServiceClasses } from '../api/service.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { Term } from '../kube/leader-election.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { SERVICES } from '../kube/resources.ts';
import { FIELD_MANAGER } from '../reconciler/service-writer.ts';
import { bearsOurMark, clearingPatch, type StatusPatch } from '../status/service-status.ts';
import type { Process } from './processes.ts';

const PAGE = 500;

/** Rejects where the API server refuses, or does not answer. */
export async function cleanUp(
  process: Process,
  classes: ServiceClasses,
  { signal, mayWrite }: Term,
): Promise<void> {
  const api = await process.connectToWrite(mayWrite);
  let released = 0;
  let changed: number;
  do {
    changed = 0;
    for await (const service of allServices(api, signal)) {
      const patch = isOurs(service, classes) || bearsOurMark(service) ? clearingPatch(service) : undefined;
      if (!patch) continue;
      if (await isWritten(api, service, patch)) released++;
      else changed++;
    }
  } while (changed > 0);
  process.log.info({ released }, 'let go of every Service');
}

async function* allServices(api: KubeApi, signal: AbortSignal): AsyncGenerator<ServiceObject> {
  let next: string | undefined;
  do {
    const page = await api.list(SERVICES, { limit: PAGE, signal, ...(next ? { continue: next } : {}) });
    yield* page.items;
    next = page.continue;
  } while (next !== undefined);
}

/** Resolves with false where the Service has changed since it was listed. */
async function isWritten(api: KubeApi, service: ServiceObject, patch: StatusPatch): Promise<boolean> {
  const { name, namespace = '' } = service.metadata;
  const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
  try {
    await api.patch(SERVICES, { name, namespace }, patch, options);
  } catch (error) {
    const status = error instanceof KubeError ? error.status : 0;
    if (status === 409) return false;
    if (status !== 404) throw error;
  }
  return true;
}
