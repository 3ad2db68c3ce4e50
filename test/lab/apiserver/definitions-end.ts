// The end of CustomResourceDefinitions, with all that is in them.
import { setTimeout as wait } from 'node:timers/promises';
import { MERGE, type RawClient } from './raw-client.ts';

export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** Milliseconds between two looks. */
const POLL = 20;
/** Looks until a reminder. */
const PATIENCE = 50;

/** Resolves when it is gone. */
export async function removeDefinition(raw: RawClient, name: string): Promise<void> {
  await raw.delete(`${DEFINITIONS}/${name}`, { gracePeriodSeconds: 0 });
  await untilDefinitionIsGone(raw, name);
}

/**
 * Resolves when what somebody deletes is gone. A real API server that could not list the objects at once ("storage is
 * (re)initializing") meets what it then wrote to the definition as a conflict, and waits for another change of it
 * (k8s.io/apiextensions-apiserver v0.36.3, pkg/controller/finalizer); here it gets one.
 */
export async function untilDefinitionIsGone(raw: RawClient, name: string): Promise<void> {
  const path = `${DEFINITIONS}/${name}`;
  for (let looks = 1; ; looks++) {
    const { status, body } = await raw.get(path);
    if (status === 404) return;
    const isReminder = body.metadata?.deletionTimestamp !== undefined && looks % PATIENCE === 0;
    if (isReminder) await raw.patch(path, MERGE, { metadata: { annotations: { looks: String(looks) } } });
    await wait(POLL);
  }
}
